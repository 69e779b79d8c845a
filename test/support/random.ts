/** Chance that is the same in every run. */

/** Numbers in [0, 1) that follow from `seed`: 32-bit linear congruence, constants of Numerical Recipes. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
