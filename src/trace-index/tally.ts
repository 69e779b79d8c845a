/**
 * What a batch of traces adds to the evidence for versions of routes, gathered before it is written: a batch of one key touches few rows.
 *
 * Used for one batch only.
 */
import { slotOf } from "./calendar.ts";
import { errorsOf, isEvidence, type TraceFacts } from "./counted-trace.ts";
import { bucketOf } from "./histogram.ts";

interface VersionSlot {
  readonly route: string;
  readonly version: number;
  readonly slot: number;
}

export interface CountRow extends VersionSlot {
  requests: number;
  succeeded: number;
  fallbacks: number;
  hedged: number;
  priced: number;
  nanoUsd: number;
}

export type LatencyKind = "first_token" | "total";

export interface LatencyRow extends VersionSlot {
  readonly kind: LatencyKind;
  readonly bucket: number;
  calls: number;
}

export interface ErrorRow extends VersionSlot {
  readonly class: string;
  /** Empty where no attempt was made. */
  readonly provider: string;
  errors: number;
}

export class Tally {
  readonly #dayStartAt: number;
  readonly #counts = new Map<string, CountRow>();
  readonly #latencies = new Map<string, LatencyRow>();
  readonly #errors = new Map<string, ErrorRow>();

  constructor(dayStartAt: number) {
    this.#dayStartAt = dayStartAt;
  }

  add(facts: TraceFacts): void {
    const slot = slotOf(facts.createdAt, this.#dayStartAt);
    if (isEvidence(facts)) this.#addEvidence(facts, { route: facts.route, version: facts.routeVersion, slot });
  }

  counts(): Iterable<CountRow> {
    return this.#counts.values();
  }

  latencies(): Iterable<LatencyRow> {
    return this.#latencies.values();
  }

  errors(): Iterable<ErrorRow> {
    return this.#errors.values();
  }

  #addEvidence(facts: TraceFacts, at: VersionSlot): void {
    const row = rowOf(this.#counts, [at.route, at.version, at.slot], () => {
      return { ...at, requests: 0, succeeded: 0, fallbacks: 0, hedged: 0, priced: 0, nanoUsd: 0 };
    });
    const isPriced = facts.attempts.every(({ nanoUsd }) => nanoUsd !== null);
    row.requests++;
    row.succeeded += facts.status === "ok" ? 1 : 0;
    row.fallbacks += facts.fallback ? 1 : 0;
    row.hedged += facts.attempts.some(({ hedged }) => hedged) ? 1 : 0;
    row.priced += isPriced ? 1 : 0;
    if (isPriced) for (const { nanoUsd } of facts.attempts) row.nanoUsd += nanoUsd ?? 0;
    for (const error of errorsOf(facts)) this.#addError(at, error.class, error.provider ?? "");
    // A failure that came quickly would make the version look fast.
    if (facts.status !== "ok") return;
    this.#addLatency(at, "first_token", facts.firstTokenMs);
    this.#addLatency(at, "total", facts.totalMs);
  }

  #addError(at: VersionSlot, errorClass: string, provider: string): void {
    const key = [at.route, at.version, at.slot, errorClass, provider];
    rowOf(this.#errors, key, () => ({ ...at, class: errorClass, provider, errors: 0 })).errors++;
  }

  #addLatency(at: VersionSlot, kind: LatencyKind, durationMs: number | null): void {
    if (durationMs === null) return;
    const bucket = bucketOf(durationMs);
    const key = [at.route, at.version, at.slot, kind, bucket];
    rowOf(this.#latencies, key, () => ({ ...at, kind, bucket, calls: 0 })).calls++;
  }
}

function rowOf<Row>(rows: Map<string, Row>, key: readonly (string | number)[], make: () => Row): Row {
  const name = key.join("\n");
  const known = rows.get(name);
  if (known !== undefined) return known;
  const row = make();
  rows.set(name, row);
  return row;
}
