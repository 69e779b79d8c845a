/**
 * Complete events, forwarded one read at a time.
 *
 * For streams in which something must be seen or changed: a usage event that the client did not ask for, withheld tool
 * calls, several choices, an answer that another target may have to go on with. A malformed event is dropped, a cut
 * never reaches the client inside an event, and one read becomes one write, so JavaScript wakes as seldom as the
 * upstream sends.
 */

import type { Json } from "../../conversation/part.ts";
import { cutWrites } from "../../lib/time/deadline.ts";
import type { AnswerWriter } from "../../wires/wire.ts";
import { lastEvents } from "../last-words.ts";
import type { AnswerEnd, EventSource, LastWords, OpenStream, StreamedAttempt, StreamOptions } from "../types.ts";
import { breakOff, failureOf, interruption } from "./ends.ts";
import { EventFilter } from "./filter.ts";
import { IdleClock } from "./idle.ts";
import { SentText } from "./resume.ts";

/** No answer is longer; an endless stream is cut here. */
const MAX_STREAM_BYTES = 64 * 1024 * 1024;
/** No write to a client that reads takes longer. */
const QUICK_WRITE_MS = 100;

const encoder = new TextEncoder();

export function pumpStream(source: EventSource, options: StreamOptions, answer: AnswerWriter): OpenStream {
  return {
    source,
    start() {
      const out = new IdentityTransformStream();
      const end = pump(source, out.writable.getWriter(), options, answer);
      return { readable: out.readable, end };
    },
  };
}

async function pump(
  first: EventSource,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  options: StreamOptions,
  answer: AnswerWriter,
): Promise<AnswerEnd> {
  const { resumption } = options;
  const sent = resumption === null ? null : new SentText();
  let source = first;
  let filter = new EventFilter(options, source.attempt.received, answer, sent, false);
  for (;;) {
    const { attempt } = source;
    const forwarding = forward(source, filter, writer, options);
    const clientLeft = await options.deadlines.untilCut(forwarding, attempt.endsAt, () => cutWrites(writer));
    const end = endOf(attempt, filter, clientLeft);
    const closing = { end, source, filter, writer, options, answer };
    if (resumption === null || !mayResume(end, attempt, sent)) return close(closing);
    // At once: health learns of the break, and the attempt does not last as long as the next one.
    attempt.end(end);
    const next = await resumption.resume();
    if (next === null) return close(closing);
    source = next;
    filter = new EventFilter(options, source.attempt.received, answer, sent, true);
  }
}

/**
 * Forwards until the stream is over, one way or the other. True when the client turned out to be gone, or had not taken
 * what was there for it when `total_ms` was over.
 */
