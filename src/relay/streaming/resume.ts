/**
 * Going on with a broken answer (`stream_recovery: "resume"`).
 *
 * The request has been run again on another target. Its answer is held back until it has said again, character by
 * character, what the client already has; the rest follows. As soon as it says anything else it is given up: text of two
 * models is never spliced.
 */
import type { AnswerEvent } from "../../conversation/answer.ts";

/** A longer answer is not kept for comparison. In characters. */
const MAX_SENT_LENGTH = 1_048_576;

/** Events that only the wire needs, or that say nothing of their own. */
const SILENT: ReadonlySet<AnswerEvent["kind"]> = new Set(["start", "usage", "call_end"]);

/** Does the event attach something to reasoning that is bound to the model that thought it? */
function isDetail(event: AnswerEvent): boolean {
  if (event.kind === "bound") return true;
  if (event.kind !== "extra" || event.choice === null) return false;
  return Object.keys(event.members).every((name) => name === "reasoning_details");
}

/** Text or thoughts of the one choice, or nothing of an answer at all. */
function isPlain(event: AnswerEvent): boolean {
  if (SILENT.has(event.kind) || !("choice" in event) || event.choice === null) return true;
  if (event.choice !== 0) return false;
  return event.kind === "text" || event.kind === "reasoning" || event.kind === "finish" || isDetail(event);
}

/** What the client has of an answer with one choice. */
export class SentText {
  content = "";
  reasoning = "";
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

  note(events: readonly AnswerEvent[]): void {
    for (const event of events) {
      // Probabilities are those of the model that wrote the text: another one's could not go on with them.
      if (!isPlain(event) || (event.kind === "text" && event.logprobs !== undefined)) this.#hasOther = true;
      if (isDetail(event)) this.#hasDetails = true;
      if (!this.#isText) continue;
      if (event.kind === "text") this.content += event.text;
      else if (event.kind === "reasoning") this.reasoning += event.text;
    }
  }
}

/** The events of the second answer, as far as the client does not have them yet. */
export class CatchUp {
  readonly #content: ReplayFilter;
  readonly #reasoning: ReplayFilter;
  /** The first answer broke in its reasoning: details would be those of another whole. */
  readonly #dropsDetails: boolean;

  constructor(sent: SentText) {
    const hasContent = sent.content !== "";
    this.#content = new ReplayFilter(sent.content);
    // Reasoning comes before the text. Where text was sent that is over for the client, whatever this one thought.
    this.#reasoning = new ReplayFilter(hasContent ? "" : sent.reasoning);
    this.#dropsDetails = sent.reasoning !== "" && !hasContent;
  }

  /** What is new in `events`; `differs` when they say something else than the first answer did. */
  rest(events: readonly AnswerEvent[]): readonly AnswerEvent[] | "differs" {
    const fresh: AnswerEvent[] = [];
    for (const event of events) {
      const own = this.#rest(event);
      if (own === "differs") return own;
      if (own !== null) fresh.push(own);
    }
    return fresh;
  }

  #rest(event: AnswerEvent): AnswerEvent | null | "differs" {
    if (event.kind === "text" && event.choice === 0) {
      const text = this.#content.beyond(event.text);
      // Text while reasoning is still to be said again: it thought less.
      if (text === null || (event.text !== "" && !this.#reasoning.isSaid)) return "differs";
      return text === "" && event.logprobs === undefined ? null : { ...event, text };
    }
    if (event.kind === "reasoning" && event.choice === 0) {
      // What it thought before text that the client has is of no use any more.
      if (!this.#content.isSaid) return null;
      const text = this.#reasoning.beyond(event.text);
      if (text === null) return "differs";
      return text === "" ? null : { ...event, text };
    }
    if (isDetail(event)) return this.#isBehind || this.#dropsDetails ? null : event;
    if (SILENT.has(event.kind) || !("choice" in event) || event.choice === null) return event;
    return this.#isBehind ? "differs" : event;
  }

  get #isBehind(): boolean {
    return !this.#content.isSaid || !this.#reasoning.isSaid;
  }
}

/** Text that the second answer must repeat before anything new of it is released. */
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
