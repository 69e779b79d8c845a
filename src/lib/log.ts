/** The only console writer: one JSON line per event, fields named one by one, so nothing is logged by accident. */

type LogValue = string | number | boolean | null | undefined;

export interface LogLine {
  readonly event: string;
  /** A list holds one line of fields for each of several things. */
  readonly [field: string]: LogValue | readonly { readonly [field: string]: LogValue }[];
}

export function log(line: LogLine): void {
  console.log(JSON.stringify(line));
}

/** The same at the level that filters for errors find. */
export function logError(line: LogLine): void {
  console.error(JSON.stringify(line));
}
