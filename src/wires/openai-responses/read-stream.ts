/**
 * A stream of Responses events, as `AnswerEvent`s.
 *
 * Deltas are what counts. The texts that closing events repeat are used for what never came as a delta, since some
 * providers leave deltas, items or the last snapshot out; what is there twice is not said twice. Only
 * `response.completed` and `response.incomplete` end an answer: without one of them it was cut.
 * https://developers.openai.com/api/reference/resources/responses/streaming-events
 */
import type { AnswerEvent } from "../../conversation/answer.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, isTooDeep, tryParseJson } from "../../lib/json.ts";
import { SseSplitter } from "../../lib/sse.ts";
import type { EventReader, ReadEvent } from "../sse-items.ts";
import type { AnswerContext, AnswerReader } from "../wire.ts";
import { objectsOf, textOf } from "./items.ts";
import { answeredNames, errorOf, finishOf } from "./read-answer.ts";
import { ItemReader, type ResponseState } from "./read-stream-item.ts";
import { readUsage } from "./usage.ts";

/** The last event repeats the request's tools and the whole answer, pictures and encrypted reasoning included. */
const MAX_EVENT_LENGTH = 8_388_608;

export class ResponsesReader implements AnswerReader, EventReader {
  readonly #state: ResponseState;
  readonly #decoder = new TextDecoder();
  readonly #splitter = new SseSplitter(MAX_EVENT_LENGTH);
  readonly #items = new Map<number, ItemReader>();
  readonly #indexes = new Map<string, number>();
  #hasBegun = false;
  /** The answer's end or an error was said: nothing counts after it. */
  #isOver = false;

  constructor(context: AnswerContext) {
    this.#state = { provider: context.provider, nameOf: answeredNames(context), calls: 0, ofCalls: new Map() };
  }

  get isOverlong(): boolean {
    return this.#splitter.isOverlong;
  }

  push(bytes: Uint8Array): AnswerEvent[] {
    return this.#isOver ? [] : this.#take(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): AnswerEvent[] {
    if (this.#isOver) return [];
    const events = this.#take(this.#decoder.decode());
    const last = this.#splitter.flush();
    if (last !== null) events.push(...this.#data(last.data));
    this.#isOver = true;
    return events;
  }

  /** The events of one event of the stream, for a reader that keeps its text. Not to be mixed with `push`. */
  event(data: string): ReadEvent | null {
    const value = tryParseJson(data);
    if (!isJsonObject(value)) return data.trim() === "[DONE]" ? { events: [], ends: true } : null;
    const isEnd = value["type"] === "response.completed" || value["type"] === "response.incomplete";
    return { events: this.#data(data), closes: isEnd, ends: isEnd };
  }

  finish(): readonly AnswerEvent[] {
    this.#isOver = true;
    return [];
  }

  #take(text: string): AnswerEvent[] {
    return this.#splitter.push(text).flatMap(({ data }) => this.#data(data));
  }

  #data(data: string | null): AnswerEvent[] {
    // Comments, `[DONE]` and whatever else is no event say nothing.
    const value = data === null ? undefined : tryParseJson(data);
    if (this.#isOver || !isJsonObject(value)) return [];
    // A delta is flat; everything else may be written again, as an item of a later request.
    return typeof value["delta"] !== "string" && isTooDeep(value) ? [] : this.#event(value);
  }

  #event(event: Json): AnswerEvent[] {
    switch (event["type"]) {
      case "response.created":
      case "response.queued":
      case "response.in_progress":
        return this.#begin(event["response"]);
      case "response.completed":
      case "response.incomplete":
        return this.#complete(isJsonObject(event["response"]) ? event["response"] : {}, event["type"]);
      case "response.failed":
      case "response.cancelled": {
        const response = isJsonObject(event["response"]) ? event["response"] : {};
        // What it counted is billed, whatever came of it.
        const usage = readUsage(response);
        const counted: AnswerEvent[] = usage === null ? [] : [{ kind: "usage", counts: usage.counts, raw: usage.raw }];
        return [...counted, ...this.#fail(errorOf({ ...response, status: "failed" }))];
      }
      case "error":
        return this.#fail(isJsonObject(event["error"]) ? { error: event["error"] } : { error: withoutType(event) });
      case "response.output_item.added":
      case "response.output_item.done":
        return this.#item(event);
      case undefined:
        // An error in the shape that every other API has.
        return isJsonObject(event["error"]) ? this.#fail({ error: event["error"] }) : [];
      default:
        return this.#readerOf(event)?.read(event) ?? [];
    }
  }

  #begin(response: unknown): AnswerEvent[] {
    if (this.#hasBegun) return [];
    this.#hasBegun = true;
    const { id, model } = isJsonObject(response) ? response : {};
    return [{ kind: "start", id: textOf(id), model: textOf(model) }];
  }

  #item(event: Json): AnswerEvent[] {
    const item = event["item"];
    if (!isJsonObject(item)) return [];
    const due = this.#begin(undefined);
    const reader = this.#readerOf(event) ?? this.#open(indexOf(event) ?? this.#items.size, item);
    const isDone = event["type"] === "response.output_item.done";
    return [...due, ...(isDone ? reader.finish(item) : reader.begin(item))];
  }

  #open(index: number, item: Json): ItemReader {
    const reader = new ItemReader(this.#state);
    this.#items.set(index, reader);
    const id = textOf(item["id"]);
    if (id !== undefined) this.#indexes.set(id, index);
    return reader;
  }

  /** By index, and by id where a provider leaves the index out. */
  #readerOf(event: Json): ItemReader | undefined {
    const id = textOf(event["item_id"]) ?? (isJsonObject(event["item"]) ? textOf(event["item"]["id"]) : undefined);
    const index = indexOf(event) ?? (id === undefined ? undefined : this.#indexes.get(id));
    return index === undefined ? undefined : this.#items.get(index);
  }

  #complete(response: Json, type: string): AnswerEvent[] {
    const events = this.#begin(response);
    const output = objectsOf(response["output"]);
    // The snapshot completes items that were not closed, and brings those of which no event spoke.
    for (const [index, item] of output.entries()) {
      const known = this.#items.get(this.#indexes.get(textOf(item["id"]) ?? "") ?? index);
      events.push(...(known ?? this.#open(index, item)).finish(item));
    }
    const items = [...this.#items.values()];
    events.push(...items.flatMap((item) => item.close()));
    const status = type === "response.incomplete" ? "incomplete" : "completed";
    const finish = finishOf({ ...response, status }, this.#state.calls > 0);
    if (finish !== null) events.push({ kind: "finish", choice: 0, finish });
    const tier = textOf(response["service_tier"]);
    if (tier !== undefined) events.push({ kind: "extra", choice: null, members: { service_tier: tier } });
    // An empty snapshot says nothing of the tools that ran.
    const usage = readUsage(output.length > 0 ? response : { ...response, output: items.map(({ item }) => item) });
    if (usage !== null) events.push({ kind: "usage", counts: usage.counts, raw: usage.raw });
    this.#isOver = true;
    return events;
  }

  #fail(body: Json | null): AnswerEvent[] {
    this.#isOver = true;
    return [{ kind: "error", body: body ?? { error: { code: "server_error" } } }];
  }
}

/** `error` as the type says only that it is one. */
function withoutType({ type: _, sequence_number: __, ...error }: Json): Json {
  return error;
}

function indexOf(event: Json): number | undefined {
  const index = event["output_index"];
  return Number.isSafeInteger(index) ? (index as number) : undefined;
}
