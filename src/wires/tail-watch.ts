/**
 * Watches a stream whose bytes move natively: its tail, how much there was, which tools. Events are not parsed:
 * patterns over the text find what is needed, because quotes inside a model's text are escaped and match none of
 * them.
 */
import { MAX_EVENT_LENGTH, SseSplitter } from "../lib/sse.ts";
import { utf8Length } from "../lib/text/utf8-length.ts";
import type { StreamItem, TailOptions, TailVerdict, TailWatcher } from "./wire.ts";

/** What is kept of the end at least: the last events with usage, finish reason and citations. */
const TAIL_LENGTH = 32_768;
/** A line end and an empty line behind it. The CR of a CRLF is no line end of its own. */
const EMPTY_LINE = /(?:\n|\r(?!\n))(?:\r\n|\n|\r)/g;
const LINE_END = /\r\n|\n|\r/;
/** Where the next event begins. No text of a model has a bare line end. */
const NEXT_EVENT = "\ndata:";
/** A tool's name is found even when two reads split it. */
const TOOL_OVERLAP_LENGTH = 256;
/**
 * What OpenAI pads events with, so that their length does not tell that of their text.
 * https://docs.rs/async-openai/0.42.3/async_openai/types/responses/struct.ResponseStreamOptions.html
 */
const PADDING_NAME = '"obfuscation"';
const PADDING = /"obfuscation": ?"([^"\\]{0,256})"/g;
/** Padding is found even when two reads split it. */
const PADDING_OVERLAP_LENGTH = 288;
/** The type of an event stands within so many characters of its data. */
const HEAD_LENGTH = 80;

/** `named`: with an `error` of its own, on which clients raise. */
export type ErrorKind = "named" | "finish reason";

/** How a protocol says what has to be known. No pattern matches inside a string of JSON. */
export interface TailGrammar {
  /** The protocol's own end. */
  readonly done: RegExp;
  readonly finish: RegExp;
  readonly reasoning: RegExp;
  readonly hiddenReasoning?: RegExp;
  /** Global; its first group is the name. */
  readonly toolName: RegExp;
  readonly maybeError: RegExp;
  /** The error in the data of a line that `maybeError` matches. */
  errorIn(data: string): ErrorKind | null;
  /** The provider's usage, of the data of a line with `"usage"` in it; `undefined` for none. */
  usageIn(data: string): unknown;
  /** Events whose type ends so bring new output, the others repeat it. Absent: all bring some. */
  readonly outputMark?: string;
  /** The data is an event of this protocol, whole. */
  isEvent(data: string): boolean;
}

export class Tail {
  isOverlong = false;
  readonly toolNames: string[] = [];
  showsReasoning = false;
  hidesReasoning = false;
  readonly #grammar: TailGrammar;
  readonly #hasTools: boolean;
  /** Characters of an event around the text that it carries. */
  readonly #envelope: number;
  /** Characters of events beyond their envelope, and those of the event that is not over. */
  #content = 0;
  #open = 0;
  #head = "";
  /** The end of what was measured, shorter than the mark of an event. */
  #edge = "";
  readonly #isPadded: boolean;
  /** Characters of padding in what was measured. */
  #padding = 0;
  #paddingScan = "";
  #units = 0;
  #bytes = 0;
  #tail = "";
  #forgetAbove = 2 * TAIL_LENGTH;
  #toolScan = "";
  /** Findings from events already dropped from the tail. */
  #hasFinish = false;
  #error: ErrorKind | null = null;
  #oldUsage: unknown;

