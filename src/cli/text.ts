/**
 * Text for a terminal: without anything that it would act on, measured in the columns that it takes, cut to fit.
 *
 * Text from the other side may hold anything, a model's tool arguments included: nothing reaches a terminal that could
 * move its cursor or turn its text around.
 */

/** Control characters, and those that change the direction of text or cannot be seen. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu;
const JOINER = "\u200d";
const BEFORE_JOINER = /\p{Extended_Pictographic}[\ufe0f\u{1f3fb}-\u{1f3ff}]{0,2}$/u;
const AFTER_JOINER = /^\p{Extended_Pictographic}/u;
/** More than an emoji and what modifies it can have. */
const EMOJI_UNITS = 8;

const escapeCharacter = (character: string): string =>
  [...Array(character.length).keys()]
    .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`)
    .join("");

/** A joiner between two emoji makes one of them, and hides nothing. */
function joinsEmoji(text: string, at: number): boolean {
  const before = text.slice(Math.max(0, at - EMOJI_UNITS), at);
  return BEFORE_JOINER.test(before) && AFTER_JOINER.test(text.slice(at + 1, at + 1 + EMOJI_UNITS));
}

function escapeUnsafe(text: string, keepsLines: boolean): string {
  return text.replace(UNSAFE, (character: string, at: number) => {
    if (keepsLines && character === "\n") return character;
    return character === JOINER && joinsEmoji(text, at) ? character : escapeCharacter(character);
  });
}

/** `text` on one line, with what a terminal would act on spelled out. */
export const safe = (text: string): string => escapeUnsafe(text, false);

/** A model's answer: its lines stay, everything else that a terminal would act on is spelled out. */
export const safeLines = (text: string): string => escapeUnsafe(text, true);

/** A JSON document, still the same value when it is parsed, with nothing that a terminal would act on. */
export const jsonText = (value: unknown): string => `${escapeUnsafe(JSON.stringify(value, null, 2), true)}\n`;

/** Letters and signs of two columns: https://www.unicode.org/reports/tr11/, as far as terminals follow it. */
const WIDE =
  /^(?![\uff61-\uffdc])(?:\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|\p{Emoji_Presentation}|\p{Extended_Pictographic}.*[\ufe0f\u200d]|[\u3000-\u303e\uff01-\uff60\uffe0-\uffe6])/u;
const PLAIN = /^[\x20-\x7e]*$/;
const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });

const widthOf = (grapheme: string): number => (WIDE.test(grapheme) ? 2 : 1);

/** Columns that `text` takes. */
export function displayWidth(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const { segment } of segmenter.segment(text)) width += widthOf(segment);
  return width;
}

/** `text` in at most `columns`, its end replaced by `…` where it is longer. */
export function clip(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let kept = "";
  let width = 0;
  for (const { segment } of segmenter.segment(text)) {
    width += widthOf(segment);
    if (width > columns - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}

export const pad = (text: string, columns: number): string =>
  text + " ".repeat(Math.max(0, columns - displayWidth(text)));

const UNITS = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
  ["s", 1],
] as const;

/** `5m ago`, `in 3d`. */
export function relativeTime(text: unknown, now: number): string | null {
  const at = typeof text === "string" ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) return null;
  const seconds = Math.round(Math.abs(now - at) / 1_000);
  const [unit, size] = UNITS.find(([, each]) => seconds >= each) ?? ["s", 1];
  const amount = `${Math.floor(seconds / size)}${unit}`;
  return at <= now ? `${amount} ago` : `in ${amount}`;
}

const DURATION = /^([0-9]{1,6})([smhdw])$/;
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

/** A time as the host reads it: ISO 8601 as it is, `1h` that long before `now`, or after it where `isAhead`. */
export function timeOf(text: string, now: number, isAhead: boolean): string | null {
  const [, amount, unit] = DURATION.exec(text) ?? [];
  if (amount !== undefined && unit !== undefined) {
    const ms = Number(amount) * (SECONDS[unit] ?? 0) * 1_000;
    return new Date(isAhead ? now + ms : now - ms).toISOString();
  }
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : new Date(at).toISOString();
}

export function usdText(value: unknown): string | null {
  if (typeof value !== "number") return null;
  if (value === 0) return "$0";
  const amount = Math.abs(value);
  return `${value < 0 ? "-" : ""}$${amount < 0.01 ? amount.toPrecision(2) : amount.toFixed(amount < 1 ? 4 : 2)}`;
}
