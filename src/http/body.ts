/**
 * The request body, from bytes to text: the one reader of every endpoint. Bounded in size and time, UTF-8 only, counted
 * while it is read and against what the isolate may hold.
 *
 * Opening a body looks at headers alone and comes before the key record is read, so a bad request costs no I/O.
 */
import type { Deadlines } from "../lib/time/deadline.ts";
import { withTimeout } from "../lib/time/with-timeout.ts";
import { RouterError, retryAfter } from "./errors.ts";
import { BodyClaim } from "./in-flight.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** Nesting beyond this is refused: no real request comes near, and deep values cannot cross to a Durable Object. */
export const MAX_DEPTH = 64;

/** Bytes that a body may have, by endpoint. That of model requests is the deployment's to set: see `config.ts`. */
export const BODY_LIMITS = {
  /** A verdict and a reason. */
  decision: 16 * KIB,
  /** Policies are the longest that operators send. */
  admin: MIB,
} as const;

/** How long a body may take whatever its size, and the slowest average rate beyond that. */
const BODY_GRACE_MS = 10_000;
const MIN_BYTES_PER_MS = 100;
/** How much of a refused body is read and dropped, and for how long without a byte. */
const MAX_DRAINED_BYTES = 16 * MIB;
const MAX_DRAIN_PAUSE_MS = 250;

/** Shorter bodies are due within ten seconds of their grace, and one native read takes less of the processor. */
const MAX_UNWATCHED_BYTES = MIB;

const JSON_TYPE = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?\s*$/i;

/** White space may stand in three places of the pattern: of a long run of it each would try every share. */
const MAX_TYPE_LENGTH = 256;

/** The part of a `Request` that is read. */
type Incoming = Pick<Request, "headers" | "body" | "arrayBuffer">;

/** A body that was announced and is not read yet. Its opener releases it, on every way out. */
export class OpenBody {
  readonly #request: Incoming;
  readonly #receivedAt: number;
  readonly #maxBytes: number;
  readonly #claim: BodyClaim;
  /** `null`: no length was declared. */
  readonly #declared: number | null;

  /**
   * Throws 415 unless the body is declared as plain UTF-8 JSON, 413 when its declared length is above `maxBytes`, and
   * 503 `overloaded` when the isolate has no room for it. `receivedAt`: epoch ms.
   */
  constructor(request: Incoming, receivedAt: number, maxBytes: number) {
    const { headers } = request;
    refuseType(headers);
    const length = headers.get("content-length");
    const declared = length === null ? null : Number(length);
    if (declared !== null && declared > maxBytes) throw tooLarge(maxBytes);
    this.#request = request;
    this.#receivedAt = receivedAt;
    this.#maxBytes = maxBytes;
    this.#declared = declared;
    this.#claim = new BodyClaim(receivedAt);
    if (this.#claim.grow(declared ?? 0, receivedAt)) return;
    this.release();
    throw overloaded();
  }

  /** The body's text. Throws 413, 503 `overloaded`, or 400 for a body that stalls or is not UTF-8. */
  async read(deadlines: Deadlines): Promise<string> {
    return decodeBody(await this.#bytes(deadlines));
  }

  #bytes(deadlines: Deadlines): Promise<ArrayBuffer | Uint8Array> {
    if (this.#declared === null) return this.#readUncounted(deadlines);
    return this.#declared > MAX_UNWATCHED_BYTES
      ? this.#readWatched(this.#declared, deadlines)
      : this.#readDeclared(this.#receivedAt + allowedMs(this.#declared), deadlines);
  }

  /**
   * Counts `bytes` that the request takes besides its body, as long as the body is held. Throws 503 `overloaded` when the
   * isolate has no room for them.
   */
  hold(bytes: number): void {
    if (!this.#claim.grow(bytes, Date.now())) throw overloaded();
  }

  /** The body may be needed until `time` (epoch ms), and is let go after it whatever becomes of its request. */
  keepUntil(time: number): void {
    this.#claim.keepUntil(time);
  }

  /** No attempt can need the body any more: its bytes are free for other requests. May be called again. */
  release(): void {
    this.#claim.release();
  }

  /**
   * A long body of a declared length: due the later the more of it has come. What is announced and does not come would
   * keep the room of all tenants, for two minutes where ten MiB are announced.
   */
  async #readWatched(declared: number, deadlines: Deadlines): Promise<Uint8Array> {
    if (this.#request.body === null) return new Uint8Array();
    const reader = this.#request.body.getReader();
    const whole = new Uint8Array(declared);
    let length = 0;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const watch = (): void => {
      const dueAt = this.#receivedAt + allowedMs(length);
      if (dueAt <= Date.now()) reject(tooLate());
      else deadline = deadlines.add(dueAt, watch);
    };
    let deadline = deadlines.add(this.#receivedAt + BODY_GRACE_MS, watch);
    try {
      // A body that the client cuts short rejects: no client is left to read the response.
      const read = async (): Promise<void> => {
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
          whole.set(piece.value, length);
          length += piece.value.byteLength;
        }
      };
      await Promise.race([
        read().catch(() => {
          throw tooLate();
        }),
        late,
      ]);
    } finally {
      deadlines.drop(deadline);
      void reader.cancel().catch(() => {});
    }
    if (length < declared) throw tooLate();
    return whole;
  }

  /** A body whose length the runtime holds it to, already checked: one native read. */
  async #readDeclared(dueAt: number, deadlines: Deadlines): Promise<ArrayBuffer> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const deadline = deadlines.add(dueAt, () => reject(tooLate()));
    try {
      // A body that the client cuts short rejects: no client is left to read the response.
      const read = this.#request.arrayBuffer().catch(() => {
        throw tooLate();
      });
      return await Promise.race([read, late]);
    } finally {
      deadlines.drop(deadline);
    }
  }

