/** The id that was probably meant. Pure. */
import { catalog } from "./models.ts";

/** Ids are shorter. Beyond it nothing is compared: the work grows with the product of both lengths. */
const MAX_LENGTH = 96;
/** So many edits per character of the longer id are a slip of the hand; more are another model. */
const MAX_DISTANCE = 0.34;

/** The id in the catalogue that is most like `model`; `null` where none is, or where the provider is not in it. */
export function nearestModel(provider: string, model: string): string | null {
  const { models } = catalog();
  const ids = Object.hasOwn(models, provider) ? Object.keys(models[provider] ?? {}) : [];
  let nearest: { readonly id: string; readonly distance: number } | null = null;
  if (model.length > MAX_LENGTH) return null;
  for (const id of ids) {
    const most = Math.floor(Math.max(id.length, model.length) * MAX_DISTANCE);
    if (Math.abs(id.length - model.length) > most) continue;
    const distance = editDistance(model.toLowerCase(), id.toLowerCase());
    if (distance <= most && distance < (nearest?.distance ?? Number.POSITIVE_INFINITY)) nearest = { id, distance };
  }
  return nearest?.id ?? null;
}

/** Levenshtein's: insertions, deletions and replacements of one character each. */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}
