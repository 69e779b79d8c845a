/** What passes between isolates and a target's shared health. Plain data only. */

/** What one isolate has seen since its last report. */
export interface HealthDelta {
  readonly successes: number;
  readonly failures: number;
  /** Of the successes, all together. */
  readonly durationMs: number;
  /** Epoch ms until which the vendor asked to be left alone; 0 when it did not. */
  readonly cooldownUntil: number;
}

/** What all isolates together have seen. */
export interface HealthSnapshot {
  readonly state: "closed" | "open" | "half_open";
  /** Epoch ms; before it the breaker lets nothing pass. 0 while closed. */
  readonly openUntil: number;
  readonly cooldownUntil: number;
  /** Of the last minute. */
  readonly requests: number;
  readonly failures: number;
  /** Of the successes of the last minute; `null` without one. */
  readonly meanDurationMs: number | null;
}
