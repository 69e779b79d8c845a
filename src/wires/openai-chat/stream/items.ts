/** A stream in OpenAI's protocol on its way to a client of the same protocol: text to forward, and what it says. */
import type { AnswerEvent } from "../../../conversation/answer.ts";
import { isJsonObject } from "../../../lib/json.ts";
import type {
  AnswerContext,
  ChatFrame,
  ChatFrames,
  StreamPart,
  StreamTranslator,
  Translation,
} from "../../../providers/adapter.ts";
import type { ItemReader, StreamItem } from "../../wire.ts";
import { viewParsed } from "../chunk.ts";
import { isPlainBody } from "../plain.ts";
import { FrameReader } from "../read-frames.ts";
import { ChunkReader, type Detail } from "./read-chunks.ts";

const NOTHING: readonly AnswerEvent[] = [];
/** Length of `data:`, with which every frame of data begins. */
const DATA_LENGTH = 5;

/** The stream of a provider as items of this wire, whatever it speaks itself. */
export function openItems(translation: Translation | undefined, context: AnswerContext, detail: Detail): ItemReader {
  const translator = translation?.openStream?.(context);
  if (translator !== undefined) return new ChunkItems(translator, detail);
  const frames = translation?.openFrames?.(context) ?? new FrameReader({ seed: context.traceId });
  return new FrameItems(frames, detail);
}

export class FrameItems implements ItemReader {
  readonly #frames: ChatFrames;
  readonly #reader: ChunkReader;
  readonly #withExtras: boolean;

  constructor(frames: ChatFrames, detail: Detail) {
    this.#frames = frames;
    this.#withExtras = detail !== "plain";
    this.#reader = new ChunkReader(detail);
  }

  get isOverlong(): boolean {
    return this.#frames.isOverlong;
  }

  get isDocument(): boolean {
    return this.#frames.isDocument;
  }

  push(bytes: Uint8Array): StreamItem[] {
    return this.#frames.push(bytes).map((frame) => this.#item(frame));
  }

  end(): StreamItem[] {
    return this.#frames.end().map((frame) => this.#item(frame));
  }

  #item({ raw, view }: ChatFrame): StreamItem {
    // Blocks without data are comments.
    if (view === null) return { raw, isPlain: true, events: NOTHING, ends: false };
    const { kind, chunk } = view;
    const isChunk = kind !== "done" && kind !== "error";
    const events = this.#reader.read(view);
    const isPlain =
      this.#withExtras && isChunk && !this.#reader.hasRepeated && isPlainBody(raw.slice(DATA_LENGTH), chunk);
    return { raw, isPlain, events, ends: kind === "done" };
  }
}

/** The same for a translator that makes chunks. */
export class ChunkItems implements ItemReader {
  readonly #translator: StreamTranslator;
  readonly #reader: ChunkReader;

  constructor(translator: StreamTranslator, detail: Detail) {
    this.#translator = translator;
    this.#reader = new ChunkReader(detail);
  }

  get isOverlong(): boolean {
    return this.#translator.isOverlong;
  }

  push(bytes: Uint8Array): StreamItem[] {
    return this.#translator.push(bytes).map((part) => this.#item(part));
  }

  end(): StreamItem[] {
    return this.#translator.end().map((part) => this.#item(part));
  }

  #item(part: StreamPart): StreamItem {
    if ("error" in part) {
      const body = isJsonObject(part.error) ? part.error : { error: part.error };
      return { raw: null, isPlain: false, events: [{ kind: "error", body }], ends: false };
    }
    const { chunk } = part;
    // Written by us, from what was read.
    const raw = `data: ${JSON.stringify(chunk)}\n\n`;
    return { raw, isPlain: true, events: this.#reader.read(viewParsed(chunk)), ends: false };
  }
}
