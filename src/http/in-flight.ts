/**
 * Bytes of request bodies that this isolate holds, for all tenants together: 128 MB of memory have to do for text,
 * parsed value and upstream copy of every one of them. Beyond the limit a request is refused before its body is read.
 *
 * A claim ends by its release. One whose request died without it (a runtime ends a handler whose client is gone)
 * lapses, so that no loss is permanent.
 */

export const MAX_BYTES_IN_FLIGHT = 24 * 1024 * 1024;
/** How long a claim lasts unless its request says otherwise: as long as the slowest body may take to arrive. */
const DEFAULT_LEASE_MS = 180_000;

interface Claim {
  bytes: number;
  /** Epoch ms. */
  lapsesAt: number;
}

const claims = new Set<Claim>();
let held = 0;

/** Bytes that are held now. */
export const bytesInFlight = (): number => held;

/** What one request holds. */
export class BodyClaim {
  readonly #claim: Claim;

  constructor(now: number) {
    this.#claim = { bytes: 0, lapsesAt: now + DEFAULT_LEASE_MS };
    claims.add(this.#claim);
  }

  /** Holds `bytes` more. False where there is no room; what was held before stays. */
  grow(bytes: number, now: number): boolean {
    if (!claims.has(this.#claim)) return false;
    if (held + bytes > MAX_BYTES_IN_FLIGHT) dropLapsed(now, this.#claim);
    if (held + bytes > MAX_BYTES_IN_FLIGHT) return false;
    this.#claim.bytes += bytes;
    held += bytes;
    return true;
  }

  /** The body is needed until `time` (epoch ms) at the latest. */
  keepUntil(time: number): void {
    this.#claim.lapsesAt = Math.max(this.#claim.lapsesAt, time);
  }

  /** The body is not needed any more. May be called again. */
  release(): void {
    drop(this.#claim);
  }
}

function dropLapsed(now: number, except: Claim): void {
  for (const claim of claims) if (claim.lapsesAt <= now && claim !== except) drop(claim);
}

function drop(claim: Claim): void {
  if (claims.delete(claim)) held -= claim.bytes;
}
