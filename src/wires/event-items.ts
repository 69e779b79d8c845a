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

/** One event is one item: what becomes of a stream never depends on how its bytes were cut. */
function itemsOf(events: readonly AnswerEvent[]): readonly StreamItem[] {
  return events.map((event) => ({ raw: null, isPlain: false, events: [event], ends: false }));
}
