/**
 * Long lists of a body before a validator sees them: only the first fault is named, a million issues would exhaust memory,
 * and a validator takes ten times as long as a look.
 */
type Json = Readonly<Record<string, unknown>>;

/** Elements of a list whose faults may all be gathered. */
const FEW = 1_000;

/**
 * Those of `fields` that are long lists of `checks`, shorter: cut behind the first element that its check refuses. Where
 * there is none, the first one stands for all. A check must refuse what the validator refuses.
 */
export function shortLists(
  fields: Json,
  checks: Readonly<Record<string, (element: unknown) => boolean>>,
): Readonly<Record<string, readonly unknown[]>> {
  const found: Record<string, readonly unknown[]> = {};
  for (const [name, accepts] of Object.entries(checks)) {
    const list = fields[name];
    if (!Array.isArray(list) || list.length <= FEW) continue;
    const at = list.findIndex((element) => !accepts(element));
    found[name] = list.slice(0, Math.max(1, at + 1));
  }
  return found;
}

/** The same of lists that are checked as a whole, too: those without a fault stay as they are. */
export function listsUpToFault(
  fields: Json,
  checks: Readonly<Record<string, (element: unknown) => boolean>>,
): Readonly<Record<string, readonly unknown[]>> {
  const short = Object.entries(shortLists(fields, checks));
  return Object.fromEntries(short.filter(([name, list]) => checks[name]?.(list.at(-1)) === false));
}
