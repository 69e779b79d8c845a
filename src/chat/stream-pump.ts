/**
 * Complete events, forwarded one read at a time.
 *
 * For streams in which something must be seen or changed: the usage event nobody asked for, withheld tool calls,
 * several choices. A malformed event is dropped, a cut never reaches the client inside an event, and one read becomes
 * one write, so JavaScript wakes as seldom as the upstream sends.
 */
import { calledTools, StreamWithholder } from "../approvals/withhold.ts";
import { isJsonObject } from "../lib/json.ts";
import { interruptedEvent, isFinishReason, usageOf } from "../openai.ts";
import type { FailureClass } from "../traces/schema.ts";
import type { AnswerEnd, OpenStream, StreamControl, StreamWish } from "./stages.ts";
import type { EventReader, StreamEvent } from "./stream-events.ts";

/** A chat answer is not longer; an endless stream is cut here. */
const MAX_STREAM_BYTES = 64 * 1024 * 1024;
const DONE = "data: [DONE]\n\n";

const encoder = new TextEncoder();

export function pumpStream(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  events: EventReader,
  /** What was read before the answer was accepted. */
  preamble: readonly StreamEvent[],
  wish: StreamWish,
  control: StreamControl,
): OpenStream {
  return {
    start() {
      const out = new IdentityTransformStream();
      const end = pump(reader, out.writable.getWriter(), events, preamble, wish, control);
      return { readable: out.readable, end };
    },
  };
}

async function pump(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  events: EventReader,
  preamble: readonly StreamEvent[],
  wish: StreamWish,
  control: StreamControl,
): Promise<AnswerEnd> {
  const filter = new EventFilter(wish);
  const idle = new IdleClock(wish.idleMs, () => control.abort("idle"));
  let clientLeft = false;
  let bytesSeen = 0;
  let isEnd = false;
  let text = filter.pass(preamble);
  // One promise per read and one per write: a helper or a `catch` on either would cost as much as the event itself.
  for (;;) {
    if (text !== "") {
      try {
        await writer.write(encoder.encode(text));
      } catch {
        clientLeft = true;
        control.abort("failed");
      }
    }
    if (isEnd || clientLeft || filter.isOver) break;
    idle.start();
    try {
      const { done, value } = await reader.read();
      isEnd = done;
      // Without its empty line a last event is complete only if its JSON is; the filter drops it otherwise.
      text = filter.pass(done ? events.end() : events.push(value));
      bytesSeen += value?.byteLength ?? 0;
    } catch {
      break;
    }
    idle.stop();
    if (bytesSeen > MAX_STREAM_BYTES || events.isOverlong) control.abort("too_large");
  }
  idle.end();
  // Whatever the upstream still wants to say is not part of the answer.
  void reader.cancel().catch(() => {});

  const isComplete = filter.error === null && filter.isFinished();
  const isGone = clientLeft || control.clientGone();
  const last = isComplete ? DONE : interruptedEvent(filter.id ?? wish.traceId, filter.interruption());
  if (!isGone && (await wasWritten(writer, last)) === false) clientLeft = true;
  await writer.close().catch(() => {});
  const timedOut = control.abortedBy() === "idle" || control.abortedBy() === "total";
  const outcome = isComplete ? "complete" : isGone || clientLeft ? "cancelled" : "interrupted";
  const failure: FailureClass = timedOut ? "timeout" : (filter.error ?? "network");
  return {
    outcome,
    failure: outcome === "interrupted" ? failure : null,
    rawUsage: filter.rawUsage,
    contentEvents: filter.contentEvents,
    toolCalls: filter.toolNames,
  };
}

async function wasWritten(writer: WritableStreamDefaultWriter<Uint8Array>, text: string): Promise<boolean> {
  return writer.write(encoder.encode(text)).then(
    () => true,
    () => false,
  );
}