  constructor(grammar: TailGrammar, { hasTools, text, preamble }: TailOptions) {
    this.#grammar = grammar;
    this.#hasTools = hasTools;
    this.#envelope = envelopeOf(preamble);
    this.#isPadded = text.includes(PADDING_NAME);
    this.add(text, utf8Length(text));
    const isKnown = text.length === preamble.reduce((sum, { raw }) => sum + (raw?.length ?? 0), 0);
    if (this.#envelope === 0 || !isKnown) return;
    // What was read event by event needs no estimate.
    this.#content = preamble.reduce((sum, { events }) => sum + textLength(events), 0);
    this.#open = this.#padding = 0;
  }

  /** The protocol's end came, and no finish reason before it. */
  get lacksFinish(): boolean {
    const text = this.evidence();
    return this.#grammar.done.test(text) && !this.hasFinish(text);
  }

  add(text: string, bytes: number): void {
    const { reasoning, hiddenReasoning } = this.#grammar;
    this.#units += text.length;
    this.#bytes += bytes;
    this.#measure(text);
    if (this.#isPadded) this.#scanPadding(text);
    this.showsReasoning ||= reasoning.test(text);
    if (hiddenReasoning !== undefined) this.hidesReasoning ||= hiddenReasoning.test(text);
    this.#tail += text;
    if (this.#tail.length > this.#forgetAbove) this.#forget();
    if (this.#hasTools) this.#scanTools(text);
  }

  #measure(added: string): void {
    // Most reads end where an event does, so the mark of the next one may begin in the read before.
    const text = this.#edge + added;
    let from = this.#edge.length;
    for (let at = text.indexOf(NEXT_EVENT); at !== -1; at = text.indexOf(NEXT_EVENT, from)) {
      this.#grow(text, from, Math.max(from, at));
      const marked = Math.max(0, from - at);
      if (this.#isOutput) this.#content += Math.max(0, this.#open - marked - this.#envelope);
      this.#open = 0;
      this.#head = "";
      from = at + NEXT_EVENT.length;
    }
    this.#grow(text, from, text.length);
    this.#edge = text.slice(-(NEXT_EVENT.length - 1));
  }

  #grow(text: string, from: number, end: number): void {
    this.#open += end - from;
    if (this.#grammar.outputMark === undefined || this.#head.length >= HEAD_LENGTH) return;
    this.#head += text.slice(from, Math.min(end, from + HEAD_LENGTH - this.#head.length));
  }

  #scanPadding(text: string): void {
    const scan = this.#paddingScan + text;
    let behind = 0;
    for (const match of scan.matchAll(PADDING)) {
      this.#padding += match[1]?.length ?? 0;
      behind = match.index + match[0].length;
    }
    this.#paddingScan = scan.slice(Math.max(behind, scan.length - PADDING_OVERLAP_LENGTH));
  }

  get #isOutput(): boolean {
    const { outputMark } = this.#grammar;
    return outputMark === undefined || this.#head.includes(outputMark);
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
    this.#hasFinish ||= this.#grammar.finish.test(old);
    this.#error = this.#error ?? this.#errorIn(old);
    this.#oldUsage = this.#lastUsage(old) ?? this.#oldUsage;
  }

  #scanTools(text: string): void {
    const scan = this.#toolScan + text;
    let behind = 0;
    for (const match of scan.matchAll(this.#grammar.toolName)) {
      this.toolNames.push(match[1] ?? "");
      behind = match.index + match[0].length;
    }
    this.#toolScan = scan.slice(Math.max(behind, scan.length - TOOL_OVERLAP_LENGTH));
  }

  /** What follows the last empty line: nothing, an event that lacks only its empty line, or half an event. */
  ending(): "boundary" | "whole" | "half" {
    const rest = this.#tail.slice(lastBoundary(this.#tail));
    if (rest === "") return "boundary";
    const data = new SseSplitter();
    data.push(rest);
    const last = data.flush()?.data ?? null;
    return last === null || this.#grammar.isEvent(last) ? "whole" : "half";
  }

  verdict(): TailVerdict {
    if (this.error() !== null) return "error";
    const text = this.evidence();
    // The protocol's end is the provider's own word that the answer is over.
    if (this.#grammar.done.test(text)) return "done";
    return this.hasFinish(text) ? "finished" : "cut";
  }

  hasFinish(text: string): boolean {
    return this.#hasFinish || this.#grammar.finish.test(text);
  }

  /** The provider's own error. */
  error(): ErrorKind | null {
    return this.#error ?? this.#errorIn(this.evidence());
  }

  /** Half an event is none: the client cannot read it either. */
  evidence(): string {
    return this.ending() === "half" ? this.#tail.slice(0, lastBoundary(this.#tail)) : this.#tail;
  }

  /** What follows the last empty line. */
  rest(): string {
    return this.#tail.slice(lastBoundary(this.#tail));
  }

  /** `text` behind what came: nothing behind half an event, where even a good end reads as a fault. */
  behind(text: string): string {
    const ending = this.ending();
    return ending === "half" ? "" : (ending === "boundary" ? "" : "\n\n") + text;
  }

  /** The same for the last word on an answer that broke, which is to be heard in any case. */
  after(text: string): string {
    return (this.ending() === "boundary" ? "" : "\n\n") + text;
  }

  /** What a last event lacks of its empty line: readers that keep to the standard drop it without. */
  lastLine(): string {
    const rest = this.rest();
    if (!rest.includes("data:") || this.ending() !== "whole") return "";
    return /[\r\n]$/.test(rest) ? "\n" : "\n\n";
  }

  /** Wherever the provider puts it. */
  usage(): unknown {
    return this.#lastUsage(this.#tail) ?? this.#oldUsage;
  }

  /** What stands around the text of an event is alike in all of them. */
  output(): { readonly units: number; readonly bytes: number } {
    const measured = this.#content + (this.#isOutput ? Math.max(0, this.#open - this.#envelope) : 0);
    const units = Math.max(0, measured - this.#padding);
    return { units, bytes: units + Math.max(0, this.#bytes - this.#units) };
  }

  /** Some have an `error` of their own inside a good event: only parsing tells. */
  #errorIn(text: string): ErrorKind | null {
    const { maybeError } = this.#grammar;
    if (!maybeError.test(text)) return null;
    for (const line of text.split(LINE_END)) {
      if (!line.startsWith("data:") || !maybeError.test(line)) continue;
      const found = this.#grammar.errorIn(line.slice(5));
      if (found !== null) return found;
    }
    return null;
  }

  #lastUsage(text: string): unknown {
    if (!text.includes('"usage"')) return undefined;
    const lines = text.split(LINE_END);
    for (let at = lines.length - 1; at >= 0; at--) {
      const line = lines[at]!;
      if (!line.startsWith("data:") || !line.includes('"usage"')) continue;
      const usage = this.#grammar.usageIn(line.slice(5));
      if (usage !== undefined) return usage;
    }
    return undefined;
  }
}

/** What every wire's watcher has of its tail. */
export abstract class TailWatch implements TailWatcher {
  protected readonly tail: Tail;

  constructor(grammar: TailGrammar, options: TailOptions) {
    this.tail = new Tail(grammar, options);
  }

  add(text: string, bytes: number): void {
    this.tail.add(text, bytes);
  }

  get isOverlong(): boolean {
    return this.tail.isOverlong;
  }

  get isUnclean(): boolean {
    return this.tail.lacksFinish;
  }

  get toolNames(): readonly string[] {
    return this.tail.toolNames;
  }

  get showsReasoning(): boolean {
    return this.tail.showsReasoning;
  }

  get hidesReasoning(): boolean {
    return this.tail.hidesReasoning;
  }

  verdict(): TailVerdict {
    return this.tail.verdict();
  }

  usage(): unknown {
    return this.tail.usage();
  }

  output(): { readonly units: number; readonly bytes: number } {
    return this.tail.output();
  }

  lastLine(): string {
    return this.tail.lastLine();
  }

  abstract closing(): string;
  abstract failing(message: string): string;
}

/** What is left of the first event with text when the text is taken away. */
function envelopeOf(preamble: readonly StreamItem[]): number {
  for (const { raw, events } of preamble) {
    const text = textLength(events);
    // All of an event is measured but the mark at its beginning.
    if (raw !== null && text > 0) return Math.max(0, raw.length - NEXT_EVENT.length - text - paddingLength(raw));
  }
  return 0;
}

const paddingLength = (raw: string): number =>
  [...raw.matchAll(PADDING)].reduce((sum, [, padding = ""]) => sum + padding.length, 0);

const textLength = (events: StreamItem["events"]): number =>
  events.reduce((sum, event) => sum + ("text" in event ? event.text.length : 0), 0);

function lastBoundary(text: string): number {
  let behind = 0;
  for (const match of text.matchAll(EMPTY_LINE)) behind = match.index + match[0].length;
  return behind;
}
