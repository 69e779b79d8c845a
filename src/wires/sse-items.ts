/** A stream of server-sent events in the door's own wire, event by event: its text to forward, and what it says. */
import type { AnswerEvent } from "../conversation/answer.ts";
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import { SseSplitter } from "../lib/sse.ts";
import type { ItemReader, StreamItem } from "./wire.ts";

/** What one event says. */
export interface ReadEvent {
  readonly events: readonly AnswerEvent[];
  readonly closes?: boolean;
  readonly ends?: boolean;
}

export interface EventReader {
  /** `null`: the data is no event of this protocol. */
  event(data: string): ReadEvent | null;
  /** What only the end of the stream completes. */
  finish(): readonly AnswerEvent[];
}

/** The last event of an answer may repeat all of it; a file that a provider fetched comes in one, in base64. */
export const MAX_EVENT_LENGTH = 8 * 1_048_576;
/** An error in place of a stream is no longer. In characters. */
const MAX_PREAMBLE_LENGTH = 1_048_576;

const NOTHING: readonly AnswerEvent[] = [];

export class SseItems implements ItemReader {
  readonly #decoder = new TextDecoder();
  readonly #splitter = new SseSplitter(MAX_EVENT_LENGTH);
  readonly #reader: EventReader;
  /** What was read before the first event: an error may come as a plain body. `null` once there was one. */
  #preamble: string | null = "";

  constructor(reader: EventReader) {
    this.#reader = reader;
  }

  get isOverlong(): boolean {
    return this.#splitter.isOverlong;
  }

  push(bytes: Uint8Array): StreamItem[] {
    return this.read(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): StreamItem[] {
    const items = this.read(this.#decoder.decode());
    const last = this.#splitter.flush();
    if (last !== null) items.push(this.#item(last.raw, last.data));
    const body = this.#preamble === null ? undefined : tryParseJson(this.#preamble);
    const isError = isJsonObject(body) && (isJsonObject(body["error"]) || body["type"] === "error");
    const events = isError ? [{ kind: "error" as const, body }] : this.#reader.finish();
    if (events.length > 0) items.push({ raw: null, isPlain: false, events, ends: false });
    return items;
  }

  /** The same of text that was decoded before. Not to be mixed with `push`. */
  read(text: string): StreamItem[] {
    if (this.#preamble !== null && this.#preamble.length <= MAX_PREAMBLE_LENGTH) this.#preamble += text;
    return this.#splitter.push(text).map(({ raw, data }) => this.#item(raw, data));
  }

  #item(raw: string, data: string | null): StreamItem {
    // Blocks without data are comments, or empty events that some clients stumble over.
    if (data === null) return { raw: raw.startsWith(":") ? raw : null, isPlain: true, events: NOTHING, ends: false };
    const read = this.#reader.event(data);
    if (read === null) return { raw: null, isPlain: false, events: NOTHING, ends: false };
    this.#preamble = null;
    return { raw, isPlain: false, events: read.events, ends: read.ends === true, closes: read.closes };
  }
}

/** The text of an event with other data: its `event:` line and everything else stay. */
export function withData(raw: string, edit: (data: string) => string): string {
  const lines = raw.split(/\r\n|\n|\r/);
  const at = lines.findIndex((line) => line.startsWith("data:"));
  if (at === -1) return raw;
  const all = lines.filter((line) => line.startsWith("data:"));
  const data = all.map((line) => line.slice(line.charCodeAt(5) === 0x20 ? 6 : 5)).join("\n");
  const others = lines.filter((line) => !line.startsWith("data:") && line !== "");
  return `${[...others, `data: ${edit(data).replaceAll(/\r\n|\n|\r/g, " ")}`].join("\n")}\n\n`;
}

/** The data of one event; `""` for none. */
export function dataOf(raw: string): string {
  const [event] = new SseSplitter(Number.POSITIVE_INFINITY).push(raw.endsWith("\n\n") ? raw : `${raw}\n\n`);
  return event?.data ?? "";
}
