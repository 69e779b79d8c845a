/**
 * Tokens of text that was not counted: of an answer that was left before its usage, of a prompt whose answer never
 * came.
 *
 * By characters, weighed by script, because an event of a stream may carry a word or a page. A tokenizer needs about a
 * quarter of a token for a character of English or JSON, more than half of one for Cyrillic, Greek, Hebrew or Arabic, a
 * whole one for Chinese, Japanese, Korean or an emoji. The length in UTF-8 tells these scripts apart: one byte, two
 * bytes, three or four.
 */
import { utf8Length } from "../lib/text/utf8-length.ts";

const TOKENS_PER_UNIT = 1 / 4;
/** With it a character of three bytes is one token. */
const TOKENS_PER_FURTHER_BYTE = 3 / 8;

/** `units` of UTF-16 that are `bytes` long in UTF-8. */
export interface TextSize {
  readonly units: number;
  readonly bytes: number;
}

/** Tokens of so much text, not rounded. */
export function tokensOf({ units, bytes }: TextSize): number {
  return units * TOKENS_PER_UNIT + Math.max(0, bytes - units) * TOKENS_PER_FURTHER_BYTE;
}

/** Pieces of a stream are shorter than it takes to measure them. */
const SHORT_LENGTH = 64;

/** The same for `text`, every character of which is text. */
export function textTokens(text: string): number {
  const units = text.length;
  return units <= SHORT_LENGTH && isAscii(text)
    ? units * TOKENS_PER_UNIT
    : tokensOf({ units, bytes: utf8Length(text) });
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}

/** Tokens of a request body, of which `base64Length` characters are pictures, sound and files. */
export function promptTokens(body: string, base64Length: number): number {
  return Math.ceil(tokensOf({ units: body.length - base64Length, bytes: utf8Length(body) - base64Length }));
}
