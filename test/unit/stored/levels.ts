/** Unknown members, put into JSON wherever a later release might have put one. */

type Json = unknown;

const UNKNOWN = { later: { deep: [1, { x: null }] } };

function isRecord(value: Json): value is Record<string, Json> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Path of every object in `value`, the outermost one as the empty path. */
function objectsIn(value: Json, path: readonly string[] = []): string[][] {
  const inner = Array.isArray(value)
    ? value.flatMap((each, at) => objectsIn(each, [...path, String(at)]))
    : isRecord(value)
      ? Object.entries(value).flatMap(([name, each]) => objectsIn(each, [...path, name]))
      : [];
  return isRecord(value) ? [[...path], ...inner] : inner;
}

/** `value` with one more member in the object at `path`. */
function widened(value: Json, path: readonly string[]): Json {
  const [first, ...rest] = path;
  if (first === undefined) return { ...(value as object), ...UNKNOWN };
  if (Array.isArray(value)) return value.map((each, at) => (String(at) === first ? widened(each, rest) : each));
  return { ...(value as object), [first]: widened((value as Record<string, Json>)[first], rest) };
}

export interface Widened {
  /** Where, in the spelling of a path. */
  readonly at: string;
  readonly value: Json;
}

/**
 * Copies of `value`, each with an unknown member in one of its objects, and one with a member in all of them. Objects under
 * `open` are maps of names that callers choose: no release adds a member there.
 */
export function everyLevel(value: Json, open: readonly string[] = []): Widened[] {
  const paths = objectsIn(value).filter((path) => !open.some((name) => path.includes(name)));
  const one = paths.map((path) => ({ at: path.join(".") || "(top)", value: widened(value, path) }));
  // From the inside, so that no path is touched before it is used.
  const all = paths.toReversed().reduce((each, path) => widened(each, path), value);
  return [...one, { at: "(everywhere)", value: all }];
}
