/** What passes of a stream that is read event by event, and what the router learns from it. */
import { StreamGate } from "../../approvals/stream-gate.ts";
import { type AnswerEvent, hasContent } from "../../conversation/answer.ts";
import type { AnswerWriter, StreamItem } from "../../wires/wire.ts";
import type { Received } from "../received.ts";
import type { StreamOptions } from "../types.ts";
import { CatchUp, type SentText } from "./resume.ts";

type UsageEvent = Extract<AnswerEvent, { kind: "usage" }>;

/** An item that says nothing but how much was used. */
interface UsageItem {
  readonly event: UsageEvent;
  readonly raw: string | null;
}

export class EventFilter {
  readonly toolNames: string[] = [];
  /** The provider's own error body. */
  error: { readonly body: unknown } | null = null;
  isOver = false;
  /** A resumed stream says something else than the client already has. */
  differs = false;
  /** The client has something of this answer. */
  hasReachedClient: boolean;
  /** Where tool calls need approval: keeps them back. */
  readonly gate: StreamGate | null;
  readonly #options: StreamOptions;
  readonly #received: Received;
  readonly #writer: AnswerWriter;
  /** Notes what the client gets; `null` where no stream is ever resumed. */
  readonly #sent: SentText | null;
  /** Present for a resumed stream. */
  readonly #catchUp: CatchUp | null;
  /** Usage sent before all choices are finished waits for the end: a later one, of any target, replaces it. */
  #usage: UsageItem | null = null;
  /** What is read of text is forwarded as it came. */
  readonly #forwards: boolean;
  readonly #begun = new Set<number>();
  readonly #finished = new Set<number>();

  constructor(
    options: StreamOptions,
    received: Received,
    writer: AnswerWriter,
    sent: SentText | null,
    isResumed: boolean,
  ) {
    this.#options = options;
    this.#received = received;
    this.#writer = writer;
    this.gate = options.gate === null ? null : new StreamGate(options.gate.rules);
    this.#sent = sent;
    this.#catchUp = sent !== null && isResumed ? new CatchUp(sent) : null;
    this.hasReachedClient = this.#catchUp === null;
    this.#forwards = this.gate === null && sent === null;
  }

  /** The text to forward for `items`. */
  pass(items: readonly StreamItem[]): string {
    let text = "";
    for (const item of items) {
      if (this.isOver) break;
      text += this.#passItem(item);
    }
    return text;
  }

  /** For the books alone: the client has the text of it. */
  note(events: readonly AnswerEvent[]): void {
    this.#read(events);
  }

  /** An item in the door's own wire: it goes out as it came, or waits for the end. */
  #forward({ raw, events, ends, closes }: StreamItem): string {
    if (ends && closes !== true) {
      this.isOver = true;
      return "";
    }
    this.#read(events);
    if (this.error !== null) {
      this.isOver = true;
      return "";
    }
    this.#noteChoices(events);
    if (raw === null) return "";
    if (closes !== true) return this.#writer.forward?.(raw, events) ?? raw;
    this.#writer.hold?.(raw);
    if (ends) this.isOver = true;
    return "";
  }

  #passItem(item: StreamItem): string {
    if (this.#writer.forward !== undefined) return this.#forward(item);
    const { raw, isPlain, events, ends } = item;
    if (ends) {
      this.isOver = true;
      return "";
    }
    const [only] = events;
    // Nearly every item of nearly every stream is text that needs no inspection.
    if (
      this.#forwards &&
      raw !== null &&
      only?.kind === "text" &&
      events.length === 1 &&
      this.#begun.has(only.choice)
    ) {
      this.#received.add("text", only.text);
      return raw;
    }
    // Text of another stream has another id, and unread content never passes the gate.
    const isExact = raw !== null && this.#catchUp === null && (this.gate === null || isPlain);
    if (events.length === 0) return isExact || raw?.startsWith(":") === true ? (raw ?? "") : "";
    const { usage, isUsageOnly } = this.#read(events);
    if (this.error !== null) {
      this.isOver = true;
      return "";
    }
    if (usage === null) return this.#passEvents(events, isExact ? raw : null);
    if (isUsageOnly && isExact) return this.#passUsage({ event: usage, raw });
    if (isExact && this.gate === null) return this.#passEvents(events, raw);
    const others = events.filter(({ kind }) => kind !== "usage");
    const text = others.length === 0 ? "" : this.#passEvents(others, null);
    return text + this.#passUsage({ event: usage, raw: null });
  }

  /** Notes what `events` tell for the books. */
  #read(events: readonly AnswerEvent[]): { readonly usage: UsageEvent | null; readonly isUsageOnly: boolean } {
    const received = this.#received;
    let usage: UsageEvent | null = null;
    let isUsageOnly = true;
    for (const event of events) {
      switch (event.kind) {
        case "usage":
          usage = event;
          break;
        case "start":
          // What all that is written of the stream is known by.
          this.#writer.skip([event], "");
          break;
        case "error":
          this.error = { body: event.body };
          break;
        case "extra":
          isUsageOnly &&= event.choice === null;
          break;
        case "reasoning":
          isUsageOnly = false;
          received.add("reasoning", event.text);
          if (event.form === "full") received.showsReasoning = true;
          else received.hidesReasoning = true;
          break;
        case "bound":
          isUsageOnly = false;
          if (event.bound.encrypted !== undefined) received.hidesReasoning = true;
          break;
        case "text":
        case "refusal":
          isUsageOnly = false;
          received.add("text", event.text);
          break;
        case "call_start":
          isUsageOnly = false;
          received.add("call", event.name);
          break;
        case "call_args":
          isUsageOnly = false;
          received.add("call", event.text);
          break;
        default:
          isUsageOnly = false;
      }
    }
    // Content in the same event as its usage is included in that usage.
    if (usage !== null) received.noteUsage(usage.raw);
    return { usage, isUsageOnly };
  }

  #passUsage(usage: UsageItem): string {
    if (!this.#options.includeUsage) return "";
    this.#usage = usage;
    return this.gate?.isHolding !== true && this.isFinished() ? this.usageText() : "";
  }

  /** The usage that is due, once; `""` where there is none. `isOwn`: written by us, with all that is attached to it. */
  usageText(isOwn = false): string {
    const usage = this.#usage;
    if (usage === null) return "";
    this.#usage = null;
    return (isOwn ? null : usage.raw) ?? this.#writer.write([usage.event]);
  }

  #passEvents(events: readonly AnswerEvent[], raw: string | null): string {
    const fresh = this.#catchUp === null ? events : this.#catchUp.rest(events);
    if (fresh === "differs") {
      this.isOver = true;
      this.differs = true;
      return "";
    }
    this.#noteChoices(fresh);
    const kept = this.gate === null ? fresh : this.gate.pass(fresh, raw);
    if (!this.hasReachedClient && kept.some(hasContent)) this.hasReachedClient = true;
    this.#sent?.note(kept);
    if (raw === null || kept !== events) return this.#writer.write(kept);
    if (this.#sent !== null || this.gate !== null) this.#writer.skip(events, raw);
    return raw;
  }

  #noteChoices(events: readonly AnswerEvent[]): void {
    for (const event of events) {
      if (!("choice" in event) || event.choice === null) continue;
      this.#begun.add(event.choice);
      if (event.kind === "finish") this.#finished.add(event.choice);
      else if (event.kind === "call_start" && event.name !== "") this.toolNames.push(event.name);
    }
  }

  /** Every choice that was begun has a finish reason. A stream without one was cut, whatever its socket says. */
  isFinished(): boolean {
    return this.#finished.size > 0 && this.#finished.size === this.#begun.size;
  }
}
