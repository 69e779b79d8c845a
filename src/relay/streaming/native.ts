/**
 * Bytes that move natively, watched from the side.
 *
 * The upstream body is teed: one branch is piped to the client without JavaScript, the other is read about once a
 * second to keep the tail (usage, finish reason, errors) and to run the idle clock. Measured in workerd this costs a
 * third more CPU than a bare `fetch`, a hand-written pump twice as much. The price: a cut inside an event has already
 * reached the client when it is noticed.
 */
import { cutWrites } from "../../lib/deadline.ts";
import { tryParseJson } from "../../lib/json.ts";
import { MAX_EVENT_LENGTH, SseSplitter } from "../../lib/sse.ts";
import { utf8Length } from "../../lib/utf8-length.ts";
import { interruptedEvent, usageOf, viewChunk } from "../../wires/openai-chat/chunk.ts";
import type { Received } from "../received.ts";
import type { AnswerEnd, OpenStream, StreamedAttempt, StreamOptions } from "../types.ts";
import { failureOf, type OpenAiEvents } from "./events.ts";

/** How long the tap sleeps. It also wakes when the pipe ends, so the length delays nothing. */
const TAP_PAUSE_MS = 1_000;
/** What comes while it sleeps is kept in memory. So it begins with short pauses, and keeps to them while much comes. */
const SHORT_TAP_PAUSE_MS = 50;
const MUCH_PER_PAUSE_BYTES = 262_144;
const TAP_BUFFER_BYTES = 32_768;
/** What is kept of the end at least: the last events with usage, finish reason and citations. */
const TAIL_LENGTH = 32_768;
/** A chat answer is not longer; an endless stream is cut here. */
const MAX_STREAM_BYTES = 64 * 1024 * 1024;

const encoder = new TextEncoder();

/** An upstream body in two branches, and what was learnt of it before the answer was accepted. */
export interface TappedStream {
  readonly clientBranch: ReadableStream<Uint8Array>;
  readonly tap: ReadableStreamBYOBReader;
  /** Has read what was looked at. */
  readonly events: OpenAiEvents;
  /** Characters of an event around the text that it carries. */
  readonly envelope: number;
}

export function nativeStream(tapped: TappedStream, options: StreamOptions, attempt: StreamedAttempt): OpenStream {
  return {
    source: null,
    start() {
      const out = new IdentityTransformStream();
      const end = follow(tapped, out, options, attempt);
      return { readable: out.readable, end };
    },
  };
}

async function follow(
  { clientBranch, tap, events, envelope }: TappedStream,
  out: IdentityTransformStream,
  options: StreamOptions,
  control: StreamedAttempt,
): Promise<AnswerEnd> {
  const watch = new TailWatch(events.text ?? "", options.hasTools, envelope);
  let pipeEnded = false;
  let wake: (() => void) | undefined;
  const cut = new AbortController();
  const pipe = clientBranch.pipeTo(out.writable, { preventClose: true, preventAbort: true, signal: cut.signal });
  const piped = options.deadlines
    .untilCut(pipe, control.endsAt, () => cut.abort())
    // Upstream broke, or the client left: either way the call is over, and only an abort closes its socket.
    .catch(() => control.abort("failed"))
    .finally(() => {
      pipeEnded = true;
      wake?.();
    });

  const pauses = new TapPauses(options.idleMs);
  let buffer = new Uint8Array(TAP_BUFFER_BYTES);
  let bytesSeen = 0;
  let isFull = false;
  try {
    for (;;) {
      if (!pipeEnded && !isFull) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pauses.nextMs(bytesSeen));
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      const idle = setTimeout(() => control.abort("idle"), options.idleMs);
      const { done, value } = await tap.read(buffer).finally(() => clearTimeout(idle));
      if (done || value === undefined) break;
      isFull = value.byteLength === TAP_BUFFER_BYTES;
      bytesSeen += value.byteLength;
      watch.add(events.decoder.decode(value, { stream: true }), value.byteLength);
      if (bytesSeen > MAX_STREAM_BYTES || watch.isOverlong) control.abort("too_large");
      buffer = new Uint8Array(value.buffer);
    }
  } catch {
    // The upstream broke or was aborted. The tap has handed out all the client branch got: the tail is exact.
  }
  await piped;
  const writer = out.writable.getWriter();
  if (cut.signal.aborted) cutWrites(writer);
  return options.deadlines.untilCut(finish(writer, watch, options, control), control.endsAt, () => cutWrites(writer));
}

class TapPauses {
  readonly #longestMs: number;
  #ms = SHORT_TAP_PAUSE_MS / 2;
  #bytesBefore = 0;

  constructor(idleMs: number) {
    // The tap notices silence up to one pause late, so short limits get short pauses.
    this.#longestMs = Math.min(TAP_PAUSE_MS, idleMs / 4);
  }

  /** The next pause, when so many bytes were seen in all. */
  nextMs(bytesSeen: number): number {
    const isMuch = bytesSeen - this.#bytesBefore > MUCH_PER_PAUSE_BYTES;
    this.#bytesBefore = bytesSeen;
    this.#ms = Math.min(isMuch ? SHORT_TAP_PAUSE_MS : 2 * this.#ms, this.#longestMs);
    return this.#ms;
  }
}

