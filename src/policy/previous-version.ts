/** Which version a rollback without a number goes back to. Pure: the host and the command line ask the same. */

/** One version of a route, and the one it repeats where a rollback made it. */
export interface VersionStep {
  readonly version: number;
  readonly repeats: number | null;
}

/**
 * The last version that served before the active one and was not itself left by a rollback; `null` when there is none.
 * An active version that a rollback made counts as the one that it repeats, so that rolling back twice goes further back
 * and never returns to what was left. `active`: `null` where the route is deleted; then its last version comes back.
 */
export function previousVersion(steps: readonly VersionStep[], active: number | null): number | null {
  const repeats = new Map(steps.map((step) => [step.version, step.repeats]));
  const newest = Math.max(0, ...repeats.keys());
  let served = active ?? newest + 1;
  // A version repeats an older one, so this ends.
  for (let older = repeats.get(served); older !== undefined && older !== null; older = repeats.get(served)) {
    served = older;
  }
  const wasLeft = (version: number): boolean => (repeats.get(version + 1) ?? null) !== null;
  const candidates = [...repeats.keys()].filter((version) => version < served && !wasLeft(version));
  return candidates.length === 0 ? null : Math.max(...candidates);
}
