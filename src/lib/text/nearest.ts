/** The name that somebody who misspelled it most likely meant. */

/** Longer texts are no misspelled names, and the work grows with the square of the length. */
const MAX_LENGTH = 128;
/** Only the first entries of a longer list are compared. */
const MAX_CANDIDATES = 300;

/** The candidate with the fewest changes of single characters between it and `text`; `null` where there is none. */
export function nearest(text: string, candidates: Iterable<string>): string | null {
  const wanted = text.slice(0, MAX_LENGTH).toLowerCase();
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  let count = 0;
  for (const candidate of candidates) {
    if (++count > MAX_CANDIDATES) break;
    const distance = editDistance(wanted, candidate.slice(0, MAX_LENGTH).toLowerCase());
    if (distance >= bestDistance) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}

/** Levenshtein's: insertions, deletions and replacements. */
export function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let i = 0; i < from.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < to.length; j++) {
      const replaced = (row[j] ?? 0) + (from[i] === to[j] ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
