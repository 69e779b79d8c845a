/**
 * Cohere's event stream (https://docs.cohere.com/docs/streaming).
 *
 * The name of an event is in its data too (`type`), which is all that is read. An event of an unknown type is passed
 * over, unless it is an error's body: Cohere documents none inside a stream, and sends them all the same.
 */
import type { AnswerEvent } from "../../conversation/answer.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, isTooDeep, tryParseJson } from "../../lib/json.ts";
import { elementTexts, textAt } from "../../lib/json-text.ts";
import { MAX_EVENT_LENGTH, type SseEvent, SseSplitter } from "../../lib/sse.ts";
import { CallArguments } from "../call-arguments.ts";
import { CalledTools, customInput } from "../custom-tools.ts";
import { toChatUsage } from "../openai-chat/usage.ts";
import { ToolNames } from "../tool-names.ts";
import type { AnswerContext, AnswerReader } from "../wire.ts";
import { allowsOneCall, billedOf, callId, countsOf, endOf, toLogprobs } from "./ends.ts";
import { MAX_NAME_LENGTH } from "./tools.ts";

const NOTHING: Json = Object.freeze({});
const CHOICE = 0;

/** A call that has begun. `null` in its place: one more than the client allows. */
interface OpenCall {
  readonly index: number;
  readonly args: CallArguments;
  /** Pieces of a custom tool's input, which is known when the object around it is whole; `null` for a function. */
  readonly held: string[] | null;
  isOver: boolean;
}

export class CohereReader implements AnswerReader {
  readonly #context: AnswerContext;
  readonly #tools: CalledTools;
  readonly #decoder = new TextDecoder();
  readonly #splitter = new SseSplitter();
  /** By Cohere's index, which may come twice: the later arguments are the later call's. */
  readonly #open = new Map<unknown, OpenCall | null>();
  readonly #calls: OpenCall[] = [];
  /** The bytes so far, until there is an event: an error may come as plain JSON. */
  #plain: string | null = "";
  #isOver = false;

  constructor(context: AnswerContext) {
    this.#context = context;
    const { conversation } = context;
    const names = conversation === null ? null : new ToolNames(conversation, MAX_NAME_LENGTH);
    this.#tools = new CalledTools(conversation, names);
  }

  get isOverlong(): boolean {
    return this.#splitter.isOverlong;
  }

