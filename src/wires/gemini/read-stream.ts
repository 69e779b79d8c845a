/**
 * Gemini's stream, as events of the core.
 *
 * Never throws, and gives the same events for every cut of the bytes. Finish reasons wait for the end of the bytes:
 * Google repeats them in events that are not the last, has no closing event, and writes an error that comes in the
 * middle as bare JSON between the events, without `data:`.
 */
import type { AnswerEvent } from "../../conversation/answer.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import { isJsonObject, isTooDeep, tryParseJson } from "../../lib/json.ts";
import { elementTexts } from "../../lib/json-text.ts";
import { type SseEvent, SseSplitter } from "../../lib/sse.ts";
import { hasError } from "../openai-chat/chunk.ts";
import type { AnswerContext, AnswerReader } from "../wire.ts";
import { CalledTools } from "./called-tools.ts";
import { brokenEndError } from "./ends.ts";
import {
  blockOf,
  CandidateReader,
  candidatesOf,
  idOf,
  logprobsOf,
  modelOf,
  type ReadContext,
  type ReadPart,
} from "./read-candidate.ts";
import { UsageReader } from "./read-usage.ts";

/** Characters of one event. A picture comes as one, in base64. */
const MAX_EVENT_LENGTH = 8 * 1_048_576;
/** No text of so few characters is nested too deep to be written again. */
const FLAT_LENGTH = 1_000;
/** Characters that are no event: errors are short. */
const MAX_LOOSE_LENGTH = 1_048_576;

interface Choice {
  readonly reader: CandidateReader;
  /** Calls that were announced. */
  calls: number;
}

export class GeminiStreamReader implements AnswerReader {
  readonly #context: ReadContext;
  readonly #decoder = new TextDecoder();
  readonly #splitter = new SseSplitter(MAX_EVENT_LENGTH);
  readonly #usage = new UsageReader();
  readonly #choices = new Map<number, Choice>();
  /** Pieces of text that are no event: an error written between them, if they are anything. */
  readonly #loose: string[] = [];
  #looseLength = 0;
  #block: Json | undefined;
  #hasBegun = false;
  /** An error was reported, or the end: nothing counts after it. */
  #isOver = false;

  constructor(context: AnswerContext) {
    this.#context = { answer: context, tools: new CalledTools(context.conversation) };
  }

  get isOverlong(): boolean {
    return this.#splitter.isOverlong || this.#looseLength > MAX_LOOSE_LENGTH;
  }

