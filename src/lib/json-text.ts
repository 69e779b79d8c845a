/**
 * Exact text cut out of JSON text: what a provider wrote as a tool's arguments, digit by digit and key by key.
 *
 * `text` must already have passed `tryParseJson`; on other input the result means nothing, but every call still ends.
 */
import { endOfString, scanArray, scanJson } from "./json.ts";

/** The text of the value under `name`, of the last one where it comes twice, as parsing has it. */
export function memberText(text: string, name: string): string | undefined {
  const member = scanJson(text).members.findLast(({ key }) => key === name);
  return member === undefined ? undefined : text.slice(member.valueStart, member.valueEnd);
}

/** The same at the end of a path of names. */
export function textAt(text: string, ...names: readonly string[]): string | undefined {
  return names.reduce<string | undefined>(
    (found, name) => (found === undefined ? undefined : memberText(found, name)),
    text,
  );
}

/** The text of each element of an array; of nothing but an array there are none. */
export function elementTexts(text: string): string[] {
  const start = text.search(/\S/);
  if (text[start] !== "[") return [];
  return scanArray(text, start).map(({ start: from, end }) => text.slice(from, end));
}

/**
 * A JSON value without the line breaks and the indentation of pretty-printing; every value keeps its spelling. One on a
 * single line is left as it is.
 */
export function onOneLine(text: string): string {
  // No string of JSON has a line break in it.
  if (!/[\r\n]/.test(text)) return text;
  const kept: string[] = [];
  let from = 0;
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    if (code === 0x22) at = endOfString(text, at);
    else if (code > 0x20) at++;
    else {
      kept.push(text.slice(from, at));
      from = ++at;
    }
  }
  return kept.join("") + text.slice(from);
}
