/** How long a target whose stream broke a rule of its protocol is read event by event. */
import type { TargetHealth } from "./target.ts";
import type { HealthSnapshot } from "./types.ts";

export const UNCLEAN_MS = 3_600_000;

/** Known here at once, to the other isolates with the next post. */
export function noteUnclean(health: TargetHealth, now: number): void {
  health.uncleanUntil = now + UNCLEAN_MS;
  health.pending.isUnclean = true;
}

/** What the target's object says of it, by its own clock. */
export function adoptUnclean(health: TargetHealth, { at, uncleanUntil = 0 }: HealthSnapshot, now: number): void {
  const leftMs = Math.min(UNCLEAN_MS, uncleanUntil - at);
  if (leftMs > 0) health.uncleanUntil = Math.max(health.uncleanUntil, now + leftMs);
}
