/** One item of a streamed response, from its first event to its last. */
import type { AnswerEvent } from "../../conversation/answer.ts";
import { partEvents } from "../../conversation/events.ts";
import type { Bound, Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { CallArguments } from "../call-arguments.ts";
import type { ToolName } from "../tool-names.ts";
import { disclose } from "./envelope.ts";
import { objectsOf, phaseBound, textOf } from "./items.ts";
import { argumentsOf, OutputParts, ownBound, SUMMARY_BREAK, thoughtsOf } from "./read-output.ts";

const CHOICE = 0;

/** What was said of one content part. */
interface Said {
  text: string;
  citations: number;
  /** A text of its own, and not a refusal. */
  isText: boolean;
}

/** What the items of one response share. */
export interface ResponseState {
  readonly provider: string;
  /** The client's own name of the tool that an item calls. */
  readonly nameOf: (item: Json) => ToolName;
  calls: number;
  /** What an item before its call said of the call, by the call's id. */
  readonly ofCalls: Map<string, Bound>;
}

export class ItemReader {
  /** The latest version of it. */
  item: Json = {};
  readonly #state: ResponseState;
  /** By `content_index`. */
  readonly #contents = new Map<number, Said>();
  #reasoning = "";
  #form: "summary" | "full" | null = null;
  #summaryIndex = -1;
  #call: {
    readonly index: number;
    readonly form: "function" | "custom";
    /** What came of them. */
    args: string;
    /** What is due of them: an object, whatever a model writes for none. */
    readonly due: CallArguments;
  } | null = null;
  #isDone = false;

  constructor(state: ResponseState) {
    this.#state = state;
  }

  /** `response.output_item.added` */
  begin(item: Json): AnswerEvent[] {
    this.item = item;
    return this.#begin(item);
  }

  #begin(item: Json): AnswerEvent[] {
    const { type } = item;
    if (this.#call !== null || (type !== "function_call" && type !== "custom_tool_call")) return [];
    const form = type === "function_call" ? "function" : "custom";
    const index = this.#state.calls++;
    this.#call = { index, form, args: "", due: new CallArguments() };
    const id = textOf(item["call_id"]) ?? textOf(item["id"]) ?? "";
    const bound = this.#state.ofCalls.get(id);
    const attached = bound === undefined ? {} : { bound };
    const start = {
      kind: "call_start",
      choice: CHOICE,
      index,
      id,
      ...this.#state.nameOf(item),
      form,
      ...attached,
    } as const;
    // Some send the call whole in its first event.
    return [start, ...this.#args(argumentsOf(item[form === "function" ? "arguments" : "input"]))];
  }

  /** Every event between the first and the last of the item. */
  read(event: Json): AnswerEvent[] {
    if (this.#isDone) return [];
    const { delta, text, part } = event;
    const at = Number.isSafeInteger(event["content_index"]) ? (event["content_index"] as number) : 0;
    switch (event["type"]) {
      case "response.output_text.delta":
        return typeof delta === "string" ? this.#text(at, delta, event["logprobs"]) : [];
      case "response.output_text.done":
        return typeof text === "string" ? this.#restOfText(at, text) : [];
      case "response.output_text.annotation.added": {
        const said = this.#content(at);
        said.citations++;
        return isJsonObject(event["annotation"]) ? [citation(event["annotation"])] : [];
      }
      case "response.refusal.delta":
        return typeof delta === "string" ? this.#refusal(at, delta) : [];
      case "response.refusal.done":
        return typeof event["refusal"] === "string" ? this.#restOfRefusal(at, event["refusal"]) : [];
      case "response.content_part.done":
        return isJsonObject(part) ? this.#contentPart(at, part) : [];
      case "response.reasoning_summary_text.delta":
        return typeof delta === "string" ? this.#summary(event, delta) : [];
      case "response.reasoning_text.delta":
        return typeof delta === "string" && this.#form !== "summary" ? this.#thought(delta, "full") : [];
      case "response.function_call_arguments.delta":
      case "response.custom_tool_call_input.delta":
        return typeof delta === "string" ? this.#moreArgs(delta) : [];
      case "response.function_call_arguments.done":
        return typeof event["arguments"] === "string" ? this.#args(event["arguments"]) : [];
      case "response.custom_tool_call_input.done":
        return typeof event["input"] === "string" ? this.#args(event["input"]) : [];
      default:
        return [];
    }
  }

  /** `response.output_item.done`, or the item in the last snapshot. */
  finish(item: Json): AnswerEvent[] {
    if (this.#isDone) return [];
    this.#isDone = true;
    this.item = item;
    switch (item["type"]) {
      case "message": {
        const events = objectsOf(item["content"]).flatMap((part, at) => this.#contentPart(at, part));
        return [...events, ...this.#phase(item)];
      }
      case "reasoning":
        return this.#finishReasoning(item);
      case "function_call":
      case "custom_tool_call": {
        const events = this.#begin(item);
        const args = argumentsOf(item[item["type"] === "function_call" ? "arguments" : "input"]);
        return [...events, ...this.#args(args), ...this.#endCall()];
      }
      default: {
        const output = new OutputParts(this.#state.provider);
        if (!output.add(item, "")) output.addBlock(item, "");
        return output.parts.flatMap((part) => {
          return partEvents(CHOICE, part, part.kind === "call" ? this.#state.calls++ : 0);
        });
      }
    }
  }

  /** The answer is at its end, and this item was never closed: what came of it is all there is. */
  close(): AnswerEvent[] {
    if (this.#isDone) return [];
    this.#isDone = true;
    return this.#endCall();
  }

  #content(at: number): Said {
    const known = this.#contents.get(at);
    if (known !== undefined) return known;
    const fresh: Said = { text: "", citations: 0, isText: true };
    this.#contents.set(at, fresh);
    return fresh;
  }

  #text(at: number, text: string, logprobs?: unknown): AnswerEvent[] {
    const said = this.#content(at);
    const begins = said.text === "";
    const content = objectsOf(logprobs);
    if (text === "" && content.length === 0) return [];
    // The phase is the item's, and said of each of its texts.
    const due = begins ? this.#phase(this.item) : [];
    said.text += text;
    return [
      ...due,
      {
        ...({ kind: "text", choice: CHOICE, text } as const),
        ...(begins ? { begins } : {}),
        ...(content.length === 0 ? {} : { logprobs: { content } }),
      },
    ];
  }

  #restOfText(at: number, text: string, logprobs?: unknown): AnswerEvent[] {
    const said = this.#content(at);
    const isNew = said.text === "";
    const rest = restOf(said.text, text);
    return rest === "" ? [] : this.#text(at, rest, isNew ? logprobs : undefined);
  }

  #refusal(at: number, text: string): AnswerEvent[] {
    const said = this.#content(at);
    said.text += text;
    said.isText = false;
    return text === "" ? [] : [{ kind: "refusal", choice: CHOICE, text }];
  }

  #restOfRefusal(at: number, text: string): AnswerEvent[] {
    return this.#refusal(at, restOf(this.#content(at).text, text));
  }

  /** A content part whole: what of it was not said yet. */
  #contentPart(at: number, { type, text, refusal, annotations, logprobs }: Json): AnswerEvent[] {
    if (type === "refusal" && typeof refusal === "string") return this.#restOfRefusal(at, refusal);
    if (type !== "output_text" || typeof text !== "string") return [];
    const events = this.#restOfText(at, text, logprobs);
    const said = this.#content(at);
    for (const annotation of objectsOf(annotations).slice(said.citations)) {
      said.citations++;
      events.push(citation(annotation));
    }
    return events;
  }

  #phase(item: Json): AnswerEvent[] {
    const bound = phaseBound(item, this.#state.provider);
    const hasText = [...this.#contents.values()].some(({ isText, text }) => isText && text !== "");
    return bound === undefined || !hasText ? [] : [{ kind: "bound", choice: CHOICE, of: "text", bound }];
  }

  #summary(event: Json, delta: string): AnswerEvent[] {
    if (this.#form === "full" || delta === "") return [];
    const index = event["summary_index"];
    const isNext = typeof index === "number" && index !== this.#summaryIndex && this.#reasoning !== "";
    if (typeof index === "number") this.#summaryIndex = index;
    return this.#thought(isNext ? SUMMARY_BREAK + delta : delta, "summary");
  }

  #thought(text: string, form: "summary" | "full"): AnswerEvent[] {
    if (text === "") return [];
    const begins = this.#form === null;
    this.#form = form;
    this.#reasoning += text;
    return [{ kind: "reasoning", choice: CHOICE, text, ...(begins ? { begins } : {}), form }];
  }

  #finishReasoning(item: Json): AnswerEvent[] {
    const encrypted = textOf(item["encrypted_content"]);
    const enclosed = encrypted === undefined ? null : disclose(encrypted);
    switch (enclosed?.of) {
      case "text":
        return [{ kind: "bound", choice: CHOICE, of: "text", bound: enclosed.bound }];
      case "call":
        this.#state.ofCalls.set(enclosed.callId ?? "", enclosed.bound);
        return [];
      case "block":
        return [{ kind: "block", choice: CHOICE, bound: enclosed.bound }];
      case "reasoning":
      case undefined: {
        const { text, form } = thoughtsOf(item);
        const events = form === "redacted" ? [] : this.#thought(restOf(this.#reasoning, text), this.#form ?? form);
        const bound = enclosed === null ? ownBound(item, encrypted, this.#state.provider) : enclosed?.bound;
        if (bound === undefined) return events;
        const of = this.#reasoning === "" ? "own" : "reasoning";
        return [...events, { kind: "bound", choice: CHOICE, of, bound }];
      }
    }
  }

  #moreArgs(delta: string): AnswerEvent[] {
    if (this.#call === null || delta === "") return [];
    this.#call.args += delta;
    const { form, index, due } = this.#call;
    return argsEvents(index, form === "function" ? due.push(delta) : delta);
  }

  /** `args`: all of it. */
  #args(args: string): AnswerEvent[] {
    return this.#moreArgs(restOf(this.#call?.args ?? "", args));
  }

  #endCall(): AnswerEvent[] {
    const call = this.#call;
    if (call === null) return [];
    const events = call.form === "function" ? argsEvents(call.index, call.due.end()) : [];
    return [...events, { kind: "call_end", choice: CHOICE, index: call.index }];
  }
}

function argsEvents(index: number, text: string): AnswerEvent[] {
  return text === "" ? [] : [{ kind: "call_args", choice: CHOICE, index, text }];
}

/** What `whole` has beyond what was said; nothing where the two disagree, since nothing can be taken back. */
function restOf(said: string, whole: string): string {
  return whole.startsWith(said) ? whole.slice(said.length) : "";
}

/** In OpenAI's chat shape where it is a page of the web, else as it came. */
function citation(annotation: Json): AnswerEvent {
  const { type, ...detail } = annotation;
  if (type !== "url_citation") return { kind: "citation", choice: CHOICE, citation: annotation };
  return { kind: "citation", choice: CHOICE, url: { type, url_citation: detail } };
}
