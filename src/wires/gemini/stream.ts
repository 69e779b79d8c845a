/**
 * Gemini's stream, as OpenAI's chunks.
 *
 * Never throws, and gives the same parts for every cut of the bytes. Finish reasons wait for the end of the bytes:
 * Google repeats them in events that are not the last, has no closing event, and writes an error that comes in the
 * middle as bare JSON between the events, without `data:`.
 */
import { isJsonObject, isTooDeep, tryParseJson } from "../../lib/json.ts";
import { MAX_EVENT_LENGTH, type SseEvent, SseSplitter } from "../../lib/sse.ts";
import type { AnswerContext, StreamPart, StreamTranslator } from "../../providers/adapter.ts";
import { ChunkWriter } from "../openai-chat/chat-wire.ts";
import { hasError } from "../openai-chat/chunk.ts";
import {
  blockOf,
  CandidateReader,
  candidatesOf,
  idOf,
  logprobsOf,
  modelOf,
  type Piece,
  UsageReader,
} from "./answer.ts";

type Json = Readonly<Record<string, unknown>>;

export class GeminiStream implements StreamTranslator {
  readonly #context: AnswerContext;
  readonly #writer: ChunkWriter;
  readonly #decoder = new TextDecoder();
  readonly #splitter = new SseSplitter();
  readonly #usage = new UsageReader();
  readonly #readers = new Map<number, CandidateReader>();
  /** The text behind the last complete event. */
  #tail = "";
  /** Text that is no event: an error written between them, if it is anything. */
  #loose = "";
  #block: Json | undefined;
  #hasBegun = false;
  /** An error was reported, or the end: nothing counts after it. */
  #isOver = false;

  constructor(context: AnswerContext) {
    this.#context = context;
    this.#writer = new ChunkWriter(context);
  }

  get isOverlong(): boolean {
    return this.#splitter.isOverlong || this.#loose.length > MAX_EVENT_LENGTH;
  }

  push(bytes: Uint8Array): StreamPart[] {
    return this.#isOver ? [] : this.#take(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): StreamPart[] {
    if (this.#isOver) return [];
    const parts = this.#take(this.#decoder.decode());
    const last = this.#splitter.flush();
    if (last !== null) parts.push(...this.#event(last));
    else parts.push(...this.#value(tryParseJson(this.#tail) ?? tryParseJson(this.#loose + this.#tail)));
    if (!this.#isOver) parts.push(...this.#close());
    this.#isOver = true;
    return parts;
  }

  #take(text: string): StreamPart[] {
    this.#tail += text;
    const parts: StreamPart[] = [];
    for (const event of this.#splitter.push(text)) {
      this.#tail = this.#tail.slice(event.raw.length);
      parts.push(...this.#event(event));
    }
    return parts;
  }

  #event({ raw, data }: SseEvent): StreamPart[] {
    if (this.#isOver) return [];
    if (data !== null) {
      // An error may follow the event's line directly.
      const bareAt = raw.search(/[\r\n][{[]/);
      const bare = bareAt === -1 ? undefined : tryParseJson(raw.slice(bareAt));
      return [...this.#value(tryParseJson(data)), ...this.#value(bare)];
    }
    const value = tryParseJson(raw);
    if (value !== undefined) return this.#value(value);
    // It may be one of several pieces, with empty lines between them.
    if (!raw.startsWith(":") && raw.trim() !== "") this.#loose += raw;
    return [];
  }

  /** An answer, an error, or a list of them. Anything else is none of our business. */
  #value(value: unknown): StreamPart[] {
    if (Array.isArray(value)) return value.flatMap((each) => (isJsonObject(each) ? this.#value(each) : []));
    if (this.#isOver || !isJsonObject(value)) return [];
    if (isTooDeep(value)) return this.#fail({ error: { message: "Nested too deep.", status: "MALFORMED_RESPONSE" } });
    return hasError(value) ? this.#fail(value) : this.#answer(value);
  }

  #answer(body: Json): StreamPart[] {
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      this.#writer.id = idOf(body);
      this.#writer.model = modelOf(body);
    }
    this.#usage.read(body);
    this.#block ??= blockOf(body);
    return candidatesOf(body).flatMap(({ choice, candidate }) => {
      const reader = this.#readers.get(choice) ?? new CandidateReader(choice, this.#context);
      this.#readers.set(choice, reader);
      const callsBefore = reader.callCount;
      const pieces = reader.read(candidate);
      return this.#chunks(pieces, choice, callsBefore, logprobsOf(candidate) ?? null);
    });
  }

  #chunks(pieces: readonly Piece[], choice: number, callsBefore: number, logprobs: Json | null): StreamPart[] {
    const writer = this.#writer;
    let calls = callsBefore;
    let waiting = logprobs;
    const parts = pieces.map((piece): StreamPart => {
      switch (piece.kind) {
        case "call": {
          const { args, ...call } = piece.call;
          return { chunk: writer.callStart(calls++, call, args, choice) };
        }
        case "image":
          return { chunk: writer.delta({ images: [piece.image] }, choice) };
        default: {
          const member = piece.kind === "text" ? "content" : "reasoning_content";
          const delta = {
            ...(piece.text === "" ? {} : { [member]: piece.text }),
            ...(piece.detail === undefined ? {} : { reasoning_details: [piece.detail] }),
          };
          const ofThis = piece.kind === "text" ? waiting : null;
          if (ofThis !== null) waiting = null;
          return { chunk: writer.delta(delta, choice, ofThis) };
        }
      }
    });
    if (waiting !== null) parts.push({ chunk: writer.delta({}, choice, waiting) });
    return parts;
  }

  #close(): StreamPart[] {
    if (this.#block !== undefined && this.#readers.size === 0) {
      this.#readers.set(0, new CandidateReader(0, this.#context));
    }
    const readers = [...this.#readers.values()].toSorted((a, b) => a.choice - b.choice);
    const broken = readers.find((reader) => reader.isBrokenDown);
    if (broken !== undefined && this.#block === undefined && readers.every((reader) => reader.isBrokenDown)) {
      const message = "The model broke down over a function call.";
      return this.#fail({ error: { message, status: broken.finishReason, code: broken.finishReason } });
    }
    const parts: StreamPart[] = [];
    for (const reader of readers) {
      const finish = this.#block === undefined ? reader.finish() : "content_filter";
      const extra = reader.extra(this.#block);
      if (Object.keys(extra).length > 0) parts.push({ chunk: this.#writer.delta(extra, reader.choice) });
      if (finish !== undefined) parts.push({ chunk: this.#writer.finish(finish, reader.choice) });
    }
    return [...parts, ...this.#counted()];
  }

  /** What was used until then is told first: it was used all the same. */
  #fail(error: Json): StreamPart[] {
    this.#isOver = true;
    return [...this.#counted(), { error }];
  }

  #counted(): StreamPart[] {
    const counts = this.#usage.counts();
    return counts === null ? [] : [{ chunk: { ...this.#writer.usage(counts), ...this.#usage.tier() } }];
  }
}
