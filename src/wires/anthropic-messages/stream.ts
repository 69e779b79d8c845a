/**
 * Claude's event stream as OpenAI's chunks.
 *
 * Pure state, one per stream; never throws on any bytes. Events are told apart by the `type` in their data, never by the
 * `event:` line, which some gateways drop. Unknown events are ignored, unknown blocks kept as extras. The finish reason
 * is written when the vendor names one, usage last: the newest of its cumulative figures, also where the stream breaks.
 * https://platform.claude.com/docs/en/build-with-claude/streaming
 */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { MAX_EVENT_LENGTH, SseSplitter } from "../../lib/sse.ts";
import type { AnswerContext, StreamPart, StreamTranslator } from "../../providers/adapter.ts";
import { ChunkWriter } from "../openai-chat/chat-wire.ts";
import {
  annotationsOf,
  callOf,
  countsOf,
  errorBodyOf,
  finishOf,
  inputText,
  redactedDetail,
  refusalOf,
  stopExtra,
  thinkingDetail,
  tierOf,
  usageExtras,
} from "./answer.ts";
import { ANSWER_TOOL } from "./format.ts";

type Json = Readonly<Record<string, unknown>>;

/** A content block that has begun and not ended. */
interface OpenBlock {
  readonly type: string;
  readonly start: Json;
  /** Place of a client's call among the calls; -1 for other blocks. */
  readonly call: number;
  /** Text, thinking or the JSON of an input, in pieces. */
  readonly pieces: string[];
  readonly citations: unknown[];
  readonly textStart: number;
  signature: string;
  /** What came later for a block that is kept as it is: the content of a compaction. */
  added: Json;
}

const NOTHING: Json = Object.freeze({});

export class AnthropicStream implements StreamTranslator {
  readonly #decoder = new TextDecoder();
  readonly #splitter = new SseSplitter();
  readonly #writer: ChunkWriter;
  readonly #blocks = new Map<unknown, OpenBlock>();
  #parts: StreamPart[] = [];
  /** What was read before the first event: an error may come as a plain body. `null` once there was one. */
  #preamble: string | null = "";
  #usage: Record<string, unknown> = {};
  #calls = 0;
  #textLength = 0;
  #isAnswerTool = false;
  #isFinished = false;
  #isOver = false;

  constructor(context: AnswerContext) {
    this.#writer = new ChunkWriter(context);
  }

  get isOverlong(): boolean {
    return this.#splitter.isOverlong;
  }

  push(bytes: Uint8Array): readonly StreamPart[] {
    return this.#read(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): readonly StreamPart[] {
    const parts = [...this.#read(this.#decoder.decode())];
    const last = this.#splitter.flush();
    if (last?.data) this.#event(last.data);
    const body = this.#preamble === null ? null : errorBodyOf(this.#preamble);
    if (body !== null) this.#fail(body);
    this.#close();
    return [...parts, ...this.#take()];
  }

  #read(text: string): readonly StreamPart[] {
    if (this.#preamble !== null && this.#preamble.length <= MAX_EVENT_LENGTH) this.#preamble += text;
    for (const { data } of this.#splitter.push(text)) if (data !== null) this.#event(data);
    return this.#take();
  }

  #take(): readonly StreamPart[] {
    const parts = this.#parts;
    this.#parts = [];
    return parts;
  }

  #event(data: string): void {
    this.#preamble = null;
    const event = tryParseJson(data);
    if (this.#isOver || !isJsonObject(event)) return;
    const type = event["type"];
    if (type === "error" || isJsonObject(event["error"])) this.#fail(event);
    else if (type === "message_start") this.#onMessageStart(objectOf(event["message"]));
    else if (type === "content_block_start") this.#onBlockStart(event["index"], objectOf(event["content_block"]));
    else if (type === "content_block_delta") this.#onBlockDelta(event["index"], objectOf(event["delta"]));
    else if (type === "content_block_stop") this.#onBlockStop(event["index"]);
    else if (type === "message_delta") {
      this.#noteUsage(event["usage"]);
      this.#onMessageDelta(objectOf(event["delta"]));
    } else if (type === "message_stop") this.#close();
  }

  #fail(body: Json): void {
    if (this.#isOver) return;
    // What was used until here is owed all the same.
    this.#close();
    this.#parts.push({ error: body });
  }

  /** Usage, once; nothing that follows belongs to the answer. */
  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const counts = countsOf(this.#usage);
    if (counts === null) return;
    const chunk = this.#writer.usage(counts);
    const usage = { ...objectOf(chunk["usage"]), ...usageExtras(this.#usage) };
    this.#write({ ...chunk, usage, ...tierOf(this.#usage) });
  }

  #write(chunk: Json): void {
    this.#parts.push({ chunk });
  }

  #noteUsage(usage: unknown): void {
    for (const [name, value] of Object.entries(objectOf(usage))) {
      // No prompt is empty: some gateways write a 0 where the vendor leaves the figure out of the last event.
      const isFiller = name === "input_tokens" && value === 0 && this.#usage[name] !== undefined;
      if (value !== null && value !== undefined && !isFiller) this.#usage[name] = value;
    }
  }

  #onMessageStart(message: Json): void {
    if (typeof message["id"] === "string" && message["id"] !== "") this.#writer.id ??= message["id"];
    if (typeof message["model"] === "string" && message["model"] !== "") this.#writer.model ??= message["model"];
    this.#noteUsage(message["usage"]);
  }

  #onBlockStart(index: unknown, block: Json): void {
    this.#onBlockStop(index);
    const type = String(block["type"]);
    const isAnswer = type === "tool_use" && block["name"] === ANSWER_TOOL;
    const isCall = type === "tool_use" && !isAnswer;
    const open: OpenBlock = {
      type: isAnswer ? ANSWER_TOOL : type,
      start: block,
      call: isCall ? this.#calls++ : -1,
      pieces: [],
      citations: [],
      textStart: this.#textLength,
      signature: "",
      added: NOTHING,
    };
    this.#blocks.set(index, open);
    if (isCall) this.#write(this.#writer.callStart(open.call, callOf(block, open.call)));
    if (isAnswer) this.#isAnswerTool = true;
    // Blocks begin empty, but need not.
    if (type === "text") {
      this.#onText(open, block["text"]);
      for (const citation of Array.isArray(block["citations"]) ? block["citations"] : [])
        this.#onCitation(open, citation);
    }
    if (type === "thinking") {
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
      this.#onBlockStart(index, { type: implied });
      open = this.#blocks.get(index);
      if (open === undefined) return;
    }
    if (type === "text_delta") this.#onText(open, delta["text"]);
    else if (type === "thinking_delta") this.#onThinking(open, delta["thinking"]);
    else if (type === "signature_delta" && typeof delta["signature"] === "string") open.signature += delta["signature"];
    else if (type === "citations_delta") this.#onCitation(open, delta["citation"]);
    else if (type === "input_json_delta") this.#onInput(open, delta["partial_json"]);
    else if (type === "compaction_delta") open.added = { ...open.added, ...withoutType(delta) };
  }

