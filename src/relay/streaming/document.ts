/** A provider that ignores `stream` and answers with one document: its answer as the events a stream would have had. */
import { eventsOf } from "../../conversation/events.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { hasError } from "../../wires/openai-chat/chunk.ts";
import type { ItemReader, ReadAnswer, StreamItem } from "../../wires/wire.ts";

/** No answer is longer. */
const MAX_BYTES = 16 * 1024 * 1024;
const BRACE = 0x7b;
/** White space, and the three bytes of a byte order mark. */
const BLANKS: ReadonlySet<number> = new Set([0x09, 0x0a, 0x0d, 0x20, 0xef, 0xbb, 0xbf]);

export function isDocument(response: Response): boolean {
  return response.headers.get("content-type")?.includes("json") === true;
}

export class DocumentItems implements ItemReader {
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;
  #isOver = false;
  /** No stream begins with a brace. `null`: nothing but blanks so far. */
  #isStream: boolean | null = null;
  /** Reads what is no whole answer: an error, or a stream all the same. */
  readonly #other: ItemReader;
  readonly #readWhole: (text: string, body: Json) => ReadAnswer;

  constructor(other: ItemReader, readWhole: (text: string, body: Json) => ReadAnswer) {
    this.#other = other;
    this.#readWhole = readWhole;
  }

  get isDocument(): boolean {
    return this.#isStream !== true;
  }

  get isOverlong(): boolean {
    return this.#bytes > MAX_BYTES || this.#other.isOverlong;
  }

  push(bytes: Uint8Array): readonly StreamItem[] {
    if (this.#isStream === true) return this.#other.push(bytes);
    this.#pieces.push(bytes);
    this.#bytes += bytes.byteLength;
    const first = this.#isStream === null ? bytes.find((byte) => !BLANKS.has(byte)) : BRACE;
    if (first !== undefined) this.#isStream = first !== BRACE;
    return first === undefined || first === BRACE ? [] : this.#passOn();
  }

  end(): readonly StreamItem[] {
    if (this.#isStream === true) return this.#other.end();
    if (this.#isOver) return [];
    this.#isOver = true;
    const decoder = new TextDecoder();
    const text = this.#pieces.map((piece) => decoder.decode(piece, { stream: true })).join("") + decoder.decode();
    const body = tryParseJson(text);
    const read = isJsonObject(body) && !hasError(body) && body["type"] !== "error" ? this.#readWhole(text, body) : null;
    if (read?.ok === true) return eventsOf(read.answer).map(toItem);
    if (read?.rawUsage !== undefined) return [toItem({ kind: "usage", counts: null, raw: read.rawUsage })];
    return [...this.#passOn(), ...this.#other.end()];
  }

  #passOn(): readonly StreamItem[] {
    return this.#pieces.flatMap((piece) => this.#other.push(piece));
  }
}

function toItem(event: StreamItem["events"][number]): StreamItem {
  return { raw: null, isPlain: false, events: [event], ends: false };
}
