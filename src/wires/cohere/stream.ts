/**
 * Cohere's event stream as OpenAI's chunks (https://docs.cohere.com/docs/streaming).
 *
 * The name of an event is in its data too (`type`), which is all that is read. An event of an unknown type is passed
 * over, unless it is an error's body: Cohere documents none inside a stream, and sends them all the same.
 */
import { isJsonObject, isTooDeep, tryParseJson } from "../../lib/json.ts";
import { MAX_EVENT_LENGTH, type SseEvent, SseSplitter } from "../../lib/sse.ts";
import type { AnswerContext, StreamPart, StreamTranslator } from "../../providers/adapter.ts";
import { ChunkWriter } from "../openai-chat/chat-wire.ts";
import { argsText, callId, countsOf, endOf, toLogprobs, withBilled } from "./answer.ts";

type Json = Readonly<Record<string, unknown>>;

const NOTHING: Json = Object.freeze({});

function objectOf(value: unknown): Json {
  return isJsonObject(value) ? value : NOTHING;
}

function filled(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export class CohereStream implements StreamTranslator {
  readonly #context: AnswerContext;
  readonly #writer: ChunkWriter;
  readonly #decoder = new TextDecoder();
  readonly #splitter = new SseSplitter();
  /** Cohere's index of a call to its place among the calls, which is what a client counts by. */
  readonly #calls = new Map<unknown, number>();
  /** Calls whose arguments are still empty. */
  readonly #bare = new Set<number>();
  /** The bytes so far, until there is an event: an error may come as plain JSON. */
  #plain: string | null = "";
  #isOver = false;

  constructor(context: AnswerContext) {
    this.#context = context;
    this.#writer = new ChunkWriter(context);
  }

  get isOverlong(): boolean {
    return this.#splitter.isOverlong;
  }

  push(bytes: Uint8Array): readonly StreamPart[] {
    return this.#read(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): readonly StreamPart[] {
    const parts = this.#read(this.#decoder.decode());
    const plain = this.#plain;
    const last = this.#splitter.flush();
    if (last !== null) return [...parts, ...this.#event(last)];
    const body = plain === null ? undefined : tryParseJson(plain);
    return isJsonObject(body) && !this.#isOver && !isTooDeep(body) ? [...parts, { error: body }] : parts;
  }

  #read(text: string): StreamPart[] {
    if (this.#plain !== null) this.#plain = this.#plain.length > MAX_EVENT_LENGTH ? null : this.#plain + text;
    return this.#splitter.push(text).flatMap((event) => this.#event(event));
  }

  #event({ data }: SseEvent): StreamPart[] {
    if (data === null || this.#isOver) return [];
    this.#plain = null;
    const event = tryParseJson(data);
    if (!isJsonObject(event)) return [];
    if (isTooDeep(event)) {
      this.#isOver = true;
      return [{ error: { error: { message: "Nested too deep.", code: "server_error" } } }];
    }
    const delta = objectOf(event["delta"]);
    const message = objectOf(delta["message"]);
    switch (event["type"]) {
      case "message-start":
        if (typeof event["id"] === "string") this.#writer.id ??= event["id"];
        return [{ chunk: this.#writer.delta({ content: "" }) }];
      case "content-start":
      case "content-delta":
        return this.#content(message["content"], event["logprobs"]);
      case "tool-plan-delta":
        return message["tool_plan"] === "" || typeof message["tool_plan"] !== "string"
          ? []
          : [{ chunk: this.#writer.delta({ tool_plan: message["tool_plan"] }) }];
      case "tool-call-start":
        return this.#callStart(event["index"], objectOf(firstOf(message["tool_calls"])));
      case "tool-call-delta":
        return this.#callDelta(event["index"], objectOf(firstOf(message["tool_calls"])));
      case "tool-call-end":
        return this.#callEnd(this.#calls.get(event["index"]));
      case "citation-start":
        return this.#citations(message["citations"]);
      case "message-end":
        return this.#messageEnd(event, delta);
      case "content-end":
      case "citation-end":
      case "debug":
        return [];
      default:
        return this.#stray(event);
    }
  }

  #content(content: unknown, logprobs: unknown): StreamPart[] {
    const part = objectOf(firstOf(content));
    const text = typeof content === "string" ? content : filled(part["text"]);
    const thinking = filled(part["thinking"]);
    const deltas: Json[] = [];
    if (thinking !== "") deltas.push({ reasoning_content: thinking });
    if (text !== "") deltas.push({ content: text });
    return deltas.map((delta) => ({ chunk: this.#writer.delta(delta, 0, toLogprobs(logprobs)) }));
  }

  #callStart(index: unknown, call: Json): StreamPart[] {
    const place = this.#calls.size;
    // An index that comes twice begins a new call all the same: the later arguments are the later call's.
    if (this.#calls.has(index)) this.#calls.set(Symbol(), this.#calls.get(index) ?? place);
    this.#calls.set(index, place);
    const { name, arguments: given } = objectOf(call["function"]);
    const args = argsText(given);
    if (args === "") this.#bare.add(place);
    const id = callId(call["id"], this.#context, place);
    return [{ chunk: this.#writer.callStart(place, { id, name: filled(name) }, args) }];
  }

  #callDelta(index: unknown, call: Json): StreamPart[] {
    const args = argsText(objectOf(call["function"])["arguments"]);
    const place = this.#calls.get(index);
    if (args === "" || place === undefined) return [];
    this.#bare.delete(place);
    return [{ chunk: this.#writer.callArgs(place, args) }];
  }

  /** A call without arguments is one with none: `{}`, which every client can parse. */
  #callEnd(place: number | undefined): StreamPart[] {
    if (place === undefined || !this.#bare.delete(place)) return [];
    return [{ chunk: this.#writer.callArgs(place, "{}") }];
  }

  #citations(citations: unknown): StreamPart[] {
    const list = Array.isArray(citations) ? citations : isJsonObject(citations) ? [citations] : [];
    return list.length === 0 ? [] : [{ chunk: this.#writer.delta({ citations: list }) }];
  }

  #messageEnd(event: Json, delta: Json): StreamPart[] {
    this.#isOver = true;
    const parts = [...this.#bare].flatMap((place) => this.#callEnd(place));
    const end = endOf(delta["finish_reason"], delta["error"], this.#calls.size > 0);
    if ("error" in end) return [...parts, { error: { error: end.error } }];
    parts.push({ chunk: this.#writer.finish(end.finish) });
    const usage = delta["usage"] ?? event["usage"];
    const counts = countsOf(usage);
    if (counts !== null) parts.push({ chunk: withBilled(this.#writer.usage(counts), usage) });
    return parts;
  }

  /** An error's body says what happened in `message`, as a sentence, or in `error`. */
  #stray(event: Json): StreamPart[] {
    const { type, error, message } = event;
    const isError =
      isJsonObject(error) ||
      filled(error) !== "" ||
      filled(message) !== "" ||
      (typeof type === "string" && /error$/.test(type));
    if (!isError) return [];
    this.#isOver = true;
    return [{ error: event }];
  }
}

/** Where a list stands for its one element. */
function firstOf(value: unknown): unknown {
  return Array.isArray(value) ? value[0] : value;
}
