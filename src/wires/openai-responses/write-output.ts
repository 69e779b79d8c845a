/** The output of a response while it is made: its items, and the events that tell of them. */
import type { AnswerEvent } from "../../conversation/answer.ts";
import { type Bound, type Json, type ReasoningPart, unreachable } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { AnswerContext } from "../wire.ts";
import { enclose } from "./envelope.ts";
import { annotationOf, objectsOf, phaseOf, textOf, WIRE } from "./items.ts";
import { itemId } from "./response.ts";

type Status = "in_progress" | "completed" | "incomplete";
type Emit = (type: string, members: Json) => void;
export type ContentEvent = Exclude<AnswerEvent, { kind: "start" | "finish" | "usage" | "extra" | "error" }>;

/** The item's current state. Written once per snapshot. */
interface Item {
  readonly index: number;
  readonly id: string;
  /** Its members, `id` and `status` aside. */
  members: Record<string, unknown>;
  /** `null`: an item without a status. */
  status: Status | null;
}

interface TextContent {
  readonly type: "output_text";
  text: string;
  readonly annotations: Json[];
  readonly logprobs: Json[];
}
interface RefusalContent {
  readonly type: "refusal";
  refusal: string;
}
type Content = TextContent | RefusalContent;

/** The message or thought that is being made. */
type Open =
  | { readonly kind: "message"; readonly item: Item; readonly contents: Content[]; part: Content | null }
  | { readonly kind: "reasoning"; readonly item: Item; text: string; readonly form: ReasoningPart["form"] };

interface OpenCall {
  readonly item: Item;
  readonly form: "function" | "custom";
  args: string;
  /** Its item came whole: nothing more is said of it. */
  readonly isWhole: boolean;
}

export class OutputItems {
  readonly #context: AnswerContext;
  readonly #emit: Emit;
  readonly #items: Item[] = [];
  readonly #ids = new Set<string>();
  readonly #callIds = new Set<string>();
  readonly #calls = new Map<number, OpenCall>();
  #open: Open | null = null;

  constructor(context: AnswerContext, emit: Emit) {
    this.#context = context;
    this.#emit = emit;
  }

  write(event: ContentEvent): void {
    switch (event.kind) {
      case "text":
        this.#text(event.text, event.begins === true, event.logprobs);
        return;
      case "reasoning":
        this.#reasoning(event);
        return;
      case "bound":
        this.#bound(event.of, event.bound);
        return;
      case "refusal":
        this.#refusal(event.text);
        return;
      case "call_start":
        this.#callStart(event);
        return;
      case "call_args": {
        const call = this.#calls.get(event.index);
        if (call === undefined || call.isWhole || event.text === "") return;
        call.args += event.text;
        this.#emit(`response.${argsName(call.form)}.delta`, { ...placeOf(call.item), delta: event.text });
        return;
      }
      case "call_end":
        this.#endCall(event.index);
        return;
      case "block":
        this.#block(event.bound);
        return;
      case "citation":
        this.#citation(event.citation, event.url);
        return;
      case "media":
        this.#media(event.media, event.source);
        return;
      default:
        unreachable(event);
    }
  }

  /** Everything is at its end. */
  close(): void {
    this.#closeOpen();
    for (const index of [...this.#calls.keys()]) this.#endCall(index);
  }

  /** `unfinished`: the status that items get which are still open. */
  snapshot(unfinished: Status = "in_progress"): Json[] {
    if (unfinished !== "in_progress") this.#copyOpen();
    return this.#items.map((item) => written(item, unfinished));
  }

  #copyOpen(): void {
    const open = this.#open;
    if (open?.kind === "message") open.item.members["content"] = open.contents.map(copyOf);
    if (open?.kind === "reasoning") open.item.members["summary"] = summaryOf(open.text);
    for (const call of this.#calls.values()) {
      if (!call.isWhole) call.item.members[call.form === "function" ? "arguments" : "input"] = call.args;
    }
  }

  #add(prefix: string, members: Record<string, unknown>, status: Status | null, wanted?: string): Item {
    const index = this.#items.length;
    const isFree = wanted !== undefined && !this.#ids.has(wanted);
    const id = isFree ? wanted : itemId(prefix, this.#context.traceId, index);
    this.#ids.add(id);
    const item: Item = { index, id, members, status };
    this.#items.push(item);
    this.#emit("response.output_item.added", { output_index: index, item: written(item) });
    return item;
  }

  #done(item: Item): void {
    if (item.status !== null) item.status = "completed";
    this.#emit("response.output_item.done", { output_index: item.index, item: written(item) });
  }

