/**
 * Stage 5, a streamed answer: look into the upstream's stream until it proves to be an answer, then hand it on.
 *
 * Nothing reaches the client before the first event that carries content, so every earlier failure can fall back
 * unseen. Bytes then move natively where nobody has to read them (`stream-native`); where an event must be dropped,
 * changed, translated or checked, complete events are forwarded by hand (`stream-pump`).
 */
import type { UpstreamFailure } from "../../providers/adapter.ts";
import { outputOf, usageOf } from "../../wires/openai-chat/chunk.ts";
import type {
  EventReader,
  Opened,
  OpenStream,
  Reading,
  StreamEvent,
  StreamedAttempt,
  StreamOptions,
} from "../types.ts";
import { OpenAiEvents, TranslatedEvents } from "./events.ts";
import { nativeStream } from "./native.ts";
import { pumpStream } from "./pump.ts";

/** What may come before the first content: role chunks, filter results, keep-alive comments. */
const MAX_PREAMBLE_BYTES = 1_048_576;
/** The first event of another wire may be a picture, which is as long as that wire lets it be. */
const MAX_TRANSLATED_PREAMBLE_BYTES = 16 * 1_048_576;
const PEEK_BUFFER_BYTES = 8_192;

/** An answer that is none: another target may do better, the same one will not. */
const NOT_AN_ANSWER: UpstreamFailure = { class: "invalid_response", tryNext: true, trySame: false };

/**
 * Reads until the first content. Rejects when the connection breaks or the attempt is aborted; every other bad stream
 * is a returned failure.
 */
export async function openStream(
  response: Response,
  options: StreamOptions,
  attempt: StreamedAttempt,
  reading: Reading,
): Promise<Opened<OpenStream>> {
  if (response.body === null) return { ok: false, failure: NOT_AN_ANSWER };
  const translator = reading.translation?.openStream?.(reading.context);
  const frames = reading.translation?.openFrames?.(reading.context);
  // A provider that ignores `stream` answers with a document, which has to be told as a stream.
  const isEventStream = response.headers.get("content-type")?.includes("event-stream") === true;
  const isNative =
    translator === undefined &&
    reading.translation?.passesNatively?.(reading.context) === true &&
    isEventStream &&
    options.includeUsage &&
    options.gate === null &&
    options.choices === 1 &&
    options.resumption === null;
  if (isNative) {
    const [clientBranch, side] = response.body.tee();
    const tap = side.getReader({ mode: "byob" });
    const events = new OpenAiEvents();
    const read = async () => (await tap.read(new Uint8Array(PEEK_BUFFER_BYTES))).value;
    const peeked = await peek(read, events, response, reading, attempt);
    if (!peeked.ok) return peeked;
    const tapped = { clientBranch, tap, events, envelope: envelopeOf(peeked.value) };
    return { ok: true, value: nativeStream(tapped, options, attempt) };
  }
  const reader = response.body.getReader();
  const events = translator === undefined ? (frames ?? new OpenAiEvents()) : new TranslatedEvents(translator);
  const peeked = await peek(async () => (await reader.read()).value, events, response, reading, attempt);
  if (!peeked.ok) return peeked;
  if (events instanceof OpenAiEvents) events.text = null;
  return { ok: true, value: pumpStream({ reader, events, preamble: peeked.value, attempt }, options) };
}

/** The events up to the first content, and those that came with it. */
async function peek(
  read: () => Promise<Uint8Array | undefined>,
  reader: EventReader,
  response: Response,
  reading: Reading,
  { received }: StreamedAttempt,
): Promise<Opened<readonly StreamEvent[]>> {
  const events: StreamEvent[] = [];
  let bytesSeen = 0;
  for (;;) {
    const bytes = await read();
    const isEnd = bytes === undefined || bytes.byteLength === 0;
    const fresh = isEnd ? reader.end() : reader.push(bytes);
    for (const [at, event] of fresh.entries()) {
      const kind = event.view?.kind;
      if (kind === "error") {
        const usage = events.map(({ view }) => usageOf(view?.chunk)).findLast((each) => each !== undefined);
        if (usage !== undefined) received.noteFailed(usage);
        const { status, headers } = response;
        return { ok: false, failure: reading.classify({ status, headers, body: event.view?.chunk }) };
      }
      // An answer that ends before it said anything is no answer.
      if (kind === "done") return { ok: false, failure: NOT_AN_ANSWER };
      if (kind !== "malformed") events.push(event);
      if (kind === "content") return { ok: true, value: [...events, ...fresh.slice(at + 1)] };
    }
    bytesSeen += bytes?.byteLength ?? 0;
    const limit = reader instanceof TranslatedEvents ? MAX_TRANSLATED_PREAMBLE_BYTES : MAX_PREAMBLE_BYTES;
    const isTooLong = reader.isOverlong || (reader.isDocument !== true && bytesSeen > limit);
    if (isEnd || isTooLong) return { ok: false, failure: NOT_AN_ANSWER };
  }
}

/** Characters of an event that are not the answer's own text: what stands around it in the first that has some. */
function envelopeOf(events: readonly StreamEvent[]): number {
  const first = events.find(({ view }) => view?.kind === "content");
  return first === undefined
    ? 0
    : Math.max(0, first.raw.length - outputOf(first.view?.chunk ?? {}).reduce((sum, { text }) => sum + text.length, 0));
}
