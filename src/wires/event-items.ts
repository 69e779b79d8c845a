/** A stream of another wire as items: events without a text of their own. */
import type { AnswerEvent } from "../conversation/answer.ts";
import type { AnswerReader, ItemReader, StreamItem } from "./wire.ts";

export class EventItems implements ItemReader {
  readonly #reader: AnswerReader;

  constructor(reader: AnswerReader) {
    this.#reader = reader;
  }

  get isOverlong(): boolean {
    return this.#reader.isOverlong;
  }

  push(bytes: Uint8Array): readonly StreamItem[] {
    return itemsOf(this.#reader.push(bytes));
  }

  end(): readonly StreamItem[] {
    return itemsOf(this.#reader.end());
  }
}

/** An error is an item of its own: what came before it still counts. */
function itemsOf(events: readonly AnswerEvent[]): readonly StreamItem[] {
  const at = events.findIndex(({ kind }) => kind === "error");
  const parts = at === -1 ? [events] : [events.slice(0, at), events.slice(at, at + 1)];
  return parts.flatMap((part) => (part.length === 0 ? [] : [{ raw: null, isPlain: false, events: part, ends: false }]));
}
