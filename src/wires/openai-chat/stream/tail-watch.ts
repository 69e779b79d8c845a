/**
 * Watches a stream in OpenAI's protocol whose bytes move natively: its tail, how much there was, which tools. Events
 * are not parsed: patterns over the text find what is needed, because quotes inside a model's text are escaped and
 * match none of them.
 */
import { tryParseJson } from "../../../lib/json.ts";
import { MAX_EVENT_LENGTH, SseSplitter } from "../../../lib/sse.ts";
import { utf8Length } from "../../../lib/utf8-length.ts";
import type { StreamItem, TailOptions, TailVerdict, TailWatcher } from "../../wire.ts";
import { hasError, usageOf, viewChunk } from "../chunk.ts";
import { CleanWatch } from "./clean-watch.ts";

/** What is kept of the end at least: the last events with usage, finish reason and citations. */
const TAIL_LENGTH = 32_768;
/** A line end and an empty line behind it. The CR of a CRLF is no line end of its own. */
const EMPTY_LINE = /(?:\n|\r(?!\n))(?:\r\n|\n|\r)/g;
const LINE_END = /\r\n|\n|\r/;
const DONE = /^data: ?\[DONE\]/m;
const FINISH = /"finish_reason":\s*"[^"]/;
const MAYBE_ERROR = /"error":\s*(?:\{|"[^"])|"finish_reason":\s*"error"/;
/** Where the next event begins. No text of a model has a bare line end. */
const NEXT_EVENT = "\ndata:";
const REASONING = /"reasoning(?:_content)?":\s*"[^"]/;
const TOOL_NAME = /"function":\s*\{\s*"name":\s*"([^"\\]{1,128})"/g;
/** A tool's name is found even when two reads split it. */
const TOOL_OVERLAP_LENGTH = 256;

export class ChatTailWatch implements TailWatcher {
  isOverlong = false;
  readonly #clean = new CleanWatch();
  readonly toolNames: string[] = [];
  showsReasoning = false;
  readonly #traceId: string;
  readonly #hasTools: boolean;
  /** Characters of an event around the text that it carries. */
  readonly #envelope: number;
  /** Characters of events beyond their envelope, and those of the event that is not over. */
  #content = 0;
  #open = 0;
  #units = 0;
  #bytes = 0;
  #tail = "";
  #forgetAbove = 2 * TAIL_LENGTH;
  #toolScan = "";
  /** Findings from events already dropped from the tail. */
  #hasFinish = false;
  #error: ErrorKind | null = null;
  #oldUsage: unknown;

  constructor({ traceId, hasTools, text, preamble }: TailOptions) {
    this.#traceId = traceId;
    this.#hasTools = hasTools;
    this.#envelope = envelopeOf(preamble);
    this.add(text, utf8Length(text));
  }

  get isUnclean(): boolean {
    if (this.#clean.isUnclean) return true;
    const text = this.#evidence();
    return DONE.test(text) && !this.#hasFinish && !FINISH.test(text);
  }

  add(text: string, bytes: number): void {
    this.#clean.add(text);
    this.#units += text.length;
    this.#bytes += bytes;
    this.#measure(text);
    this.showsReasoning ||= REASONING.test(text);
    this.#tail += text;
    if (this.#tail.length > this.#forgetAbove) this.#forget();
    if (this.#hasTools) this.#scanTools(text);
  }

  #measure(text: string): void {
    let from = 0;
    for (let at = text.indexOf(NEXT_EVENT); at !== -1; at = text.indexOf(NEXT_EVENT, from)) {
      this.#content += Math.max(0, this.#open + at - from - this.#envelope);
      this.#open = 0;
      from = at + NEXT_EVENT.length;
    }
    this.#open += text.length - from;
  }

  /** Lets go of old events, whole ones only: half an event would be no evidence. What they prove stays. */
  #forget(): void {
    const boundary = lastBoundary(this.#tail.slice(0, -TAIL_LENGTH));
    const isOverlong = boundary === 0 && this.#tail.length > MAX_EVENT_LENGTH;
    this.isOverlong ||= isOverlong;
    const end = isOverlong ? this.#tail.length - TAIL_LENGTH : boundary;
    // The inside of a long event is not searched again for each read: the next look is at twice its length.
    this.#forgetAbove = end === 0 ? Math.min(2 * this.#tail.length, MAX_EVENT_LENGTH) : 2 * TAIL_LENGTH;
    if (end === 0) return;
    const old = this.#tail.slice(0, end);
    this.#tail = this.#tail.slice(end);
    this.#hasFinish ||= FINISH.test(old);
    this.#error = this.#error ?? errorIn(old);
    this.#oldUsage = lastUsage(old) ?? this.#oldUsage;
  }

  #scanTools(text: string): void {
    const scan = this.#toolScan + text;
    let behind = 0;
    for (const match of scan.matchAll(TOOL_NAME)) {
      this.toolNames.push(match[1] ?? "");
      behind = match.index + match[0].length;
    }
    this.#toolScan = scan.slice(Math.max(behind, scan.length - TOOL_OVERLAP_LENGTH));
  }

  /** What follows the last empty line: nothing, an event that lacks only its empty line, or half an event. */
  #ending(): "boundary" | "whole" | "half" {
    const rest = this.#tail.slice(lastBoundary(this.#tail));
    if (rest === "") return "boundary";
    const data = new SseSplitter();
    data.push(rest);
    const last = data.flush()?.data ?? null;
    return last === null || viewChunk(last).kind !== "malformed" ? "whole" : "half";
  }