async function finish(
  writer: WritableStreamDefaultWriter<Uint8Array>,
  watch: TailWatch,
  options: StreamOptions,
  control: StreamedAttempt,
): Promise<AnswerEnd> {
  watch.tell(control.received);
  const verdict = watch.verdict();
  const ending = watch.ending();
  let outcome: AnswerEnd["outcome"] = verdict === "finished" || verdict === "done" ? "complete" : "interrupted";
  try {
    const boundary = ending === "boundary" ? "" : "\n\n";
    // Behind half an event nothing is appended to a finished answer: its bare end reads as success, `[DONE]` would not.
    if (verdict === "finished" && ending !== "half") await writer.write(encoder.encode(`${boundary}data: [DONE]\n\n`));
    if ((verdict === "cut" || verdict === "error") && !control.clientGone()) {
      const event = interruptedEvent(options.traceId, INTERRUPTION[verdict]);
      await writer.write(encoder.encode(boundary + event));
    }
    await writer.close();
  } catch {
    // The client is gone. An answer that was complete by its own protocol stays complete.
    if (verdict === "cut") outcome = "cancelled";
  }
  if (verdict === "cut" && control.clientGone()) outcome = "cancelled";
  const end: AnswerEnd = {
    outcome,
    failure: outcome === "interrupted" ? failureOf(control, verdict === "cut" ? "network" : "server_error") : null,
    differs: false,
    hasReachedClient: true,
    toolCalls: watch.toolNames,
  };
  control.end(end);
  return end;
}

const INTERRUPTION = {
  cut: "The provider's stream ended before the answer was complete.",
  error: "The provider reported an error in the middle of its answer.",
} as const;

/** A line end and an empty line behind it. The CR of a CRLF is no line end of its own. */
const EMPTY_LINE = /(?:\n|\r(?!\n))(?:\r\n|\n|\r)/g;

const LINE_END = /\r\n|\n|\r/;
const FINISH = /"finish_reason":\s*"[^"]/;
const MAYBE_ERROR = /"error":\s*(?:\{|"[^"])|"finish_reason":\s*"error"/;

/** Where the next event begins. No text of a model has a bare line end. */
const NEXT_EVENT = "\ndata:";
const REASONING = /"reasoning(?:_content)?":\s*"[^"]/;
const TOOL_NAME = /"function":\s*\{\s*"name":\s*"([^"\\]{1,128})"/g;
/** A tool's name is found even when two reads split it. */
const TOOL_OVERLAP_LENGTH = 256;

/** Text that went by: its tail, how much there was, which tools. */
class TailWatch {
  /** Characters of events beyond their envelope, and those of the event that is not over. */
  #content = 0;
  #open = 0;
  #units = 0;
  #bytes = 0;
  readonly #envelope: number;
  #showsReasoning = false;
  /** One event was longer than any of a chat answer. */
  isOverlong = false;
  readonly toolNames: string[] = [];
  readonly #hasTools: boolean;
  #tail = "";
  #forgetAbove = 2 * TAIL_LENGTH;
  #toolScan = "";
  /** Of the events that were let go. */
  #hasFinish = false;
  #hasError = false;
  #oldUsage: unknown;

  constructor(text: string, hasTools: boolean, envelope: number) {
    this.#hasTools = hasTools;
    this.#envelope = envelope;
    this.add(text, utf8Length(text));
  }

  /** `bytes`: of the same text. */
  add(text: string, bytes: number): void {
    this.#units += text.length;
    this.#bytes += bytes;
    this.#measure(text);
    this.#showsReasoning ||= REASONING.test(text);
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
    this.#hasError ||= hasErrorEvent(old);
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

  /** What stands behind the last empty line: nothing, an event that lacks only its empty line, or half an event. */
  ending(): "boundary" | "whole" | "half" {
    const rest = this.#tail.slice(lastBoundary(this.#tail));
    if (rest === "") return "boundary";
    const data = new SseSplitter();
    data.push(rest);
    const last = data.flush()?.data ?? null;
    return last === null || viewChunk(last).kind !== "malformed" ? "whole" : "half";
  }

  /**
   * By the protocol's own evidence, never by the socket's. Quotes inside model text are escaped and match nothing.
   * `failed`: an error behind which the vendor itself has sent `[DONE]`.
   */
  verdict(): "error" | "failed" | "cut" | "finished" | "done" {
    // Half an event is no evidence: the client cannot read it either.
    const text = this.ending() === "half" ? this.#tail.slice(0, lastBoundary(this.#tail)) : this.#tail;
    const isDone = /^data: ?\[DONE\]/m.test(text);
    if (this.#hasError || hasErrorEvent(text)) return isDone ? "failed" : "error";
    // `[DONE]` is the provider's own word that the answer is over.
    if (isDone) return "done";
    return this.#hasFinish || FINISH.test(text) ? "finished" : "cut";
  }

  /** What came, for the bill. Nobody took the events apart: what stands around their text is alike in all of them. */
  tell(received: Received): void {
    received.showsReasoning = this.#showsReasoning;
    const units = this.#content + Math.max(0, this.#open - this.#envelope);
    received.addSize("text", units, units + Math.max(0, this.#bytes - this.#units));
    received.noteUsage(this.#usage());
  }

  /** The last usage object of the stream, wherever the vendor puts it. */
  #usage(): unknown {
    return lastUsage(this.#tail) ?? this.#oldUsage;
  }
}

function lastBoundary(text: string): number {
  let behind = 0;
  for (const match of text.matchAll(EMPTY_LINE)) behind = match.index + match[0].length;
  return behind;
}

/** Azure's filter results and others have an `error` of their own inside a good chunk: only parsing tells. */
function hasErrorEvent(text: string): boolean {
  if (!MAYBE_ERROR.test(text)) return false;
  return text.split(LINE_END).some((line) => {
    return line.startsWith("data:") && MAYBE_ERROR.test(line) && viewChunk(line.slice(5)).kind === "error";
  });
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
