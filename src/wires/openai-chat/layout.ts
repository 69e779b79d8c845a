/**
 * The order of a turn's parts, for a wire that has none.
 *
 * A chat message has one content, one list of calls and one of reasoning, so the order in which the model made them is
 * lost. Providers that sign their turns want them back exactly as they were. Where the order is not the plain one
 * (reasoning, one text, calls), it travels as one more entry of `reasoning_details`, `{id: "flow-layout", data}`: a list
 * of `r` (entry of `reasoning_details`), `t<length>` (text), `c` (call), `b` (server block) and `i` (image), each the next
 * of its kind. `t<length>+<count>` is a text with the next citations of the message. An entry that belongs to the text
 * before it follows as `s`.
 */
import type { Json } from "../../conversation/part.ts";

export const LAYOUT_ID = "flow-layout";

export type LayoutToken =
  | { readonly kind: "reasoning" | "call" | "block" | "attached" | "image" }
  | { readonly kind: "text"; readonly length: number; readonly citations?: number };

const LETTERS = { r: "reasoning", c: "call", b: "block", s: "attached", i: "image" } as const;

export function writeLayout(tokens: readonly LayoutToken[]): string {
  return tokens.map(writeToken).join(" ");
}

function writeToken(token: LayoutToken): string {
  if (token.kind !== "text") return token.kind === "attached" ? "s" : token.kind.slice(0, 1);
  return `t${token.length}${token.citations === undefined ? "" : `+${token.citations}`}`;
}

/** A turn in the order that a reader assumes anyway: reasoning, one text without citations, images, calls. */
export function isPlain(tokens: readonly LayoutToken[]): boolean {
  const rank = { reasoning: 0, text: 1, image: 2, call: 3, block: 4, attached: 4 } as const;
  const ranks = tokens.map(({ kind }) => rank[kind]);
  const texts = tokens.filter((token) => token.kind === "text");
  if (texts.some((token) => token.citations !== undefined)) return false;
  return texts.length <= 1 && ranks.every((each, at) => each < 4 && (at === 0 || each >= (ranks[at - 1] ?? 0)));
}

const MAX_TOKENS = 4_096;

/** The tokens of a layout entry among `details`; `null` where there is none, or it cannot be read. */
export function readLayout(details: readonly unknown[]): readonly LayoutToken[] | null {
  const entry = details.find((each): each is Json => isLayout(each));
  const data = entry?.["data"];
  if (typeof data !== "string" || data === "") return null;
  const words = data.split(" ");
  if (words.length > MAX_TOKENS) return null;
  const tokens: LayoutToken[] = [];
  for (const word of words) {
    const letter = word[0] ?? "";
    const [, length, citations] = /^t(\d{1,9})(?:\+(\d{1,6}))?$/.exec(word) ?? [];
    if (length !== undefined) {
      tokens.push({
        kind: "text",
        length: Number(length),
        ...(citations === undefined ? {} : { citations: Number(citations) }),
      });
    } else if (word.length === 1 && Object.hasOwn(LETTERS, letter)) {
      tokens.push({ kind: LETTERS[letter as keyof typeof LETTERS] });
    } else return null;
  }
  return tokens;
}

export function isLayout(entry: unknown): boolean {
  return typeof entry === "object" && entry !== null && (entry as Json)["id"] === LAYOUT_ID;
}