  verdict(): TailVerdict {
    const text = this.#evidence();
    if ((this.#error ?? errorIn(text)) !== null) return "error";
    // `[DONE]` is the provider's own word that the answer is over.
    if (DONE.test(text)) return "done";
    return this.#hasFinish || FINISH.test(text) ? "finished" : "cut";
  }

  /** Half an event is none: the client cannot read it either. */
  #evidence(): string {
    return this.#ending() === "half" ? this.#tail.slice(0, lastBoundary(this.#tail)) : this.#tail;
  }

  closing(): string {
    const ending = this.#ending();
    // Behind half an event nothing is appended to a finished answer: its bare end reads as success, `[DONE]` would not.
    return ending === "half" ? "" : `${ending === "boundary" ? "" : "\n\n"}data: [DONE]\n\n`;
  }

  failing(message: string): string {
    // Clients raise on it, and it has reached them as it came.
    if ((this.#error ?? errorIn(this.#evidence())) === "named") return "";
    return (this.#ending() === "boundary" ? "" : "\n\n") + failureEvent(this.#traceId, message);
  }

  /** Wherever the provider puts it. */
  usage(): unknown {
    return lastUsage(this.#tail) ?? this.#oldUsage;
  }

  /** The frame around the text of an event is the same in all of them. */
  output(): { readonly units: number; readonly bytes: number } {
    const units = this.#content + Math.max(0, this.#open - this.#envelope);
    return { units, bytes: units + Math.max(0, this.#bytes - this.#units) };
  }
}

/**
 * The last event of a stream that broke after its first byte: the OpenAI SDKs raise on it. go-openai looks for `error`
 * at the very beginning of the object: `^data:\s*{"error":`.
 */
export function failureEvent(id: string, message: string): string {
  const error = { message, type: "upstream_error", code: "stream_interrupted", param: null };
  const choices = [{ index: 0, delta: {}, finish_reason: "error" }];
  return `data: ${JSON.stringify({ error, id, object: "chat.completion.chunk", choices })}\n\n`;
}

/** What is left of the first event with text when the text is taken away. */
function envelopeOf(preamble: readonly StreamItem[]): number {
  for (const { raw, events } of preamble) {
    const text = events.reduce((sum, event) => sum + ("text" in event ? event.text.length : 0), 0);
    if (raw !== null && text > 0) return Math.max(0, raw.length - text);
  }
  return 0;
}

function lastBoundary(text: string): number {
  let behind = 0;
  for (const match of text.matchAll(EMPTY_LINE)) behind = match.index + match[0].length;
  return behind;
}

/** `named`: with an `error` of its own, on which clients raise. */
type ErrorKind = "named" | "finish reason";

/** Azure's filter results and others have an `error` of their own inside a good chunk: only parsing tells. */
function errorIn(text: string): ErrorKind | null {
  if (!MAYBE_ERROR.test(text)) return null;
  for (const line of text.split(LINE_END)) {
    if (!line.startsWith("data:") || !MAYBE_ERROR.test(line)) continue;
    const { kind, chunk } = viewChunk(line.slice(5));
    if (kind === "error") return hasError(chunk) ? "named" : "finish reason";
  }
  return null;
}

function lastUsage(text: string): unknown {
  if (!text.includes('"usage"')) return undefined;
  const lines = text.split(LINE_END);
  for (let at = lines.length - 1; at >= 0; at--) {
    const line = lines[at]!;
    if (!line.startsWith("data:") || !line.includes('"usage"')) continue;
    const usage = usageOf(tryParseJson(line.slice(5)));
    if (usage !== undefined) return usage;
  }
  return undefined;
}