  #message(): Extract<Open, { kind: "message" }> {
    if (this.#open?.kind === "message") return this.#open;
    this.#closeOpen();
    const item = this.#add("msg", { type: "message", role: "assistant", content: [] }, "in_progress");
    const open = { kind: "message", item, contents: [], part: null } as Extract<Open, { kind: "message" }>;
    this.#open = open;
    return open;
  }

  #content<T extends Content>(fresh: T, isNew: boolean): T {
    const open = this.#message();
    if (open.part?.type === fresh.type && !isNew) return open.part as T;
    this.#closePart(open);
    open.part = fresh;
    open.contents.push(fresh);
    this.#emit("response.content_part.added", { ...this.#partPlace(open), part: copyOf(fresh) });
    return fresh;
  }

  #partPlace({ item, contents }: Extract<Open, { kind: "message" }>): Json {
    return { ...placeOf(item), content_index: contents.length - 1 };
  }

  #text(text: string, begins: boolean, logprobs: Json | undefined): void {
    if (text === "") return;
    const part = this.#content<TextContent>({ type: "output_text", text: "", annotations: [], logprobs: [] }, begins);
    const tokens = objectsOf(logprobs?.["content"]);
    part.text += text;
    part.logprobs.push(...tokens);
    const open = this.#message();
    this.#emit("response.output_text.delta", { ...this.#partPlace(open), delta: text, logprobs: tokens });
  }

  #refusal(text: string): void {
    if (text === "") return;
    const part = this.#content<RefusalContent>({ type: "refusal", refusal: "" }, false);
    part.refusal += text;
    this.#emit("response.refusal.delta", { ...this.#partPlace(this.#message()), delta: text });
  }

  #citation(citation: Json | undefined, url: Json | undefined): void {
    const open = this.#open;
    const part = open?.kind === "message" ? open.part : null;
    if (open?.kind !== "message" || part?.type !== "output_text") return;
    const annotation = writtenCitation(citation, url, part.text.length);
    if (annotation === null) return;
    const place = { ...this.#partPlace(open), annotation_index: part.annotations.length };
    part.annotations.push(annotation);
    this.#emit("response.output_text.annotation.added", { ...place, annotation });
  }

  #closePart(open: Extract<Open, { kind: "message" }>): void {
    const { part } = open;
    if (part === null) return;
    const place = this.#partPlace(open);
    if (part.type === "output_text") {
      this.#emit("response.output_text.done", { ...place, text: part.text, logprobs: part.logprobs });
    } else this.#emit("response.refusal.done", { ...place, refusal: part.refusal });
    this.#emit("response.content_part.done", { ...place, part: copyOf(part) });
    open.part = null;
  }

  #closeOpen(encrypted?: string): void {
    const open = this.#open;
    if (open === null) return;
    this.#open = null;
    const { item } = open;
    if (open.kind === "message") {
      this.#closePart(open);
      item.members["content"] = open.contents.map(copyOf);
    } else {
      const place = { ...placeOf(item), summary_index: 0 };
      const [part] = summaryOf(open.text);
      this.#emit("response.reasoning_summary_text.done", { ...place, text: open.text });
      this.#emit("response.reasoning_summary_part.done", { ...place, part });
      item.members["summary"] = [part];
      if (encrypted !== undefined) item.members["encrypted_content"] = encrypted;
    }
    this.#done(item);
  }

  /** Thoughts in full are shown as a summary, too: it is what clients of this API display. */
  #reasoning({ text, begins, form }: Extract<ContentEvent, { kind: "reasoning" }>): void {
    if (text === "") return;
    if (this.#open?.kind !== "reasoning" || begins === true) {
      this.#closeOpen();
      const item = this.#add("rs", { type: "reasoning", summary: [] }, "in_progress");
      this.#open = { kind: "reasoning", item, text: "", form };
      const part = { type: "summary_text", text: "" };
      this.#emit("response.reasoning_summary_part.added", { ...placeOf(item), summary_index: 0, part });
    }
    const open = this.#open;
    open.text += text;
    const place = { ...placeOf(open.item), summary_index: 0 };
    this.#emit("response.reasoning_summary_text.delta", { ...place, delta: text });
  }

  #bound(of: "reasoning" | "text" | "own", bound: Bound): void {
    const open = this.#open;
    const phase = phaseOf(bound);
    if (of === "text" && phase !== undefined) {
      if (open?.kind === "message") open.item.members = { ...open.item.members, phase };
      this.#closeOpen();
    } else if (of === "reasoning" && open?.kind === "reasoning") {
      this.#closeOpen(enclose({ of: "reasoning", bound, form: open.form }));
    } else if (of === "text") this.#envelope(enclose({ of: "text", bound }));
    else this.#envelope(enclose({ of: "reasoning", bound, form: "redacted" }));
  }

  /** A thought without text: only its provider can read it, and every client sends it back in its place. */
  #envelope(encrypted: string): void {
    this.#closeOpen();
    const item = this.#add("rs", { type: "reasoning", summary: [], encrypted_content: encrypted }, "in_progress");
    this.#done(item);
  }

  #callStart({ index, id, name, namespace, form, bound }: Extract<ContentEvent, { kind: "call_start" }>): void {
    this.#closeOpen();
    this.#endCall(index);
    const isItem = bound?.wire === WIRE && bound.data !== undefined;
    const callId = this.#callId(id);
    if (isItem) {
      const item = this.#whole(bound.data ?? {}, callId);
      this.#calls.set(index, { item, form, args: "", isWhole: true });
      return;
    }
    if (bound !== undefined) this.#envelope(enclose({ of: "call", bound, callId }));
    const own = this.#context.conversation?.namespaces?.get(name) ?? { name, namespace };
    const named = {
      call_id: callId,
      name: own.name,
      ...(own.namespace === undefined ? {} : { namespace: own.namespace }),
    };
    const item =
      form === "custom"
        ? this.#add("ctc", { type: "custom_tool_call", ...named, input: "" }, "in_progress")
        : this.#add("fc", { type: "function_call", ...named, arguments: "" }, "in_progress");
    this.#calls.set(index, { item, form, args: "", isWhole: false });
  }

  /** Results name the call by it: two calls never share one. */
  #callId(id: string): string {
    const isFree = id !== "" && !this.#callIds.has(id);
    const callId = isFree ? id : itemId("call", this.#context.traceId, this.#items.length);
    this.#callIds.add(callId);
    return callId;
  }

  #endCall(index: number): void {
    const call = this.#calls.get(index);
    if (call === undefined) return;
    this.#calls.delete(index);
    if (call.isWhole) return;
    const { item, form } = call;
    const args = form === "function" && call.args === "" ? "{}" : call.args;
    if (args !== call.args) this.#emit(`response.${argsName(form)}.delta`, { ...placeOf(item), delta: args });
    const member = form === "function" ? "arguments" : "input";
    item.members = { ...item.members, [member]: args };
    this.#emit(`response.${argsName(form)}.done`, { ...placeOf(item), [member]: args });
    this.#done(item);
  }

  #block(bound: Bound): void {
    this.#closeOpen();
    if (bound.wire === WIRE && bound.data !== undefined) this.#whole(bound.data);
    else this.#envelope(enclose({ of: "block", bound }));
  }

  /** An item of this wire as it came, under an id that no other has. */
  #whole(source: Json, callId?: string): Item {
    this.#closeOpen();
    const { id, status, ...members } = source;
    const named = callId === undefined || members["call_id"] === undefined ? members : { ...members, call_id: callId };
    const item = this.#add("item", named, null, textOf(id));
    item.members = status === undefined ? item.members : { ...item.members, status };
    this.#done(item);
    return item;
  }

  /** A picture is what its tool would have made. There is no item for sound. */
  #media(media: "image" | "audio", source: Json): void {
    const image = source["image_url"];
    const url = isJsonObject(image) ? textOf(image["url"]) : textOf(image);
    if (media !== "image" || url === undefined) return;
    this.#closeOpen();
    const result = url.slice(url.indexOf(",") + 1);
    const item = this.#add("ig", { type: "image_generation_call", result: null }, "in_progress");
    item.members = { ...item.members, result };
    this.#done(item);
  }
}

