/** What a deployment knows of a model, for operators who look at the directory while they are signed in. */

/** Fired on `window` with a `HereRows` when it is known. */
export const HERE_EVENT = "flow-layer-here";

export interface HereRow {
  /** `yes`, or empty: the provider has its secret. */
  readonly here: string;
  /** Routes with the model among their targets, `production/best-reasoning, …`. */
  readonly routes: string;
  /** First token of the last day, ms. */
  readonly p50: number | null;
  readonly p95: number | null;
  /** Tokens a second of the last day. */
  readonly speed: number | null;
  /** Percent of the requests of the last day. */
  readonly failed: number | null;
}

/** By `provider/model`. */
export type HereRows = ReadonlyMap<string, HereRow>;

export const HERE_COLUMNS: readonly (readonly [key: keyof HereRow, name: string, isNumber: boolean])[] = [
  ["here", "Here", false],
  ["routes", "Routes", false],
  ["p50", "p50 ms", true],
  ["p95", "p95 ms", true],
  ["speed", "Tokens/s", true],
  ["failed", "Failed %", true],
];
