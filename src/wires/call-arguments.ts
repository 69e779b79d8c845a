/**
 * The arguments of a tool call as a client gets them: the exact text of the model, and `{}` where it gave none.
 *
 * Some models write `null`, as a value or as a text, for a tool without parameters. A client parses that into nothing it
 * can call a function with. https://github.com/vercel/ai/pull/4755
 */

/** Longer than white space around a `null` ever is. */
const MAX_HELD_LENGTH = 64;

/** The arguments of a whole answer. `text`: as the model wrote them, `""` for none. */
export function argumentsText(text: string): string {
  return isNone(text) ? "{}" : text;
}

function isNone(text: string): boolean {
  const trimmed = text.trim();
  return trimmed === "" || trimmed === "null";
}

/** The same for arguments in pieces: a piece is held back while all of them together may turn out to be `null`. */
export class CallArguments {
  /** `null`: the arguments have begun, every piece passes. */
  #held: string | null = "";

  /** What of the pieces so far is due now. */
  push(piece: string): string {
    if (this.#held === null) return piece;
    this.#held += piece;
    if (this.#held.length <= MAX_HELD_LENGTH && "null".startsWith(this.#held.trim())) return "";
    const due = this.#held;
    this.#held = null;
    return due;
  }

  /** What is due at the end of the call. */
  end(): string {
    const held = this.#held;
    this.#held = null;
    return held === null ? "" : argumentsText(held);
  }
}
