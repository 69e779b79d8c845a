/**
 * Claude's event stream.
 *
 * State of one stream; never throws on any bytes. Events are distinguished by the `type` in their data, never by the
 * `event:` line, which some gateways drop. Unknown events are ignored, unknown blocks kept as the provider's own. The
 * finish is reported when the provider names one, usage with the first event and last: the newest of its cumulative
 * figures, also where the stream breaks.
 * https://platform.claude.com/docs/en/build-with-claude/streaming
 */
import type { AnswerEvent } from "../../conversation/answer.ts";
import type { Bound, CallPart, Json } from "../../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { textAt } from "../../lib/json-text.ts";
import { SseSplitter } from "../../lib/sse.ts";
import { customInput } from "../custom-tools.ts";
import type { EventReader, ReadEvent } from "../sse-items.ts";
import type { AnswerContext, AnswerReader } from "../wire.ts";
import { AnsweredTools, inputText } from "./calls.ts";
import { ANSWER_TOOL } from "./format.ts";
import { containerOf } from "./read-answer.ts";
import { isUnfinished, PAUSED, readFinish, refusalOf } from "./stop-reasons.ts";
import { rawUsageOf, readCounts, tierOf, withLater } from "./usage.ts";

/** A content block that has begun and not ended. */
interface OpenBlock {
  readonly kind: "text" | "thinking" | "redacted" | "call" | "answer" | "own";
  readonly start: Json;
  /** The exact text of the input in the block's start. */
  readonly input: string | undefined;
  /** Place of a client's call among the calls; -1 for other blocks. */
  readonly call: number;
  readonly form: CallPart["form"];
  /** The JSON of an input that is not passed on piece by piece. */
  readonly pieces: string[];
  hasText: boolean;
  hasInput: boolean;
  signature: string;
  /** What came later for a block that is kept as it is: the content of a compaction. */
  added: Json;
}

const NOTHING: Json = Object.freeze({});
/** A file that the provider fetched comes in one event, in base64. In characters. */
const MAX_EVENT_LENGTH = 8 * 1_048_576;
/** An error in place of a stream is no longer. */
const MAX_PREAMBLE_LENGTH = 1_048_576;
const CHOICE = 0;

export class MessagesReader implements AnswerReader, EventReader {
  readonly #decoder = new TextDecoder();
  readonly #splitter = new SseSplitter(MAX_EVENT_LENGTH);
  readonly #context: AnswerContext;
  readonly #tools: AnsweredTools;
  readonly #blocks = new Map<unknown, OpenBlock>();
  #events: AnswerEvent[] = [];
  /** What was read before the first event: an error may come as a plain body. `null` once there was one. */
  #preamble: string | null = "";
  #usage: Json = NOTHING;
  #calls = 0;
  #hasBlocks = false;
  #isFinished = false;
  #isOver = false;
  /** The client speaks this wire, and can send a turn back that the provider has paused. */
  readonly #mayPause: boolean;

  constructor(context: AnswerContext, { mayPause = false }: { readonly mayPause?: boolean } = {}) {
    this.#context = context;
    this.#mayPause = mayPause;
    this.#tools = new AnsweredTools(context.conversation);
  }

  get isOverlong(): boolean {
    return this.#splitter.isOverlong;
  }

