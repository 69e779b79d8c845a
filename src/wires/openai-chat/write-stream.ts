/**
 * `AnswerEvent`s as `chat.completion.chunk`s: the same id, model and time in all of them, the role in the first of each
 * choice, usage last.
 */
import type { AnswerEvent } from "../../conversation/answer.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { AnswerContext } from "../wire.ts";
import { blockMember, writeCallExtra, writeDetail } from "./details.ts";
import { isPlain, type LayoutToken } from "./layout.ts";
import { layoutDetail, stopMember, urlCitations } from "./write-answer.ts";

/** What is known of one choice while it is written. */
interface ChoiceState {
  hasRole: boolean;
  details: number;
  images: number;
  textLength: number;
  /** Where the open text block began. */
  textStart: number;
  reasoning: string;
  reasoningForm: "full" | "summary" | "redacted";
  isBound: boolean;
  /** The index of OpenAI's older kind of call, of which a choice has one at most. */
  legacyCall: number | null;
  /** Indexes of calls whose input is plain text. */
  readonly customCalls: Set<number>;
  readonly citations: Json[];
  readonly tokens: LayoutToken[];
}

export class ChunkStream {
  readonly #context: AnswerContext;
  readonly #choices = new Map<number, ChoiceState>();
  /** The router's member, on the chunks that end the answer. */
  flow: Json | null = null;
  #id: string | undefined;
  #model: string | undefined;
  #createdAt: number | undefined;
  /** Under which of its two names the client reads thoughts. */
  #reasoningName: "reasoning_content" | "reasoning" = "reasoning_content";
  /** Top-level members that wait for the usage. */
  #extra: Json = {};

  constructor(context: AnswerContext) {
    this.#context = context;
  }

