/**
 * A clean Responses stream to forward, of which most is handed on by the batch and not parsed: the event that closes an
 * item repeats all that was said of it.
 *
 * Every event is read up to the first content. From there on events about the inside of an item are not, until their
 * item is closed. Where the stream breaks or ends before that, or says an error, or its item is closed without its text,
 * they are read before (`unread`), so that the books are as exact as if they had been read at once.
 */
import { type AnswerEvent, hasContent } from "../../../conversation/answer.ts";
import { type EventReader, MAX_EVENT_LENGTH, SseItems } from "../../sse-items.ts";
import type { ItemReader, StreamItem } from "../../wire.ts";

const BREAK = "\n\n";
/** An event about the inside of an item: its type is in its line and at the beginning of its data. */
const INSIDE =
  /^event: (response\.(?:(?:output|reasoning|reasoning_summary)_text|refusal|content_part|reasoning_summary_part|function_call_arguments|custom_tool_call_input)\.(?:delta|done|added))\ndata: ?\{"type": ?"\1"/;
/** What that looks at, at most. */
const HEAD_LENGTH = 160;
const ADDED = "event: response.output_item.added\n";
const DONE = "event: response.output_item.done\n";
/** In a closing event that repeats something. Text inside JSON has its quotes escaped. */
const REPEATS = /"(?:text|refusal|arguments|input)": ?"[^"]/;
const ITEM = /^event: response\.output_item\.(added|done)$/gm;
/** More is read before its item is closed: it is not to be kept. In characters. */
const MAX_UNREAD_LENGTH = 1_048_576;

const NOTHING: readonly AnswerEvent[] = [];

export class QuietItems implements ItemReader {
  readonly #items: SseItems;
  readonly #decoder = new TextDecoder();
  /** Behind the last whole event, in pieces. */
  #rest: string[] = [];
  #restLength = 0;
  #hasContent = false;
  #hasReturns = false;
  /** The first characters of the last event that was not read: most of those behind it begin alike. */
  #head = "";
  #unread: string[] = [];
  #unreadLength = 0;
  #openItems = 0;

  constructor(reader: EventReader) {
    this.#items = new SseItems(reader);
  }

  get isOverlong(): boolean {
    return this.#restLength > MAX_EVENT_LENGTH || this.#items.isOverlong;
  }

  push(bytes: Uint8Array): StreamItem[] {
    return this.#take(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): StreamItem[] {
    const items = this.#take(this.#decoder.decode());
    // Before the reader learns of the end: nothing counts behind it.
    this.#readUnread(items);
    const rest = this.#takeRest();
    if (rest !== "") items.push(...this.#items.read(rest));
    return [...items, ...this.#items.end()];
  }

  unread(): readonly AnswerEvent[] {
    const text = this.#unread.join("");
    this.#forgetUnread();
    return this.#items.read(text).flatMap(({ events }) => events);
  }

  #take(text: string): StreamItem[] {
    // Other line ends, of which no text of a model has any.
    this.#hasReturns ||= text.includes("\r");
    if (this.#hasReturns) {
      const items: StreamItem[] = [];
      this.#readUnread(items);
      return [...items, ...this.#items.read(this.#takeRest() + text)];
    }
    const behind = this.#boundaryIn(text);
    if (behind === 0) {
      this.#keep(text);
      return [];
    }
    const whole = this.#takeRest() + text.slice(0, behind);
    this.#keep(text.slice(behind));
    return this.#hasContent ? this.#pass(whole) : this.#read(whole);
  }

  /** Behind the last event that ends in `text`; 0 for none. */
  #boundaryIn(text: string): number {
    const at = text.lastIndexOf(BREAK);
    if (at !== -1) return at + BREAK.length;
    return text.startsWith("\n") && this.#rest.at(-1)?.endsWith("\n") === true ? 1 : 0;
  }

  #keep(text: string): void {
    if (text === "") return;
    this.#rest.push(text);
    this.#restLength += text.length;
  }

  #takeRest(): string {
    const rest = this.#rest.join("");
    this.#rest = [];
    this.#restLength = 0;
    return rest;
  }

  #read(text: string): StreamItem[] {
    const items = this.#items.read(text);
    this.#noteItems(text);
    this.#hasContent ||= items.some(({ events }) => events.some(hasContent));
    return items;
  }

  #pass(text: string): StreamItem[] {
    const items: StreamItem[] = [];
    let unreadFrom = 0;
    for (let at = 0; at < text.length; ) {
      const found = text.indexOf(BREAK, at);
      const end = found === -1 ? text.length : found + BREAK.length;
      if (!this.#isInside(text, at)) {
        this.#skip(text.slice(unreadFrom, at), items);
        const event = text.slice(at, end);
        // Behind an error nothing counts, and an item that is closed says no more.
        const isEnough = event.startsWith(ADDED) || (event.startsWith(DONE) && REPEATS.test(event));
        if (!isEnough) this.#readUnread(items);
        for (const item of this.#read(event)) items.push(item);
        unreadFrom = end;
      }
      at = end;
    }
    this.#skip(text.slice(unreadFrom), items);
    return items;
  }

  #isInside(text: string, at: number): boolean {
    if (this.#head !== "" && text.startsWith(this.#head, at)) return true;
    const [head] = INSIDE.exec(text.slice(at, at + HEAD_LENGTH)) ?? [];
    if (head === undefined) return false;
    this.#head = head;
    return true;
  }

  #skip(raw: string, items: StreamItem[]): void {
    if (raw === "") return;
    items.push({ raw, isPlain: false, events: NOTHING, ends: false });
    this.#unread.push(raw);
    this.#unreadLength += raw.length;
    if (this.#unreadLength > MAX_UNREAD_LENGTH) this.#readUnread(items);
  }

  #readUnread(items: StreamItem[]): void {
    if (this.#unread.length > 0) items.push({ raw: null, isPlain: false, events: this.unread(), ends: false });
  }

  /** A closed item has said everything again. What is open next to it is kept with it. */
  #noteItems(text: string): void {
    for (const [, how] of text.matchAll(ITEM)) {
      this.#openItems = Math.max(0, this.#openItems + (how === "added" ? 1 : -1));
      if (this.#openItems === 0) this.#forgetUnread();
    }
  }

  #forgetUnread(): void {
    this.#unread = [];
    this.#unreadLength = 0;
  }
}