function argsName(form: "function" | "custom"): string {
  return form === "function" ? "function_call_arguments" : "custom_tool_call_input";
}

function placeOf({ id, index }: Item): Json {
  return { item_id: id, output_index: index };
}

function written({ id, members, status }: Item, unfinished: Status = "in_progress"): Json {
  const shown = status === "in_progress" ? unfinished : status;
  return { id, ...members, ...(shown === null ? {} : { status: shown }) };
}

function copyOf(content: Content): Json {
  return content.type === "refusal"
    ? { ...content }
    : { ...content, annotations: [...content.annotations], logprobs: [...content.logprobs] };
}

function summaryOf(text: string): [Json] {
  return [{ type: "summary_text", text }];
}

/** In this wire's spelling; `null` for a citation of another one that names no page of the web. */
function writtenCitation(citation: Json | undefined, url: Json | undefined, length: number): Json | null {
  const detail = url?.["url_citation"];
  if (isJsonObject(detail)) return { type: "url_citation", ...detail };
  if (citation === undefined) return null;
  const { url: address, title } = citation;
  const own = annotationOf(citation);
  if (own !== null) return own;
  if (typeof address !== "string") return null;
  return {
    type: "url_citation",
    url: address,
    title: typeof title === "string" ? title : "",
    start_index: 0,
    end_index: length,
  };
}
