/** Which tool calls a policy approves or denies by name, and when two spellings of arguments are the same arguments. */
import { endOfString, isJsonObject, isTooDeep, MAX_DEPTH, tryParseJson } from "../lib/json.ts";

/** What a policy says of a call before anyone is asked. */
export type Verdict = "approved" | "denied" | "pending";

export interface ToolRules {
  readonly auto_approve: readonly string[];
  readonly deny: readonly string[];
}

/** `deny` wins. A call without a name is never approved by a rule: what cannot be named cannot be approved. */
export function verdictOf(name: string, rules: ToolRules): Verdict {
  if (rules.deny.some((glob) => matchesGlob(name, glob))) return "denied";
  return name !== "" && rules.auto_approve.some((glob) => matchesGlob(name, glob)) ? "approved" : "pending";
}

/** `*` stands for any run of characters, `?` for one. Takes at most `name.length * glob.length` steps. */
export function matchesGlob(name: string, glob: string): boolean {
  let at = 0;
  let of = 0;
  let star = -1;
  let retryAt = 0;
  while (at < name.length) {
    if (glob[of] === "*") {
      star = of++;
      retryAt = at;
    } else if (of < glob.length && (glob[of] === "?" || glob[of] === name[at])) {
      at++;
      of++;
    } else if (star !== -1) {
      of = star + 1;
      at = ++retryAt;
    } else return false;
  }
  while (glob[of] === "*") of++;
  return of === glob.length;
}

/**
 * Are these the same arguments? As JSON values: white space, key order, escapes and number spelling do not count.
 * Texts that are no JSON, or name a key twice, are compared as they are. No text at all means no arguments.
 */
export function sameArguments(left: string, right: string): boolean {
  if (left === right) return true;
  const canonical = canonicalJson(left);
  return canonical !== null && canonical === canonicalJson(right);
}

/** One spelling for every JSON text of the same value; `null` for what is no JSON, names a key twice or is too deep. */
export function canonicalJson(text: string): string | null {
  const given = text.trim() === "" ? "{}" : text;
  const value = tryParseJson(given, MAX_DEPTH + 1);
  if (value === undefined || isTooDeep(value)) return null;
  const reader = new CanonicalReader(given);
  const canonical = reader.value();
  return reader.hasTwins ? null : canonical;
}

const NUMBER = /-?[0-9.eE+-]+/y;
const SPACE = /[\t\n\r ]*/y;
const WORD = /[a-z]+/y;

/** Reads text that is known to be JSON: every expectation below is met. */
class CanonicalReader {
  hasTwins = false;
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): string {
    this.#take(SPACE);
    const first = this.#text[this.#at] ?? "";
    if (first === "{") return this.#object();
    if (first === "[") return this.#array();
    if (first === '"') return this.#string();
    return /[a-z]/.test(first) ? this.#take(WORD) : canonicalNumber(this.#take(NUMBER));
  }

  #object(): string {
    const members = new Map<string, string>();
    this.#at++;
    while (!this.#isAt("}")) {
      if (this.#isAt(",")) this.#at++;
      this.#take(SPACE);
      const key = this.#string();
      this.#take(SPACE);
      this.#at++;
      if (members.has(key)) this.hasTwins = true;
      members.set(key, this.value());
    }
    this.#at++;
    const sorted = [...members].sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${sorted.map(([key, value]) => `${key}:${value}`).join(",")}}`;
  }

  #array(): string {
    const elements: string[] = [];
    this.#at++;
    while (!this.#isAt("]")) {
      if (this.#isAt(",")) this.#at++;
      elements.push(this.value());
    }
    this.#at++;
    return `[${elements.join(",")}]`;
  }

  #string(): string {
    const start = this.#at;
    this.#at = endOfString(this.#text, start);
    return JSON.stringify(tryParseJson(this.#text.slice(start, this.#at)));
  }

  #isAt(character: string): boolean {
    this.#take(SPACE);
    return this.#text[this.#at] === character;
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }
}

/** Loops, because a pattern would try every run of zeros from each of its zeros. */
function withoutTrailingZeros(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === "0") end--;
  return digits.slice(0, end);
}

function withoutLeadingZeros(digits: string): string {
  let start = 0;
  while (digits[start] === "0") start++;
  return digits.slice(start);
}

const PARTS = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/**
 * A whole number keeps every digit: 2^53 and 2^53+1 may be two accounts. Any other number is the double that clients
 * make of it. Exponents that no double reaches stay as they are written.
 */
function canonicalNumber(text: string): string {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = PARTS.exec(text) ?? [];
  const digits = withoutLeadingZeros(whole + fraction);
  const significant = withoutTrailingZeros(digits);
  if (significant === "") return "0";
  const power = Number(exponent) - fraction.length + (digits.length - significant.length);
  // The exponent itself lost digits when it was read.
  if (!Number.isSafeInteger(power)) return text;
  if (power >= 0 && power <= 400) return `${sign}${significant}e${power}`;
  const double = Number(text);
  return Number.isFinite(double) && double !== 0 ? String(double) : `${sign}${significant}e${power}`;
}

/** The canonical text of a value that was parsed already, for digests. */
export function canonicalValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalValue).join(",")}]`;
  if (!isJsonObject(value)) return JSON.stringify(value) ?? "null";
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalValue(value[key])}`).join(",")}}`;
}