  push(bytes: Uint8Array): AnswerEvent[] {
    return this.#isOver ? [] : this.#take(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): AnswerEvent[] {
    if (this.#isOver) return [];
    const events = this.#take(this.#decoder.decode());
    const { rest } = this.#splitter;
    const last = this.#splitter.flush();
    if (last !== null) events.push(...this.#event(last));
    else if (tryParseJson(rest) !== undefined) events.push(...this.#value(rest));
    else events.push(...this.#value(this.#loose.join("") + rest));
    if (!this.#isOver) events.push(...this.#close());
    this.#isOver = true;
    return events;
  }

  #take(text: string): AnswerEvent[] {
    return this.#splitter.push(text).flatMap((event) => this.#event(event));
  }

  #event({ raw, data }: SseEvent): AnswerEvent[] {
    if (this.#isOver) return [];
    if (data !== null) {
      // An error may follow the event's line directly.
      const bareAt = raw.search(/[\r\n][{[]/);
      return [...this.#value(data), ...(bareAt === -1 ? [] : this.#value(raw.slice(bareAt)))];
    }
    if (tryParseJson(raw) !== undefined) return this.#value(raw);
    // It may be one of several pieces, with empty lines between them.
    if (!raw.startsWith(":") && raw.trim() !== "") {
      this.#loose.push(raw);
      this.#looseLength += raw.length;
    }
    return [];
  }

  /** An answer, an error, or a list of them. Anything else is none of our business. */
  #value(text: string): AnswerEvent[] {
    const value = tryParseJson(text);
    if (Array.isArray(value)) {
      return elementTexts(text).flatMap((each, at) => (isJsonObject(value[at]) ? this.#object(value[at], each) : []));
    }
    return isJsonObject(value) ? this.#object(value, text) : [];
  }

  #object(value: Json, text: string): AnswerEvent[] {
    if (this.#isOver) return [];
    if (text.length > FLAT_LENGTH && isTooDeep(value))
      return this.#fail({ error: { message: "Nested too deep.", status: "MALFORMED_RESPONSE" } });
    return hasError(value) ? this.#fail(value) : this.#answer(value, text);
  }

  #answer(body: Json, text: string): AnswerEvent[] {
    const events: AnswerEvent[] = [];
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      events.push({ kind: "start", id: idOf(body), model: modelOf(body) });
    }
    this.#usage.read(body);
    this.#block ??= blockOf(body);
    for (const { choice, candidate, cut } of candidatesOf(body, () => text)) {
      const state = this.#choice(choice);
      const parts = state.reader.read(candidate, cut);
      for (const event of partEvents(parts, state, logprobsOf(candidate))) events.push(event);
    }
    return events;
  }

  #choice(choice: number): Choice {
    const known = this.#choices.get(choice);
    if (known !== undefined) return known;
    const fresh = { reader: new CandidateReader(choice, this.#context), calls: 0 };
    this.#choices.set(choice, fresh);
    return fresh;
  }

  #close(): AnswerEvent[] {
    if (this.#block !== undefined && this.#choices.size === 0) this.#choice(0);
    const readers = [...this.#choices.values()].map(({ reader }) => reader).toSorted((a, b) => a.choice - b.choice);
    const broken = this.#block === undefined ? readers.find(({ isBroken }) => isBroken) : undefined;
    if (broken?.word !== undefined) return this.#fail(brokenEndError(broken.word));
    const events: AnswerEvent[] = [];
    for (const reader of readers) {
      const { choice } = reader;
      const reason = this.#block === undefined ? reader.finish() : "content_filter";
      const members = reader.extra(this.#block);
      if (Object.keys(members).length > 0) events.push({ kind: "extra", choice, members });
      if (reason !== null) events.push({ kind: "finish", choice, finish: { reason, native: reader.word } });
    }
    return [...events, ...this.#counted()];
  }

  /** Usage until then is emitted first: it was used all the same. */
  #fail(body: Json): AnswerEvent[] {
    this.#isOver = true;
    return [...this.#counted(), { kind: "error", body }];
  }

  #counted(): AnswerEvent[] {
    const raw = this.#usage.raw();
    if (raw === undefined) return [];
    const members = this.#usage.tier();
    return [
      { kind: "extra", choice: null, members },
      { kind: "usage", counts: this.#usage.counts(), raw },
    ];
  }
}

/** What the parts of one event say. The log probabilities belong to the first text. */
function partEvents(parts: readonly ReadPart[], state: Choice, logprobs: Json | undefined): AnswerEvent[] {
  const { choice } = state.reader;
  const first = parts.findIndex(({ kind }) => kind === "text");
  const events = parts.flatMap((part, at) => eventsOf(part, state, at === first ? logprobs : undefined));
  if (logprobs !== undefined && first === -1) events.push({ kind: "text", choice, text: "", logprobs });
  return events;
}

function eventsOf(part: ReadPart, state: Choice, logprobs: Json | undefined): AnswerEvent[] {
  const { choice } = state.reader;
  switch (part.kind) {
    case "text":
      return textEvents(choice, part, logprobs);
    case "reasoning":
      return reasoningEvents(choice, part);
    case "call":
      return callEvents(choice, state.calls++, part);
    case "image": {
      const { media, bound } = part;
      const url = media.kind === "base64" ? `data:${media.mediaType};base64,${media.data}` : "";
      return [{ kind: "media", choice, media: "image", source: { type: "image_url", image_url: { url } }, bound }];
    }
    case "block":
      return [{ kind: "block", choice, bound: part.bound }];
    default:
      return unreachable(part);
  }
}

function textEvents(
  choice: number,
  { text, bound }: ReadPart & { kind: "text" },
  logprobs: Json | undefined,
): AnswerEvent[] {
  if (bound === undefined) return [{ kind: "text", choice, text, logprobs }];
  // A signature is on exactly this piece, so that what came before it is a block of its own.
  return [
    { kind: "text", choice, text, logprobs, begins: true },
    { kind: "bound", choice, of: "text", bound },
  ];
}

function reasoningEvents(choice: number, { text, form, bound }: ReadPart & { kind: "reasoning" }): AnswerEvent[] {
  if (bound === undefined) return [{ kind: "reasoning", choice, text, form }];
  if (form === "redacted") return [{ kind: "bound", choice, of: "own", bound }];
  return [
    { kind: "reasoning", choice, text, form, begins: true },
    { kind: "bound", choice, of: "reasoning", bound },
  ];
}

function callEvents(choice: number, index: number, call: ReadPart & { kind: "call" }): AnswerEvent[] {
  const { id, name, namespace, form, args, bound } = call;
  return [
    { kind: "call_start", choice, index, id, name, namespace, form, bound },
    { kind: "call_args", choice, index, text: args },
    { kind: "call_end", choice, index },
  ];
}