async function forward(
  { reader, items, preamble, attempt: control }: EventSource,
  filter: EventFilter,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  options: StreamOptions,
): Promise<boolean> {
  const idle = new IdleClock(options.idleMs, () => control.abort("idle"));
  let clientLeft = false;
  let bytesSeen = 0;
  let isEnd = false;
  let text = "";
  try {
    text = filter.pass(preamble);
  } catch {
    // Nested deeper than can be written again. As when it comes later: the answer is broken.
    isEnd = true;
  }
  // One promise per read and one per write: a helper or a `catch` on either would cost as much as the event itself.
  for (;;) {
    if (text !== "") {
      const beganAt = Date.now();
      try {
        await writer.write(encoder.encode(text));
        // Where the time ran out in a write, it was the client that kept everybody waiting.
        if (control.abortedBy() === "total" && Date.now() - beganAt > QUICK_WRITE_MS) clientLeft = true;
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
      text = filter.pass(done ? items.end() : items.push(value));
      bytesSeen += value?.byteLength ?? 0;
    } catch {
      break;
    }
    idle.stop();
    if (bytesSeen > MAX_STREAM_BYTES || items.isOverlong || filter.gate?.isOverfull === true) {
      control.abort("too_large");
      break;
    }
  }
  idle.end();
  if (!filter.isFinished()) filter.note(items.unread?.() ?? []);
  // Some wires count as they go, and tell it at their end: of an answer that was left or broke off it is all there is.
  if (!isEnd && !filter.isFinished()) noteUsage(items.end(), control);
  // Whatever the upstream still wants to say is not part of the answer.
  void reader.cancel().catch(() => {});
  return clientLeft;
}

function noteUsage(rest: ReturnType<EventSource["items"]["end"]>, { received }: StreamedAttempt): void {
  for (const { events } of rest)
    for (const event of events) if (event.kind === "usage") received.noteRunningUsage(event.raw);
}

function endOf(control: StreamedAttempt, filter: EventFilter, clientLeft: boolean): AnswerEnd {
  const isComplete = filter.error === null && !filter.differs && filter.isFinished();
  const isGone = clientLeft || control.clientGone();
  const outcome = isComplete ? "complete" : isGone ? "cancelled" : "interrupted";
  const failure = failureOf(
    control,
    filter.error !== null ? "server_error" : filter.differs ? "invalid_response" : "network",
  );
  return {
    outcome,
    failure: outcome === "interrupted" ? failure : null,
    differs: filter.differs,
    // What a gate holds back reaches it in one form or another.
    hasReachedClient: filter.hasReachedClient || (isComplete && filter.gate?.isHolding === true),
    toolCalls: filter.toolNames,
  };
}

/** A stream that ran too long or too wide would do so again, and what is no text cannot be compared. */
function mayResume(end: AnswerEnd, control: StreamedAttempt, sent: SentText | null): boolean {
  const isBroken = end.outcome === "interrupted" && !end.differs;
  const reason = control.abortedBy();
  return isBroken && (sent?.isComparable ?? false) && reason !== "total" && reason !== "too_large";
}

interface Closing {
  readonly end: AnswerEnd;
  readonly source: EventSource;
  readonly filter: EventFilter;
  readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly options: StreamOptions;
  readonly answer: AnswerWriter;
}

async function close(closing: Closing): Promise<AnswerEnd> {
  const { end, source, writer, options } = closing;
  const { attempt } = source;
  // The upstream is done, while its calls may wait for long to be decided.
  if (end.outcome === "complete") attempt.end(end);
  const isTaken = (work: Promise<void>): Promise<boolean> => options.deadlines.isTaken(work, attempt.endsAt, writer);
  const say = (text: string): Promise<boolean> => isTaken(writer.write(encoder.encode(text)));
  const { outcome, text } = await ending(closing, say);
  // A client that read too slowly still gets the error event if it accepts one more write.
  const isSaid = !attempt.clientGone() && (await say(text));
  if (outcome === "interrupted" && isSaid && options.wire.failureEnd === "abnormal") await breakOff(writer);
  else await isTaken(writer.close());
  if (outcome === "complete") return end;
  const isGone = outcome === "cancelled" || !isSaid;
  const known: AnswerEnd = { ...end, outcome: isGone ? "cancelled" : outcome, failure: isGone ? null : end.failure };
  attempt.end(known);
  return known;
}

/** The last events of the stream. Where tool calls need approval, that is when they are decided, or the wait is over. */
async function ending(
  { end, source, filter, options, answer }: Closing,
  say: (text: string) => Promise<boolean>,
): Promise<{ outcome: AnswerEnd["outcome"]; text: string }> {
  const { lastWords, wire } = options;
  const spoken = { wire, context: source.context };
  const broken = (message: string): string => {
    if (lastWords.flow !== null) answer.attach({ trace_id: options.traceId });
    return answer.fail(message);
  };
  if (end.outcome !== "complete") return { outcome: end.outcome, text: broken(interruption(filter, source)) };
  if (options.gate === null || filter.gate?.isHolding !== true) {
    const usage = countedText(lastWords, answer) + filter.usageText() + reportText(options, answer);
    return {
      outcome: "complete",
      text: usage + (await lastEvents(answer, lastWords, reportFlow(options, answer), spoken)),
    };
  }
  const gated = await options.gate.settle(filter.gate, source.context, say);
  if (gated.kind === "client_gone") return { outcome: "cancelled", text: "" };
  if (gated.kind === "unrecorded") return { outcome: "interrupted", text: broken(UNRECORDED) };
  if (gated.flow !== null) answer.attach(gated.flow);
  const calls = gated.raw ?? answer.write(gated.events);
  const counted = countedText(lastWords, answer);
  const text = calls + counted + filter.usageText(gated.flow !== null) + reportText(options, answer);
  const own = { ...reportFlow(options, answer), ...gated.flow };
  return { outcome: "complete", text: text + (await lastEvents(answer, lastWords, own, spoken)) };
}

/** Usage that the provider did not tell. */
function countedText({ counted }: LastWords, answer: AnswerWriter): string {
  const usage = counted?.() ?? null;
  return usage === null ? "" : answer.write([usage]);
}

/** The attempt is over by now, so its bill is final. */
function reportText(options: StreamOptions, answer: AnswerWriter): string {
  if (options.report === null || answer.report === undefined) return "";
  const { usage, flow } = options.report();
  return answer.report(usage, flow);
}

/** Where the last event of the wire has `flow` anyway, the report is what it says of cost. */
function reportFlow(options: StreamOptions, answer: AnswerWriter): Json | null {
  return options.report === null || answer.report !== undefined ? null : options.report().flow;
}

const UNRECORDED = "The tool calls of this answer could not be recorded for approval.";
