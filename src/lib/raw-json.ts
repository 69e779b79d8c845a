/**
 * JSON with exact pieces in it: text that is JSON already and must not be parsed and written again, because parsing
 * rounds integers beyond 2^53, reorders integer-like keys and forgets how a number was spelled.
 */

/** Marks the places of exact pieces while the rest is written. It is random, so that no text of a client matches it. */
let mark: string | undefined;
let pieces: string[] = [];

/** Exactly one JSON value, as text. */
export class RawJson {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** Only `stringifyRaw` may write it: any other writer gets a string that means nothing. */
  toJSON(): string {
    return `${mark}${pieces.push(this.text) - 1}:`;
  }
}

/** As `JSON.stringify`, with every `RawJson` in `value` written as it is. Throws where `value` is nested too deep. */
export function stringifyRaw(value: unknown): string {
  mark ??= `raw:${crypto.randomUUID()}:`;
  pieces = [];
  const text = JSON.stringify(value);
  if (pieces.length === 0) return text;
  const parts = text.split(`"${mark}`);
  const exact = pieces;
  pieces = [];
  return parts.map((part, at) => (at === 0 ? part : exact[at - 1] + part.slice(part.indexOf('"') + 1))).join("");
}
