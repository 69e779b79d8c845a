/**
 * The arguments of a tool call as a client gets them: the exact text of the model, and `{}` where it gave none.
 *
 * Some models write `null`, as a value or as a text, for a tool without parameters. A client parses that into nothing it
 * can call a function with. https://github.com/vercel/ai/pull/4755. Others write the object as a JSON text once more.
 */
import { isJsonObject, tryParseJson } from "../lib/json.ts";

/** Longer than white space around a `null` ever is. */
const MAX_HELD_LENGTH = 64;
/** Arguments that begin as a text are held back up to this length, in characters. */
const MAX_QUOTED_LENGTH = 1_048_576;

/** The arguments of a whole answer. `text`: as the model wrote them, `""` for none. */
export function argumentsText(text: string): string {
  if (isNone(text)) return "{}";
  const inner = isQuoted(text) && text.length <= MAX_QUOTED_LENGTH ? tryParseJson(text) : undefined;
  return typeof inner === "string" && isJsonObject(tryParseJson(inner)) ? inner : text;
}

const isQuoted = (text: string): boolean => text.trimStart().startsWith('"');

function isNone(text: string): boolean {
  const trimmed = text.trim();
  return trimmed === "" || trimmed === "null";
}

/** The same for arguments in pieces: they are held back while all of them may turn out to be `null`, or a text. */
export class CallArguments {
  /** `null`: the arguments have begun, every piece passes. */
  #held: string[] | null = [];
  #length = 0;
  #isText = false;

  /** What of the pieces so far is due now. */
  push(piece: string): string {
    if (this.#held === null) return piece;
    this.#held.push(piece);
    this.#length += piece.length;
    if (this.#isText && this.#length <= MAX_QUOTED_LENGTH) return "";
    const held = this.#held.join("");
    this.#isText = !this.#isText && isQuoted(held);
    if (this.#isText || (this.#length <= MAX_HELD_LENGTH && "null".startsWith(held.trim()))) return "";
    this.#held = null;
    return held;
  }

  /** What is due at the end of the call. */
  end(): string {
    const held = this.#held;
    this.#held = null;
    return held === null ? "" : argumentsText(held.join(""));
  }
}