  #onText(open: OpenBlock, text: unknown): void {
    if (typeof text !== "string" || text === "") return;
    this.#textLength += text.length;
    if (open.type === "text" || open.type === ANSWER_TOOL) this.#write(this.#writer.text(text));
  }

  #onThinking(open: OpenBlock, text: unknown): void {
    if (typeof text !== "string" || text === "") return;
    open.pieces.push(text);
    this.#write(this.#writer.reasoning(text));
  }

  #onCitation(open: OpenBlock, citation: unknown): void {
    if (!isJsonObject(citation)) return;
    open.citations.push(citation);
    this.#write(this.#writer.delta({ citations: [citation] }));
  }

  #onInput(open: OpenBlock, json: unknown): void {
    if (typeof json !== "string" || json === "") return;
    if (open.type === ANSWER_TOOL) {
      open.pieces.push("");
      this.#onText(open, json);
    } else if (open.call >= 0) {
      open.pieces.push("");
      this.#write(this.#writer.callArgs(open.call, json));
    } else open.pieces.push(json);
  }

  #onBlockStop(index: unknown): void {
    const open = this.#blocks.get(index);
    if (open === undefined) return;
    this.#blocks.delete(index);
    const { type, start, call, pieces } = open;
    // Without pieces the input stands in the start, or there is none.
    if (call >= 0 && pieces.length === 0) this.#write(this.#writer.callArgs(call, inputText(start["input"])));
    else if (type === ANSWER_TOOL && pieces.length === 0) this.#onText(open, inputText(start["input"]));
    else if (type === "thinking" && open.signature !== "") {
      this.#write(this.#writer.delta({ reasoning_details: [thinkingDetail(pieces.join(""), open.signature)] }));
    } else if (type === "redacted_thinking" && typeof start["data"] === "string") {
      this.#write(this.#writer.delta({ reasoning_details: [redactedDetail(start["data"])] }));
    } else if (type === "text") {
      const annotations = annotationsOf(open.citations, open.textStart, this.#textLength);
      if (annotations.length > 0) this.#write(this.#writer.delta({ annotations }));
    } else if (call < 0 && type !== ANSWER_TOOL && type !== "thinking" && type !== "undefined") {
      const input = pieces.length === 0 ? undefined : tryParseJson(pieces.join(""));
      const block = { ...start, ...(input === undefined ? {} : { input }), ...open.added };
      this.#write(this.#writer.delta({ server_tool_blocks: [block] }));
    }
  }

  #onMessageDelta(delta: Json): void {
    const reason = delta["stop_reason"];
    if (typeof reason !== "string" || reason === "" || this.#isFinished) return;
    for (const index of [...this.#blocks.keys()]) this.#onBlockStop(index);
    this.#isFinished = true;
    const refusal = reason === "refusal" ? refusalOf(delta["stop_details"]) : undefined;
    const extra = { ...(refusal === undefined ? {} : { refusal }), ...stopExtra(delta) };
    if (Object.keys(extra).length > 0) this.#write(this.#writer.delta(extra));
    this.#write(this.#writer.finish(finishOf(reason, this.#calls, this.#isAnswerTool)));
  }
}

function withoutType({ type: _type, ...rest }: Json): Json {
  return rest;
}

function objectOf(value: unknown): Json {
  return isJsonObject(value) ? value : NOTHING;
}
