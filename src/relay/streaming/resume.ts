/**
 * Going on with a broken answer (`stream_recovery: "resume"`).
 *
 * The request has been run again on another target. Its answer is held back until it has said again, character by
 * character, what the client already has; the rest follows. As soon as it says anything else it is given up: text of two
 * models is never spliced.
 */
import { isJsonObject } from "../../lib/json.ts";
import { isFilled, isFinishReason } from "../../wires/openai-chat/chunk.ts";

type Chunk = Readonly<Record<string, unknown>>;

/** The two names that vendors have for reasoning. */
const REASONING = ["reasoning_content", "reasoning"] as const;
/** Members of a delta that are text or belong to it, and labels that say nothing of their own. */
const OF_TEXT: ReadonlySet<string> = new Set([
  ...["content", ...REASONING, "reasoning_details"],
  ...["role", "name", "channel"],
]);
/** A longer answer is not kept for comparison. In characters. */
const MAX_SENT_LENGTH = 1_048_576;

/** What the client has of an answer with one choice. */
export class SentText {
  content = "";
  reasoning = "";
  /** Under which name the reasoning went out. */
  reasoningName: string | null = null;
  #hasDetails = false;
  #hasOther = false;

  /** Everything that went out is text. What is not, such as a part of a tool call, cannot be compared. */
  get isComparable(): boolean {
    // Reasoning with details could not go on; once there is text behind it, it does not have to.
    return this.#isText && !(this.#hasDetails && this.content === "");
  }

  get #isText(): boolean {
    return !this.#hasOther && this.content.length + this.reasoning.length <= MAX_SENT_LENGTH;
  }

  note(chunk: Chunk): void {
    const piece = pieceOf(chunk);
    if (piece === null) return;
    // Probabilities are those of the model that wrote the text: another one's could not go on with them.
    this.#hasOther ||= piece.hasOther || isFilled(piece.choice["logprobs"]);
    this.#hasDetails ||= isFilled(piece.delta["reasoning_details"]);
    if (!this.#isText) return;
    this.content += piece.content;
    this.reasoning += piece.reasoning;
    if (piece.reasoning !== "") this.reasoningName ??= piece.reasoningName;
  }
}

/** The chunks of the second answer, as far as the client does not have them yet. */
export class CatchUp {
  readonly #content: ReplayFilter;
  readonly #reasoning: ReplayFilter;
  /** Where the client reads the reasoning, if it has any. */
  readonly #reasoningName: string | null;
  /** The first answer broke in its reasoning: details would be those of another whole. */
  readonly #dropsDetails: boolean;
  readonly #id: string;

  /** `id`: that of the chunks sent so far; one answer has one id. */
  constructor(sent: SentText, id: string) {
    const hasContent = sent.content !== "";
    this.#content = new ReplayFilter(sent.content);
    // Reasoning comes before the text. Where text was sent that is over for the client, whatever this one thought.
    this.#reasoning = new ReplayFilter(hasContent ? "" : sent.reasoning);
    this.#reasoningName = sent.reasoningName;
    this.#dropsDetails = sent.reasoning !== "" && !hasContent;
    this.#id = id;
  }

  /** What is new in `chunk`, `null` when nothing is; `differs` when it says something else than the first answer did. */
  rest(chunk: Chunk): Chunk | null | "differs" {
    const piece = pieceOf(chunk);
    if (piece === null) return this.#isBehind ? null : { ...chunk, id: this.#id };
    // What it thought before text that the client has is of no use any more.
    const mayThink = this.#content.isSaid;
    const reasoning = mayThink ? this.#reasoning.beyond(piece.reasoning) : "";
    const content = this.#content.beyond(piece.content);
    if (reasoning === null || content === null) return "differs";
    // Text while reasoning is still to be said again: it thought less.
    if (piece.content !== "" && !this.#reasoning.isSaid) return "differs";
    if (this.#isBehind) return piece.isLast || piece.hasOther ? "differs" : null;
    const details = mayThink && !this.#dropsDetails ? piece.delta["reasoning_details"] : undefined;
    const isNews = content !== "" || reasoning !== "" || isFilled(details) || piece.hasOther || piece.isLast;
    if (!isNews && !isJsonObject(chunk["usage"])) return null;
    const delta = this.#newDelta(piece, content, reasoning, details);
    return { ...chunk, id: this.#id, choices: [{ ...piece.choice, delta }] };
  }

  get #isBehind(): boolean {
    return !this.#content.isSaid || !this.#reasoning.isSaid;
  }

  #newDelta(piece: Piece, content: string, reasoning: string, details: unknown): Chunk {
    const delta: Record<string, unknown> = { ...piece.delta };
    for (const name of ["role", ...REASONING, "reasoning_details"]) delete delta[name];
    if (piece.content !== "") delete delta["content"];
    if (content !== "") delta["content"] = content;
    if (reasoning !== "") delta[this.#reasoningName ?? piece.reasoningName] = reasoning;
    if (isFilled(details)) delta["reasoning_details"] = details;
    return delta;
  }
}

/** Text that has to be said once more. */
class ReplayFilter {
  #left: string;

  constructor(text: string) {
    this.#left = text;
  }

  get isSaid(): boolean {
    return this.#left === "";
  }

  /** What of `text`, said next, goes beyond what had to be said; `null` when it is something else. */
  beyond(text: string): string | null {
    if (!text.startsWith(this.#left.slice(0, text.length))) return null;
    const fresh = text.slice(this.#left.length);
    this.#left = this.#left.slice(text.length);
    return fresh;
  }
}

/** A chunk of one choice, as far as it matters here. */
interface Piece {
  readonly choice: Chunk;
  readonly delta: Chunk;
  readonly content: string;
  readonly reasoning: string;
  readonly reasoningName: string;
  readonly isLast: boolean;
  /** Carries what is no plain text of the one choice. */
  readonly hasOther: boolean;
}

/** `null` for a chunk without choices: usage, filter results. */
function pieceOf(chunk: Chunk): Piece | null {
  const choices = Array.isArray(chunk["choices"]) ? chunk["choices"] : [];
  const choice: unknown = choices[0];
  if (!isJsonObject(choice)) return null;
  const delta = isJsonObject(choice["delta"]) ? choice["delta"] : {};
  const content = delta["content"];
  const named = REASONING.filter((name) => isFilled(delta[name]));
  const thoughts = new Set(named.map((name) => delta[name]));
  const isPlain = [content, ...thoughts].every((text) => typeof text === "string" || !isFilled(text));
  const isOne = choices.length === 1 && (choice["index"] ?? 0) === 0 && thoughts.size <= 1;
  return {
    choice,
    delta,
    content: textOf(content),
    reasoning: textOf(delta[named[0] ?? REASONING[0]]),
    reasoningName: named[0] ?? REASONING[0],
    isLast: isFinishReason(choice["finish_reason"]),
    hasOther: !isPlain || !isOne || Object.keys(delta).some((name) => !OF_TEXT.has(name) && isFilled(delta[name])),
  };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