  /** A chunked body: counted while it is read, and due later the more of it has come. */
  async #readUncounted(deadlines: Deadlines): Promise<Uint8Array> {
    if (this.#request.body === null) return new Uint8Array();
    const reader = this.#request.body.getReader();
    const chunks: Uint8Array[] = [];
    let length = 0;
    let isLate = false;
    const watch = (): void => {
      const dueAt = this.#receivedAt + allowedMs(length);
      isLate = dueAt <= Date.now();
      if (isLate) void reader.cancel().catch(() => {});
      else deadline = deadlines.add(dueAt, watch);
    };
    let deadline = deadlines.add(this.#receivedAt + BODY_GRACE_MS, watch);
    let refusal: RouterError | null = null;
    try {
      while (length <= this.#maxBytes + MAX_DRAINED_BYTES) {
        const { done, value } = await reader.read();
        if (done) break;
        length += value.byteLength;
        if (length > this.#maxBytes) refusal ??= tooLarge(this.#maxBytes);
        else if (refusal === null && !this.#claim.grow(value.byteLength, Date.now())) refusal = overloaded();
        // Bytes that will not be read are dropped at once.
        if (refusal === null) chunks.push(value);
        else this.#claim.release();
      }
    } catch {
      throw refusal ?? tooLate();
    } finally {
      deadlines.drop(deadline);
      void reader.cancel().catch(() => {});
    }
    if (refusal !== null) throw refusal;
    if (isLate) throw tooLate();
    return concatenate(chunks, length);
  }
}

function refuseType(headers: Headers): void {
  const type = headers.get("content-type");
  const encoding = headers.get("content-encoding");
  const isJson = type !== null && type.length <= MAX_TYPE_LENGTH && JSON_TYPE.test(type);
  if (isJson && (encoding === null || encoding.toLowerCase() === "identity")) return;
  throw new RouterError(
    "unsupported_media_type",
    "Send the body as uncompressed UTF-8 JSON with the header `Content-Type: application/json`.",
  );
}

/**
 * Reads and drops what the client of a refused request is still sending, up to a limit: a client cut off while it sends
 * sees a broken connection and not the answer. Never rejects.
 */
export async function drain(request: Pick<Request, "headers" | "body" | "bodyUsed">): Promise<void> {
  const declared = Number(request.headers.get("content-length") ?? 0);
  if (request.body === null || request.bodyUsed || declared > MAX_DRAINED_BYTES) return;
  try {
    const reader = request.body.getReader();
    for (let length = 0; length <= MAX_DRAINED_BYTES; ) {
      const { done, value } = await withTimeout(MAX_DRAIN_PAUSE_MS, () => reader.read());
      if (done) return;
      length += value.byteLength;
    }
    await reader.cancel();
  } catch {
    // The client is gone, or has stopped sending.
  }
}

// Fatal: the lenient decoder would silently turn broken bytes into U+FFFD. The byte order mark stays: JSON has none.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeBody(bytes: ArrayBuffer | Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new RouterError("invalid_json", "The request body is not valid UTF-8.");
  }
}

function allowedMs(bytes: number): number {
  return BODY_GRACE_MS + bytes / MIN_BYTES_PER_MS;
}

function tooLarge(maxBytes: number): RouterError {
  const size = maxBytes < MIB ? `${maxBytes / KIB} KiB` : `${maxBytes / MIB} MiB`;
  return new RouterError("request_too_large", `The request body is larger than ${size}, the most this endpoint takes.`);
}

function tooLate(): RouterError {
  return new RouterError("invalid_request", "The request body took too long to arrive. Send it without pauses.");
}

export function overloaded(): RouterError {
  const message = "This instance holds as many request bodies as it can. Retry in a second.";
  return new RouterError("overloaded", message, { headers: { "retry-after": retryAfter(1_000) } });
}

function concatenate(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