  push(bytes: Uint8Array): readonly AnswerEvent[] {
    return this.#read(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): readonly AnswerEvent[] {
    const events = [...this.#read(this.#decoder.decode())];
    const last = this.#splitter.flush();
    if (last?.data) this.#event(last.data);
    const body = this.#preamble === null ? null : errorBodyOf(this.#preamble);
    if (body !== null) this.#fail(body);
    this.#close();
    return [...events, ...this.#take()];
  }

  /** The events of one event of the stream, for a reader that keeps its text. Not to be mixed with `push`. */
  event(data: string): ReadEvent | null {
    const value = tryParseJson(data);
    if (!isJsonObject(value)) return null;
    const hadFinish = this.#isFinished;
    this.#onEvent(value, data);
    const closes = this.#isFinished && !hadFinish;
    // Usage belongs to the event that ends the answer: it is read there, not at `message_stop`.
    if (closes) this.#tellUsage();
    return { events: this.#take(), closes, ends: value["type"] === "message_stop" };
  }

  finish(): readonly AnswerEvent[] {
    this.#close();
    return this.#take();
  }

  #read(text: string): readonly AnswerEvent[] {
    if (this.#preamble !== null && this.#preamble.length <= MAX_PREAMBLE_LENGTH) this.#preamble += text;
    for (const { data } of this.#splitter.push(text)) if (data !== null) this.#event(data);
    return this.#take();
  }

  #take(): readonly AnswerEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #event(data: string): void {
    this.#preamble = null;
    const event = tryParseJson(data);
    if (isJsonObject(event)) this.#onEvent(event, data);
  }

  #onEvent(event: Json, data: string): void {
    if (this.#isOver) return;
    const { type, index } = event;
    if (type === "error" || isJsonObject(event["error"])) this.#fail(event);
    else if (type === "message_start") this.#onMessageStart(objectOf(event["message"]));
    else if (type === "content_block_start") this.#onBlockStart(index, objectOf(event["content_block"]), data);
    else if (type === "content_block_delta") this.#onBlockDelta(index, objectOf(event["delta"]));
    else if (type === "content_block_stop") this.#onBlockStop(index);
    else if (type === "message_delta") {
      this.#noteUsage(event["usage"]);
      this.#onMessageDelta(objectOf(event["delta"]));
    } else if (type === "message_stop") this.#onMessageStop();
  }

  /** The protocol's own end is the end, also where nothing said how the answer ended. */
  #onMessageStop(): void {
    if (this.#hasBlocks) this.#onMessageDelta({ stop_reason: "end_turn" });
    this.#close();
  }

  #fail(body: Json): void {
    if (this.#isOver) return;
    // What was used until here is owed all the same.
    this.#close();
    this.#events.push({ kind: "error", body });
  }

  /** Nothing that follows belongs to the answer. */
  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const tier = tierOf(this.#usage);
    if (Object.keys(tier).length > 0) this.#events.push({ kind: "extra", choice: null, members: tier });
    this.#tellUsage();
  }

  #tellUsage(): void {
    const counts = readCounts(this.#usage);
    if (counts !== null) this.#events.push({ kind: "usage", counts, raw: rawUsageOf(counts, this.#usage) });
  }

  #noteUsage(usage: unknown): void {
    this.#usage = withLater(this.#usage, usage);
  }

  #onMessageStart(message: Json): void {
    const { id, model } = message;
    this.#events.push({
      kind: "start",
      ...(typeof id === "string" && id !== "" ? { id } : {}),
      ...(typeof model === "string" && model !== "" ? { model } : {}),
    });
    this.#noteUsage(message["usage"]);
    // Early, too: a client that leaves before the end has used the prompt.
    this.#tellUsage();
  }

  #onBlockStart(index: unknown, block: Json, data: string): void {
    this.#hasBlocks = true;
    this.#onBlockStop(index);
    const kind = kindOf(block);
    const isCall = kind === "call";
    const call = isCall ? this.#tools.callOf(block, this.#calls, this.#context.provider) : undefined;
    const open: OpenBlock = {
      ...{ kind, start: block, call: isCall ? this.#calls++ : -1, form: call?.form ?? "function", pieces: [] },
      input: isCall || kind === "answer" ? textAt(data, "content_block", "input") : undefined,
      ...{ hasText: false, hasInput: false, signature: "", added: NOTHING },
    };
    this.#blocks.set(index, open);
    if (call !== undefined) this.#events.push({ kind: "call_start", choice: CHOICE, index: open.call, ...call });
    // Blocks begin empty, but need not.
    if (kind === "text") {
      this.#onText(open, block["text"]);
      for (const each of Array.isArray(block["citations"]) ? block["citations"] : []) this.#onCitation(each);
    }
    if (kind === "thinking") {
      this.#onThinking(open, block["thinking"]);
      if (typeof block["signature"] === "string") open.signature = block["signature"];
    }
  }

  #onBlockDelta(index: unknown, delta: Json): void {
    const type = delta["type"];
    let open = this.#blocks.get(index);
    if (open === undefined) {
      // A lost start loses nothing of text; of a call it loses the name.
      const implied = type === "text_delta" ? "text" : type === "thinking_delta" ? "thinking" : null;
      if (implied === null) return;
      this.#onBlockStart(index, { type: implied }, "");
      open = this.#blocks.get(index);
      if (open === undefined) return;
    }
    if (type === "text_delta" && open.kind === "text") this.#onText(open, delta["text"]);
    else if (type === "thinking_delta" && open.kind === "thinking") this.#onThinking(open, delta["thinking"]);
    else if (type === "signature_delta" && typeof delta["signature"] === "string") open.signature += delta["signature"];
    else if (type === "citations_delta") this.#onCitation(delta["citation"]);
    else if (type === "input_json_delta") this.#onInput(open, delta["partial_json"]);
    else if (type === "compaction_delta") open.added = { ...open.added, ...withoutType(delta) };
  }

  #onText(open: OpenBlock, text: unknown): void {
    if (typeof text !== "string" || text === "") return;
    if (open.hasText) this.#events.push({ kind: "text", choice: CHOICE, text });
    else this.#events.push({ kind: "text", choice: CHOICE, text, begins: true });
    open.hasText = true;
  }

  #onThinking(open: OpenBlock, text: unknown): void {
    if (typeof text !== "string" || text === "") return;
    if (open.hasText) this.#events.push({ kind: "reasoning", choice: CHOICE, text, form: "full" });
    else this.#events.push({ kind: "reasoning", choice: CHOICE, text, form: "full", begins: true });
    open.hasText = true;
  }

  #onCitation(citation: unknown): void {
    if (isJsonObject(citation)) this.#events.push({ kind: "citation", choice: CHOICE, citation });
  }

  #onInput(open: OpenBlock, json: unknown): void {
    if (typeof json !== "string" || json === "") return;
    open.hasInput = true;
    if (open.kind === "answer") this.#onText(open, json);
    else if (open.kind === "call" && open.form === "function") this.#onArgs(open, json);
    else open.pieces.push(json);
  }

  #onArgs(open: OpenBlock, text: string): void {
    if (text !== "") this.#events.push({ kind: "call_args", choice: CHOICE, index: open.call, text });
  }

  #onBlockStop(index: unknown): void {
    const open = this.#blocks.get(index);
    if (open === undefined) return;
    this.#blocks.delete(index);
    const { kind, start, input, hasInput } = open;
    switch (kind) {
      case "text":
        return;
      case "thinking":
        if (open.signature !== "") this.#onSignature(open);
        return;
      case "redacted":
        if (typeof start["data"] === "string") this.#onBound("own", { encrypted: start["data"] });
        return;
      case "answer":
        // Without pieces the input is in the start, or there is none.
        if (!hasInput) this.#onText(open, inputText(start["input"], input));
        return;
      case "call": {
        const whole = hasInput ? open.pieces.join("") : inputText(start["input"], input);
        if (open.form === "custom") this.#onArgs(open, customInput(whole));
        else if (!hasInput) this.#onArgs(open, whole);
        this.#events.push({ kind: "call_end", choice: CHOICE, index: open.call });
        return;
      }
      case "own":
        this.#onOwnBlock(open);
    }
  }

  #onSignature({ hasText, signature }: OpenBlock): void {
    // Its text was left out: the block is there all the same.
    if (!hasText) this.#events.push({ kind: "reasoning", choice: CHOICE, text: "", form: "full", begins: true });
    this.#onBound("reasoning", { signature });
  }

  #onBound(of: "reasoning" | "own", bound: Pick<Bound, "signature" | "encrypted">): void {
    const { provider } = this.#context;
    this.#events.push({ kind: "bound", choice: CHOICE, of, bound: { wire: "anthropic-messages", provider, ...bound } });
  }

  #onOwnBlock({ start, pieces, added }: OpenBlock): void {
    if (typeof start["type"] !== "string") return;
    const input = pieces.length === 0 ? undefined : tryParseJson(pieces.join(""));
    const data = { ...start, ...(input === undefined ? {} : { input }), ...added };
    const { provider } = this.#context;
    this.#events.push({ kind: "block", choice: CHOICE, bound: { wire: "anthropic-messages", provider, data } });
  }

  #onMessageDelta(delta: Json): void {
    const reason = delta["stop_reason"];
    if (typeof reason !== "string" || reason === "" || this.#isFinished) return;
    for (const index of [...this.#blocks.keys()]) this.#onBlockStop(index);
    if (isUnfinished(reason) && !this.#mayPause) {
      this.#fail(PAUSED);
      return;
    }
    this.#isFinished = true;
    const refusal = refusalOf(delta);
    if (refusal !== undefined) this.#events.push({ kind: "refusal", choice: CHOICE, text: refusal });
    const container = containerOf(delta);
    if (Object.keys(container).length > 0) this.#events.push({ kind: "extra", choice: null, members: container });
    const finish = readFinish(delta, this.#calls);
    this.#events.push({ kind: "finish", choice: CHOICE, finish });
  }
}

function kindOf(block: Json): OpenBlock["kind"] {
  switch (block["type"]) {
    case "text":
      return "text";
    case "thinking":
      return "thinking";
    case "redacted_thinking":
      return "redacted";
    case "tool_use":
      return block["name"] === ANSWER_TOOL ? "answer" : "call";
    default:
      return "own";
  }
}

/** A body that came where a stream was expected. */
function errorBodyOf(text: string): Json | null {
  const body = tryParseJson(text);
  return isJsonObject(body) && (isJsonObject(body["error"]) || body["type"] === "error") ? body : null;
}

function withoutType({ type: _type, ...rest }: Json): Json {
  return rest;
}

function objectOf(value: unknown): Json {
  return isJsonObject(value) ? value : NOTHING;
}