  push(bytes: Uint8Array): readonly AnswerEvent[] {
    return this.#read(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): readonly AnswerEvent[] {
    const events = this.#read(this.#decoder.decode());
    const plain = this.#plain;
    const last = this.#splitter.flush();
    if (last !== null) return [...events, ...this.#event(last)];
    const body = plain === null ? undefined : tryParseJson(plain);
    return isJsonObject(body) && !this.#isOver && !isTooDeep(body) ? [...events, { kind: "error", body }] : events;
  }

  #read(text: string): AnswerEvent[] {
    if (this.#plain !== null) this.#plain = this.#plain.length > MAX_EVENT_LENGTH ? null : this.#plain + text;
    return this.#splitter.push(text).flatMap((event) => this.#event(event));
  }

  #event({ data }: SseEvent): AnswerEvent[] {
    if (data === null || this.#isOver) return [];
    this.#plain = null;
    const event = tryParseJson(data);
    if (!isJsonObject(event)) return [];
    const delta = objectOf(event["delta"]);
    const message = objectOf(delta["message"]);
    switch (event["type"]) {
      case "message-start":
        return [{ kind: "start", ...(typeof event["id"] === "string" ? { id: event["id"] } : {}) }];
      case "content-start":
        return this.#content(message["content"], event["logprobs"], true);
      case "content-delta":
        return this.#content(message["content"], event["logprobs"], false);
      case "tool-plan-delta":
        return message["tool_plan"] === "" || typeof message["tool_plan"] !== "string"
          ? []
          : [{ kind: "extra", choice: CHOICE, members: { tool_plan: message["tool_plan"] } }];
      case "tool-call-start":
        return this.#callStart(event["index"], objectOf(firstOf(message["tool_calls"])), data);
      case "tool-call-delta":
        return this.#callDelta(event["index"], objectOf(firstOf(message["tool_calls"])), data);
      case "tool-call-end":
        return this.#callEnd(this.#open.get(event["index"]));
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

  #content(content: unknown, logprobs: unknown, begins: boolean): AnswerEvent[] {
    const part = objectOf(firstOf(content));
    const text = typeof content === "string" ? content : filled(part["text"]);
    const thinking = filled(part["thinking"]);
    const events: AnswerEvent[] = [];
    const common = { choice: CHOICE, ...(begins ? { begins } : {}) };
    if (thinking !== "") events.push({ kind: "reasoning", ...common, text: thinking, form: "full" });
    if (text !== "") events.push({ kind: "text", ...common, text, logprobs: toLogprobs(logprobs) });
    return events;
  }

  #callStart(index: unknown, call: Json, data: string): AnswerEvent[] {
    if (this.#calls.length > 0 && allowsOneCall(this.#context)) {
      this.#open.set(index, null);
      return [];
    }
    const tool = this.#tools.named(filled(objectOf(call["function"])["name"]));
    const held = tool.form === "custom" ? [] : null;
    const open: OpenCall = { index: this.#calls.length, args: new CallArguments(), held, isOver: false };
    const before = this.#open.get(index);
    this.#open.set(index, open);
    this.#calls.push(open);
    const id = callId(call["id"], this.#context, open.index);
    const start = { kind: "call_start", choice: CHOICE, index: open.index, id, ...tool } as const;
    return [...this.#callEnd(before), start, ...this.#arguments(open, call, data)];
  }

  #callDelta(index: unknown, call: Json, data: string): AnswerEvent[] {
    const open = this.#open.get(index);
    return open === undefined || open === null || open.isOver ? [] : this.#arguments(open, call, data);
  }

  /** The next piece of the arguments: a text, or, against the documentation, the value itself. */
  #arguments(open: OpenCall, call: Json, data: string): AnswerEvent[] {
    const given = objectOf(call["function"])["arguments"];
    if (given === undefined) return [];
    const text = open.args.push(typeof given === "string" ? given : (argumentsIn(data) ?? ""));
    if (open.held !== null) open.held.push(text);
    return text === "" || open.held !== null ? [] : [{ kind: "call_args", choice: CHOICE, index: open.index, text }];
  }

  #callEnd(open: OpenCall | null | undefined): AnswerEvent[] {
    if (open === undefined || open === null || open.isOver) return [];
    open.isOver = true;
    const { index, held } = open;
    const rest = open.args.end();
    const text = held === null ? rest : customInput([...held, rest].join(""));
    const end = { kind: "call_end", choice: CHOICE, index } as const;
    return text === "" ? [end] : [{ kind: "call_args", choice: CHOICE, index, text }, end];
  }

  #citations(citations: unknown): AnswerEvent[] {
    const list = Array.isArray(citations) ? citations : [citations];
    return list
      .filter((each): each is Json => isJsonObject(each) && !isTooDeep(each))
      .map((citation) => ({ kind: "citation", choice: CHOICE, citation }));
  }

  #messageEnd(event: Json, delta: Json): AnswerEvent[] {
    const events = this.#calls.flatMap((open) => this.#callEnd(open));
    const end = endOf(delta["finish_reason"], delta["error"], this.#calls.length > 0);
    this.#isOver = true;
    if (end.kind === "finish") {
      events.push({ kind: "finish", choice: CHOICE, finish: { reason: end.reason, native: end.native } });
    }
    // Cohere bills a broken answer too.
    const usage = delta["usage"] ?? event["usage"];
    const counts = countsOf(usage);
    if (counts !== null) events.push({ kind: "usage", counts, raw: toChatUsage(counts, billedOf(usage)) });
    if (end.kind === "error") return [...events, { kind: "error", body: { error: end.error } }];
    if (end.kind === "finish") return events;
    const message = "The answer ended without a reason that is known.";
    return [...events, { kind: "error", body: { error: { message, code: "cohere_unknown_end" } } }];
  }

  /** An error's body says what happened in `message`, as a sentence, or in `error`. */
  #stray(event: Json): AnswerEvent[] {
    const { type, error, message } = event;
    const isError =
      isJsonObject(error) ||
      filled(error) !== "" ||
      filled(message) !== "" ||
      (typeof type === "string" && /error$/.test(type));
    if (!isError) return [];
    this.#isOver = true;
    const isDeep = isTooDeep(event);
    return [{ kind: "error", body: isDeep ? { error: { message: "Nested too deep.", code: "server_error" } } : event }];
  }
}

/** The exact text of the arguments in an event, where they are no text themselves. */
function argumentsIn(data: string): string | undefined {
  const calls = textAt(data, "delta", "message", "tool_calls") ?? "";
  return textAt(elementTexts(calls)[0] ?? calls, "function", "arguments");
}

function objectOf(value: unknown): Json {
  return isJsonObject(value) ? value : NOTHING;
}

function filled(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Where a list represents its one element. */
function firstOf(value: unknown): unknown {
  return Array.isArray(value) ? value[0] : value;
}
