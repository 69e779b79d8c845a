/**
 * An upstream's bytes as the events a client will see: OpenAI's own, or translated to them.
 *
 * Whoever reads a stream needs the same two things of an event: its text to forward, and what it says.
 */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { type SseEvent, SseSplitter } from "../../lib/sse.ts";
import type { StreamPart, StreamTranslator } from "../../providers/adapter.ts";
import type { FailureClass } from "../../traces/schema.ts";
import { hasError, viewChunk, viewParsed } from "../../wires/openai-chat/chunk.ts";
import type { EventReader, StreamControl, StreamEvent } from "../types.ts";

/** Events of the OpenAI protocol, raw text as it came. */
export class OpenAiEvents implements EventReader {
  readonly decoder = new TextDecoder();
  readonly #splitter = new SseSplitter();
  /** Everything read so far; `null` once nobody needs it any more. */
  text: string | null = "";

  get isOverlong(): boolean {
    return this.#splitter.isOverlong;
  }

  push(bytes: Uint8Array): StreamEvent[] {
    return this.#read(this.decoder.decode(bytes, { stream: true })).map(toStreamEvent);
  }

  end(): StreamEvent[] {
    const events = this.#read(this.decoder.decode());
    const last = this.#splitter.flush();
    if (last !== null) events.push(last);
    // A vendor that answers a stream request with a plain JSON error: no line of it is an event.
    const body = this.text === null || events.length > 0 ? undefined : tryParseJson(this.text);
    if (isJsonObject(body) && hasError(body)) return [{ raw: "", view: { kind: "error", chunk: body } }];
    return events.map(toStreamEvent);
  }

  #read(text: string): SseEvent[] {
    if (this.text !== null) this.text += text;
    return this.#splitter.push(text);
  }
}

function toStreamEvent({ raw, data }: SseEvent): StreamEvent {
  return { raw, view: data === null ? null : viewChunk(data) };
}

/** Events of another protocol, written anew. */
export class TranslatedEvents implements EventReader {
  readonly #translator: StreamTranslator;

  constructor(translator: StreamTranslator) {
    this.#translator = translator;
  }

  get isOverlong(): boolean {
    return this.#translator.isOverlong;
  }

  push(bytes: Uint8Array): StreamEvent[] {
    return this.#translator.push(bytes).map(fromPart);
  }

  end(): StreamEvent[] {
    return this.#translator.end().map(fromPart);
  }
}

function fromPart(part: StreamPart): StreamEvent {
  if ("error" in part) {
    const chunk = isJsonObject(part.error) ? part.error : { error: part.error };
    return { raw: "", view: { kind: "error", chunk } };
  }
  return { raw: `data: ${JSON.stringify(part.chunk)}\n\n`, view: viewParsed(part.chunk) };
}

/** Why a stream broke: what ended the call where we did it, else `seen`. */
export function failureOf(control: StreamControl, seen: FailureClass): FailureClass {
  switch (control.abortedBy()) {
    case "idle":
    case "total":
      return "timeout";
    case "too_large":
      return "invalid_response";
    default:
      return seen;
  }
}
