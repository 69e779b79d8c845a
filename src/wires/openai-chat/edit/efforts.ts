/** `reasoning_effort` as one model spells it. */

/** From the least to the most. */
const SCALE: readonly string[] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/**
 * The value of `accepted` that is nearest to `wanted`; of two equally near ones the lower, which costs less. A client
 * that asks for thinking gets some: `none` is nearest to itself only. `null`: the model has no such value, the member
 * is left out.
 */
export function nearestEffort(wanted: string, accepted: readonly string[]): string | null {
  if (accepted.includes(wanted)) return wanted;
  const at = SCALE.indexOf(wanted);
  // A word that no scale has: the provider is the better judge of it.
  if (at === -1) return wanted;
  if (wanted !== "none" && accepted.includes("default")) return "default";
  const places = accepted.map((each) => SCALE.indexOf(each)).filter((place) => place > 0);
  const nearest = places.toSorted((a, b) => Math.abs(a - at) - Math.abs(b - at) || a - b)[0];
  return nearest === undefined ? null : (SCALE[nearest] ?? null);
}
