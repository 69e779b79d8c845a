/** Text of others as header values: whatever it is, setting the header does not throw. */

/** One value. A header carries printable ASCII only; anything else becomes `?`. */
const MAX_LENGTH = 256;

export function headerText(text: string): string {
  return text.slice(0, MAX_LENGTH).replace(/[^\x20-\x7e]/g, "?");
}

/**
 * Names in a list, at most `maxLength` characters together: what has no room is counted as `+3 more`. A name that could be
 * read as two, or would have to be changed to be sent, is `other`.
 */
export function headerList(names: readonly string[], maxLength: number): string {
  const printable = new Set(names.map((name) => (/^[!#-+\--~]{1,100}$/.test(name) ? name : "other")));
  const kept: string[] = [];
  let length = 0;
  for (const name of printable) {
    length += name.length + 2;
    if (length > maxLength) break;
    kept.push(name);
  }
  const left = printable.size - kept.length;
  if (left > 0) kept.push(`+${left} more`);
  return kept.join(", ");
}
