/** The only console writer: one JSON line per event, fields named one by one, so nothing is logged by accident. */

export interface LogLine {
  readonly event: string;
  readonly [field: string]: string | number | boolean | null | undefined;
}

export function log(line: LogLine): void {
  console.log(JSON.stringify(line));
}