  /** The chunks that `event` is due; none for what chat has no word for. `error` is the caller's to handle. */
  write(event: AnswerEvent): readonly Json[] {
    switch (event.kind) {
      case "start":
        this.#start(event);
        return [];
      case "text":
        return this.#text(event);
      case "reasoning":
        return this.#reasoning(event);
      case "bound":
        return this.#bound(event);
      case "refusal":
        return [this.#delta(event.choice, { refusal: event.text })];
      case "call_start": {
        this.#endBlock(event.choice);
        const state = this.#choice(event.choice);
        state.tokens.push({ kind: "call" });
        const { index, id, form, bound } = event;
        const name = event.namespace === undefined ? event.name : `${event.namespace}__${event.name}`;
        if (event.isLegacy === true) {
          state.legacyCall = index;
          return [this.#delta(event.choice, { function_call: { name, arguments: "" } })];
        }
        if (form === "custom") state.customCalls.add(index);
        const detail =
          form === "custom"
            ? { type: "custom", custom: { name, input: "" } }
            : { type: "function", function: { name, arguments: "" } };
        return [this.#delta(event.choice, { tool_calls: [{ index, id, ...detail, ...writeCallExtra(bound) }] })];
      }
      case "call_args":
        return event.text === "" ? [] : [this.#arguments(event)];
      case "call_end":
        return [];
      case "block": {
        this.#endBlock(event.choice);
        const state = this.#choice(event.choice);
        state.isBound = true;
        state.tokens.push({ kind: "block" });
        return [this.#delta(event.choice, { [blockMember(event.bound.wire)]: [event.bound.data ?? {}] })];
      }
      case "citation": {
        const { citation, url } = event;
        const state = this.#choice(event.choice);
        if (citation !== undefined) state.citations.push(citation);
        const members = {
          ...(citation === undefined ? {} : { citations: [citation] }),
          ...(url === undefined ? {} : { annotations: [placed(url, state.textStart)] }),
        };
        return Object.keys(members).length === 0 ? [] : [this.#delta(event.choice, members)];
      }
      case "media":
        return this.#media(event);
      case "finish":
        return this.#finish(event);
      case "usage":
        return [this.#last({ ...this.#chunk([]), usage: event.raw, ...this.#extra })];
      case "extra":
        if (event.choice !== null) return [this.#delta(event.choice, event.members)];
        // With the usage, which a client has to ask for: a chunk without choices would break the others.
        this.#extra = { ...this.#extra, ...event.members };
        return [];
      case "error":
        return [];
      default:
        return unreachable(event);
    }
  }

  /** What all chunks of the stream are known by. */
  get id(): string {
    return this.#id ?? `chatcmpl-${this.#context.traceId}`;
  }

  /** One answer has one id; the model is the one that answers now. */
  #start({ id, model, createdAt }: Extract<AnswerEvent, { kind: "start" }>): void {
    this.#id ??= id;
    this.#createdAt ??= createdAt;
    this.#model = model ?? this.#model;
  }

  /** The client has `event` already, as the provider wrote it. */
  skip(event: AnswerEvent, raw: string): void {
    if (event.kind === "start") this.#start(event);
    else if (event.kind === "reasoning" && !raw.includes('"reasoning_content"')) this.#reasoningName = "reasoning";
    if ("choice" in event && event.choice !== null) this.#choice(event.choice).hasRole = true;
  }

  #arguments({ choice, index, text }: Extract<AnswerEvent, { kind: "call_args" }>): Json {
    const { legacyCall, customCalls } = this.#choice(choice);
    if (legacyCall === index) return this.#delta(choice, { function_call: { arguments: text } });
    const detail = customCalls.has(index) ? { custom: { input: text } } : { function: { arguments: text } };
    return this.#delta(choice, { tool_calls: [{ index, ...detail }] });
  }

  #text({ choice, text, begins, logprobs }: Extract<AnswerEvent, { kind: "text" }>): readonly Json[] {
    const state = this.#choice(choice);
    const due = begins === true ? this.#endBlock(choice) : [];
    state.textLength += text.length;
    if (text === "" && logprobs === undefined) return due;
    return [...due, this.#delta(choice, text === "" ? {} : { content: text }, logprobs ?? null)];
  }

  #reasoning({ choice, text, begins, form }: Extract<AnswerEvent, { kind: "reasoning" }>): readonly Json[] {
    const state = this.#choice(choice);
    const due = this.#endBlock(choice);
    if (begins === true) state.reasoning = "";
    state.reasoningForm = form;
    state.reasoning += text;
    return text === "" ? due : [...due, this.#delta(choice, { [this.#reasoningName]: text })];
  }

  #bound({ choice, of, bound }: Extract<AnswerEvent, { kind: "bound" }>): readonly Json[] {
    const state = this.#choice(choice);
    const due = of === "text" ? [] : this.#endBlock(choice);
    const text = of === "reasoning" ? state.reasoning : "";
    if (of === "text") {
      state.tokens.push(textToken(state), { kind: "attached" });
      due.push(...this.#annotations(choice));
      state.textStart = state.textLength;
    } else state.tokens.push({ kind: "reasoning" });
    state.isBound = true;
    state.reasoning = "";
    const form = of === "reasoning" ? state.reasoningForm : "redacted";
    const detail = writeDetail(text, form, bound, state.details++);
    return [...due, this.#delta(choice, { reasoning_details: [detail] })];
  }

  /** Closes the open text block: its annotations are due, as they say from where to where the text goes. */
  #endBlock(choice: number): Json[] {
    const state = this.#choice(choice);
    if (state.textLength > state.textStart) state.tokens.push(textToken(state));
    const due = this.#annotations(choice);
    state.textStart = state.textLength;
    return due;
  }

  #annotations(choice: number): Json[] {
    const state = this.#choice(choice);
    const annotations = urlCitations(state.citations.splice(0), state.textStart, state.textLength);
    return annotations.length === 0 ? [] : [this.#delta(choice, { annotations })];
  }

  #media({ choice, media, source, bound }: Extract<AnswerEvent, { kind: "media" }>): readonly Json[] {
    if (media === "audio") return [this.#delta(choice, { audio: source })];
    const due = this.#endBlock(choice);
    const state = this.#choice(choice);
    state.tokens.push({ kind: "image" });
    if (bound !== undefined) state.isBound = true;
    // With its index, by which SDKs tell the entries of a list apart.
    const image = { ...source, index: state.images++, ...writeCallExtra(bound) };
    return [...due, this.#delta(choice, { images: [image] })];
  }

  #finish({ choice, finish }: Extract<AnswerEvent, { kind: "finish" }>): readonly Json[] {
    const due = this.#endBlock(choice);
    const state = this.#choice(choice);
    if (state.isBound && !isPlain(state.tokens)) {
      due.push(this.#delta(choice, { reasoning_details: [layoutDetail(state.tokens, state.details++)] }));
    }
    const extra = { ...finish.details, ...stopMember(finish.stopSequence) };
    if (Object.keys(extra).length > 0) due.push(this.#delta(choice, extra));
    const isLegacy = state.legacyCall !== null && finish.reason === "tool_calls";
    const reason = isLegacy ? "function_call" : finish.reason;
    const end = { index: choice, delta: this.#withRole(choice, {}), logprobs: null, finish_reason: reason };
    return [...due, this.#last(this.#chunk([end]))];
  }

  /** A chunk without choices, as OpenAI's own of the usage is: clients skip it where they do not know it. */
  report(usage: Json, flow: Json): Json {
    return { ...this.#chunk([]), usage, flow: { ...this.flow, ...flow } };
  }

  #last(chunk: Json): Json {
    return this.flow === null ? chunk : { ...chunk, flow: this.flow };
  }

  #choice(choice: number): ChoiceState {
    const known = this.#choices.get(choice);
    if (known !== undefined) return known;
    const fresh: ChoiceState = {
      ...{ hasRole: false, details: 0, images: 0, textLength: 0, textStart: 0, reasoning: "", reasoningForm: "full" },
      ...{ isBound: false, legacyCall: null, customCalls: new Set(), citations: [], tokens: [] },
    };
    this.#choices.set(choice, fresh);
    return fresh;
  }

  #delta(choice: number, delta: Json, logprobs: Json | null = null): Json {
    return this.#chunk([{ index: choice, delta: this.#withRole(choice, delta), logprobs, finish_reason: null }]);
  }

  #withRole(choice: number, delta: Json): Json {
    const state = this.#choice(choice);
    if (state.hasRole) return delta;
    state.hasRole = true;
    return { role: "assistant", ...delta };
  }

  #chunk(choices: readonly Json[]): Json {
    return {
      id: this.id,
      object: "chat.completion.chunk",
      created: this.#createdAt ?? this.#context.createdAt,
      model: this.#model ?? this.#context.model,
      choices,
    };
  }
}

/** An annotation counts from the beginning of its text block, and the client has all of them as one text. */
function placed(url: Json, textStart: number): Json {
  const detail = url["url_citation"];
  if (textStart === 0 || !isJsonObject(detail)) return url;
  const { start_index: from, end_index: to } = detail;
  if (typeof from !== "number" || typeof to !== "number") return url;
  return { ...url, url_citation: { ...detail, start_index: from + textStart, end_index: to + textStart } };
}

/** The open text block, with what is cited in it. */
function textToken({ textLength, textStart, citations }: ChoiceState): LayoutToken {
  const cited = citations.length === 0 ? {} : { citations: citations.length };
  return { kind: "text", length: textLength - textStart, ...cited };
}
