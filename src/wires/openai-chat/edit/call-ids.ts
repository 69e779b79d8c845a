/** Ids of tool calls as Mistral and OpenAI take them. */
import type { HistoryRules } from "../../../providers/provider-row.ts";

/** OpenAI's: "string too long. Expected a string with maximum length 40". */
const MAX_SHORT = 40;

/** `id` as the provider takes it. */
export function callIdFor(rule: HistoryRules["callIds"], id: string): string {
  if (rule === "nine") return nineOf(id);
  return rule === "short" && id.length > MAX_SHORT ? `call_${nineOf(id)}` : id;
}

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** Primes near 2^32 times the golden ratio and the like: any odd, well mixed number serves. */
const [MIX_A, MIX_B] = [2654435761, 1597334677] as const;

/**
 * `id` as nine letters and digits, which is all Mistral takes ("must be a-z, A-Z, 0-9, with a length of 9", its code
 * 3280). The same id always gives the same nine, so that calls and results still meet; one that fits is left alone.
 */
export function nineOf(id: string): string {
  if (/^[A-Za-z0-9]{9}$/.test(id)) return id;
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let at = 0; at < id.length; at++) {
    const code = id.charCodeAt(at);
    a = Math.imul(a ^ code, MIX_A);
    b = Math.imul(b ^ code, MIX_B);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  // 53 bits: as many as a number holds, and nearly as many as nine characters do.
  let rest = 4294967296 * (b & 0x1fffff) + (a >>> 0);
  let text = "";
  for (let at = 0; at < 9; at++) {
    text += ALPHABET[rest % 62];
    rest = Math.floor(rest / 62);
  }
  return text;
}
