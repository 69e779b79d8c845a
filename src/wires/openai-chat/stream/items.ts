/** A stream in OpenAI's protocol on its way to a client of the same protocol: text to forward, and what it says. */
import type { AnswerEvent } from "../../../conversation/answer.ts";
import type { AnswerContext, ChatFrame, ChatFrames, Translation } from "../../../providers/adapter.ts";
import type { ItemReader, StreamItem } from "../../wire.ts";
import { isPlainBody } from "../plain.ts";
import { FrameReader } from "../read-frames.ts";
import { ChunkReader, type Detail } from "./read-chunks.ts";

const NOTHING: readonly AnswerEvent[] = [];
/** Length of `data:`, with which every frame of data begins. */
const DATA_LENGTH = 5;

/** The stream of a provider that speaks this wire, as items of it. */
export function openItems(translation: Translation | undefined, context: AnswerContext, detail: Detail): ItemReader {
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
