/**
 * Stage 5, a streamed answer: look into the upstream's stream until it proves to be an answer, then hand it on.
 *
 * Nothing reaches the client before the first event that carries content, so every earlier failure can fall back
 * unseen. Bytes then move natively where nobody has to read them (`stream-native`); where an event must be dropped,
 * changed or checked, complete events are forwarded by hand (`stream-pump`).
 */
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import { type SseEvent, SseSplitter } from "../lib/sse.ts";
import { hasError, viewChunk } from "../openai.ts";
import type { UpstreamError, UpstreamFailure } from "../providers/adapter.ts";
import type { Opened, OpenStream, Preamble, StreamControl, StreamWish } from "./stages.ts";
import { nativeStream } from "./stream-native.ts";
import { pumpStream } from "./stream-pump.ts";

/** What may come before the first content: role chunks, filter results, keep-alive comments. */
const MAX_PREAMBLE_LENGTH = 1_048_576;
const PEEK_BUFFER_BYTES = 8_192;

/** An answer that is none: another target may do better, the same one will not. */
const NOT_AN_ANSWER: UpstreamFailure = { class: "invalid_response", tryNext: true, trySame: false };

/**
 * Reads until the first content. Rejects when the connection breaks or the attempt is aborted; every other bad stream
 * is a returned failure.
 */
export async function openStream(
  response: Response,
  wish: StreamWish,
  control: StreamControl,
  classify: (error: UpstreamError) => UpstreamFailure,
): Promise<Opened<OpenStream>> {
  if (response.body === null) return { ok: false, failure: NOT_AN_ANSWER };
  const isNative = wish.includeUsage && !wish.withholdTools && wish.choices === 1;
  if (!isNative) {
    const reader = response.body.getReader();
    const peeked = await peek(async () => (await reader.read()).value, response, classify);
    return peeked.ok ? { ok: true, value: pumpStream(reader, peeked.value, wish, control) } : peeked;
  }
  const [clientBranch, side] = response.body.tee();
  const tap = side.getReader({ mode: "byob" });
  const peeked = await peek(async () => (await tap.read(new Uint8Array(PEEK_BUFFER_BYTES))).value, response, classify);
  return peeked.ok ? { ok: true, value: nativeStream(clientBranch, tap, peeked.value, wish, control) } : peeked;
}

async function peek(
  read: () => Promise<Uint8Array | undefined>,
  response: Response,
  classify: (error: UpstreamError) => UpstreamFailure,
): Promise<Opened<Preamble>> {
  const splitter = new SseSplitter();
  const decoder = new TextDecoder();
  const events: SseEvent[] = [];
  const failed = (body: unknown): Opened<never> => {
    return { ok: false, failure: classify({ status: response.status, headers: response.headers, body }) };
  };
  let text = "";
  for (;;) {
    const bytes = await read();
    const isEnd = bytes === undefined || bytes.byteLength === 0;
    const added = isEnd ? decoder.decode() : decoder.decode(bytes, { stream: true });
    text += added;
    const fresh = splitter.push(added);
    const last = isEnd ? splitter.flush() : null;
    if (last !== null) fresh.push(last);
    for (let at = 0; at < fresh.length; at++) {
      const event = fresh[at]!;
      const view = event.data === null ? null : viewChunk(event.data);
      if (view?.kind === "error") return failed(view.chunk);
      // An answer that ends before it said anything is no answer.
      if (view?.kind === "done") return { ok: false, failure: NOT_AN_ANSWER };
      if (view?.kind !== "malformed") events.push(event);
      if (view?.kind === "content") {
        events.push(...fresh.slice(at + 1));
        return { ok: true, value: { events, text, splitter, decoder } };
      }
    }
    if (isEnd) {
      // A vendor that answers a stream request with a plain JSON error.
      const body = tryParseJson(text);
      return isJsonObject(body) && hasError(body) ? failed(body) : { ok: false, failure: NOT_AN_ANSWER };
    }
    if (text.length > MAX_PREAMBLE_LENGTH) return { ok: false, failure: NOT_AN_ANSWER };
  }
}
