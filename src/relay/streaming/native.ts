/**
 * Bytes that move natively, watched from the side.
 *
 * The upstream body is teed: one branch is piped to the client without JavaScript, the other is read about once a
 * second to keep the tail (usage, finish reason, errors) and to run the idle clock. Measured in workerd this costs a
 * third more CPU than a bare `fetch`, a hand-written pump twice as much. The price: a cut inside an event has already
 * reached the client when it is noticed.
 */
import { cutWrites } from "../../lib/time/deadline.ts";
import type { DoorWire, StreamItem, TailWatcher } from "../../wires/wire.ts";
import type { AnswerEnd, OpenStream, StreamedAttempt, StreamOptions } from "../types.ts";
import { BROKEN, breakOff, CUT, failureOf } from "./ends.ts";

/** How long the tap sleeps. It also wakes when the pipe ends, so the length delays nothing. */
const TAP_PAUSE_MS = 1_000;
/** What comes while it sleeps is kept in memory. So it begins with short pauses, and keeps to them while much comes. */
const SHORT_TAP_PAUSE_MS = 50;
const MUCH_PER_PAUSE_BYTES = 262_144;
const TAP_BUFFER_BYTES = 32_768;
/** No answer is longer; an endless stream is cut here. */
const MAX_STREAM_BYTES = 64 * 1024 * 1024;

const encoder = new TextEncoder();

/** An upstream body in two branches, and what was learnt of it before the answer was accepted. */
export interface TappedStream {
  readonly clientBranch: ReadableStream<Uint8Array>;
  readonly tap: ReadableStreamBYOBReader;
  /** Has read what was looked at. */
  readonly decoder: TextDecoder;
  readonly text: string;
  readonly preamble: readonly StreamItem[];
}

export function nativeStream(
  tapped: TappedStream,
  openTail: NonNullable<DoorWire["openTail"]>,
  options: StreamOptions,
  attempt: StreamedAttempt,
): OpenStream {
  return {
    source: null,
    start() {
      const out = new IdentityTransformStream();
      const { traceId, hasTools } = options;
      const { text, preamble } = tapped;
      const watch = openTail({ traceId, hasTools, text, preamble });
      const end = follow(tapped, watch, out, options, attempt);
      return { readable: out.readable, end };
    },
  };
}

async function follow(
  { clientBranch, tap, decoder }: TappedStream,
  watch: TailWatcher,
  out: IdentityTransformStream,
  options: StreamOptions,
  control: StreamedAttempt,
): Promise<AnswerEnd> {
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
      watch.add(decoder.decode(value, { stream: true }), value.byteLength);
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

const LAST_WORDS = { cut: CUT, error: `${BROKEN}.` } as const;

async function finish(
  writer: WritableStreamDefaultWriter<Uint8Array>,
  watch: TailWatcher,
  options: StreamOptions,
  control: StreamedAttempt,
): Promise<AnswerEnd> {
  const { received } = control;
  const { units, bytes } = watch.output();
  received.showsReasoning = watch.showsReasoning;
  received.hidesReasoning = watch.hidesReasoning === true;
  received.addSize("text", units, bytes);
  received.noteUsage(watch.usage());
  if (watch.isUnclean) control.noteUnclean();
  const verdict = watch.verdict();
  const isWhole = verdict === "finished" || verdict === "done";
  let outcome: AnswerEnd["outcome"] = isWhole ? "complete" : "interrupted";
  try {
    const closing = verdict === "finished" ? watch.closing() : "";
    const last = isWhole ? closing || watch.lastLine() : watch.failing(LAST_WORDS[verdict]);
    if (last !== "" && (isWhole || !control.clientGone())) await writer.write(encoder.encode(last));
    if (isWhole || options.wire.failureEnd === "normal") await writer.close();
    else await breakOff(writer);
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