/** What the client may see of each event, and what the router learns from it. */
class EventFilter {
  rawUsage: unknown;
  contentEvents = 0;
  readonly toolNames: string[] = [];
  /** The id of the upstream's chunks. */
  id: string | null = null;
  error: FailureClass | null = null;
  isOver = false;
  readonly #wish: StreamWish;
  readonly #withholder: StreamWithholder | null;
  readonly #begun = new Set<unknown>();
  readonly #finished = new Set<unknown>();

  constructor(wish: StreamWish) {
    this.#wish = wish;
    this.#withholder = wish.withholdTools ? new StreamWithholder() : null;
  }

  /** The text to forward for `events`. */
  pass(events: readonly StreamEvent[]): string {
    let text = "";
    for (const event of events) {
      if (this.isOver) break;
      text += this.#passOne(event);
    }
    return text;
  }

  #passOne(event: StreamEvent): string {
    if (event.view === null) return event.raw;
    const { kind, chunk } = event.view;
    if (kind === "malformed") return "";
    if (kind === "done") {
      this.isOver = true;
      return "";
    }
    if (kind === "error") {
      this.isOver = true;
      this.error = "server_error";
      return "";
    }
    if (typeof chunk["id"] === "string") this.id ??= chunk["id"];
    this.rawUsage = usageOf(chunk) ?? this.rawUsage;
    if (kind === "usage") return this.#wish.includeUsage ? event.raw : "";
    if (kind === "content") this.contentEvents++;
    this.#noteChoices(chunk);
    if (this.#withholder === null) return event.raw;
    const kept = this.#withholder.filter(chunk);
    if (kept === chunk) return event.raw;
    return kept === null ? "" : `data: ${JSON.stringify(kept)}\n\n`;
  }

  #noteChoices(chunk: Readonly<Record<string, unknown>>): void {
    const choices = Array.isArray(chunk["choices"]) ? chunk["choices"] : [];
    for (const choice of choices) {
      if (!isJsonObject(choice)) continue;
      const delta = choice["delta"];
      if (isJsonObject(delta) && (delta["tool_calls"] !== undefined || delta["function_call"] !== undefined)) {
        this.toolNames.push(...calledTools(delta));
      }
      this.#begun.add(choice["index"]);
      if (isFinishReason(choice["finish_reason"])) this.#finished.add(choice["index"]);
    }
  }

  /** Every choice that was begun has a finish reason. A stream without one was cut, whatever its socket says. */
  isFinished(): boolean {
    return this.#finished.size > 0 && this.#finished.size === this.#begun.size;
  }

  interruption(): string {
    return this.error === null
      ? "The provider's stream ended before the answer was complete."
      : "The provider reported an error in the middle of its answer.";
  }
}

/**
 * The idle clock of a stream. It looks a few times per limit whether anything came since it last looked: neither a timer
 * nor a reading of the time for each event, and late by at most one look.
 */
class IdleClock {
  readonly #onIdle: () => void;
  readonly #lookEveryMs: number;
  #isWaiting = false;
  #silentLooks = 0;
  #timer: ReturnType<typeof setTimeout>;

  constructor(limitMs: number, onIdle: () => void) {
    this.#onIdle = onIdle;
    this.#lookEveryMs = limitMs / LOOKS_PER_LIMIT;
    this.#timer = setTimeout(() => this.#look(), this.#lookEveryMs);
  }

  /** A read begins: from here silence counts. */
  start(): void {
    this.#isWaiting = true;
    this.#silentLooks = 0;
  }

  /** Something came. Until the next read it is the client we wait for. */
  stop(): void {
    this.#isWaiting = false;
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    this.#silentLooks = this.#isWaiting ? this.#silentLooks + 1 : 0;
    // The first look may come right behind the start of the read, so it proves no full interval of silence.
    if (this.#silentLooks > LOOKS_PER_LIMIT) this.#onIdle();
    else this.#timer = setTimeout(() => this.#look(), this.#lookEveryMs);
  }
}

const LOOKS_PER_LIMIT = 8;
