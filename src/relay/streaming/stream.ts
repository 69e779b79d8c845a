/**
 * Stage 5, a streamed answer: look into the upstream's stream until it proves to be an answer, then hand it on.
 *
 * Nothing reaches the client before the first event that carries content, so every earlier failure can fall back
 * unseen. Bytes then move natively where they need not be read (`native.ts`); where an event must be dropped, changed,
 * translated or checked, complete events are forwarded by hand (`pump.ts`).
 */
import { type AnswerEvent, hasContent } from "../../conversation/answer.ts";
import { isNothing } from "../../conversation/usage.ts";
import type { UpstreamFailure } from "../../providers/adapter.ts";
import type { ItemReader, StreamItem } from "../../wires/wire.ts";
import type { Opened, OpenStream, Reading, StreamedAttempt, StreamOptions } from "../types.ts";
import { DocumentItems, isDocument } from "./document.ts";
import { nativeStream } from "./native.ts";
import { pumpStream } from "./pump.ts";

/** What may come before the first content, whole events alone: role chunks, filter results, keep-alive comments. */
const MAX_PREAMBLE_BYTES = 1_048_576;
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
  const { openTail } = options.wire;
  if (openTail !== undefined && isNative(response, options, reading)) {
    const [clientBranch, side] = response.body.tee();
    const tap = side.getReader({ mode: "byob" });
    const decoder = new TextDecoder();
    let text = "";
    const read = async (): Promise<Uint8Array | undefined> => {
      const { value } = await tap.read(new Uint8Array(PEEK_BUFFER_BYTES));
      text += decoder.decode(value, { stream: true });
      return value;
    };
    const items = reading.openItems(false);
    const peeked = await peek(read, items, response, reading, attempt);
    if (!peeked.ok) return peeked;
    // Called a stream, and none: its bytes are on their way as they are.
    if (items.isDocument === true) return { ok: false, failure: NOT_AN_ANSWER };
    const tapped = { clientBranch, tap, decoder, text, preamble: peeked.value };
    return { ok: true, value: nativeStream(tapped, openTail, options, attempt) };
  }
  const reader = response.body.getReader();
  const isRead = options.gate !== null || options.resumption !== null;
  const items = itemsOf(response, reading, isRead);
  const peeked = await peek(async () => (await reader.read()).value, items, response, reading, attempt);
  if (!peeked.ok) return peeked;
  const { describe, context } = reading;
  const source = { reader, items, preamble: peeked.value, attempt, describe, context };
  // A document has no text of the wire's events that could be forwarded.
  const forwarder = isRead || items.isDocument === true ? undefined : reading.sameWire?.openForwarder(context);
  return { ok: true, value: pumpStream(source, options, forwarder ?? options.wire.openWriter(context)) };
}

function itemsOf(response: Response, reading: Reading, isRead: boolean): ItemReader {
  const { sameWire, translation, context, answerContext } = reading;
  const items = reading.openItems(isRead);
  const read = translation?.readAnswer;
  // Chat reads both itself.
  if (!isDocument(response) || (sameWire === undefined && read === undefined)) return items;
  return new DocumentItems(items, (text, body) => {
    const own = sameWire?.readWhole(text, body, { ...context, conversation: null });
    return own ?? read?.(text, body, answerContext) ?? { ok: false, failure: NOT_AN_ANSWER };
  });
}

function isNative(response: Response, options: StreamOptions, { isClean, sameWire }: Reading): boolean {
  if (!isClean || !options.includeUsage || options.gate !== null || options.choices !== 1) return false;
  if (options.resumption !== null || options.report !== null) return false;
  if (options.lastWords.keep !== null || sameWire?.readsEvents?.() === true) return false;
  // A provider that ignores `stream` answers with a document, which is translated to a stream.
  return response.headers.get("content-type")?.includes("event-stream") === true;
}

const isStop = (event: AnswerEvent): boolean => event.kind === "finish" && event.finish.reason === "stop";

/** The items up to the first content, and those that came with it. */
async function peek(
  read: () => Promise<Uint8Array | undefined>,
  reader: ItemReader,
  response: Response,
  reading: Reading,
  { received }: StreamedAttempt,
): Promise<Opened<readonly StreamItem[]>> {
  const items: StreamItem[] = [];
  let bytesSeen = 0;
  let bytesInItems = 0;
  // It stops and has said nothing: its usage tells whether that is an answer.
  let isBare = false;
  for (;;) {
    const bytes = await read();
    const isEnd = bytes === undefined || bytes.byteLength === 0;
    const fresh = isEnd ? reader.end() : reader.push(bytes);
    bytesSeen += bytes?.byteLength ?? 0;
    if (fresh.length > 0) bytesInItems = bytesSeen;
    for (const [at, item] of fresh.entries()) {
      const error = item.events.find((event) => event.kind === "error");
      if (error !== undefined) {
        const usage = item.events.findLast((event) => event.kind === "usage")?.raw ?? received.rawUsage;
        if (usage !== undefined) received.noteFailed(usage);
        const { status, headers } = response;
        return { ok: false, failure: reading.classify({ status, headers, body: error.body }) };
      }
      // An answer that ends before it said anything is no answer.
      if (item.ends && item.closes !== true && !isBare) return { ok: false, failure: NOT_AN_ANSWER };
      items.push(item);
      for (const event of item.events) if (event.kind === "start") received.noteAnswerId(event.id);
      isBare ||= item.events.some(isStop);
      const usage = item.events.find((event) => event.kind === "usage")?.raw;
      if (isBare && isNothing(usage)) {
        received.noteFailed(usage);
        return { ok: false, failure: NOT_AN_ANSWER };
      }
      const isSaid = item.events.some((event) => hasContent(event) && !isStop(event));
      const isKnown = isSaid || (isBare && (item.ends || usage !== undefined));
      if (isKnown) return { ok: true, value: [...items, ...fresh.slice(at + 1)] };
      // Should it end before anything else comes, this is what is known of its cost.
      for (const event of item.events) if (event.kind === "usage") received.noteUsage(event.raw);
    }
    // An event that is not complete yet may be a picture; a document says nothing before its end.
    if (isEnd && isBare) return { ok: true, value: items };
    const isTooLong = reader.isOverlong || (reader.isDocument !== true && bytesInItems > MAX_PREAMBLE_BYTES);
    if (isEnd || isTooLong) return { ok: false, failure: NOT_AN_ANSWER };
  }
}
