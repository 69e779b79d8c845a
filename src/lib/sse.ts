/**
 * Server-sent events: text into events, whatever the chunking.
 *
 * Follows the line rules of https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream:
 * LF, CRLF and CR end a line, an empty line ends an event, comments carry nothing. Each event keeps its raw text, so
 * that it can be forwarded as it came. Linear in the input: each character is looked at once.
 */

/** The longest event that is held back while it is incomplete: room for a picture. Beyond it the stream is no answer. */
export const MAX_EVENT_LENGTH = 8 * 1024 * 1024;

export interface SseEvent {
  /** The event's own text, its closing empty line included. */
  readonly raw: string;
  /** The joined `data` lines, or `null` where the block has none (comments, blank lines). */
  readonly data: string | null;
}

const LINE_END = /[\r\n]/g;

export class SseSplitter {
  /** Pieces of the event that is not complete yet. */
  #held: string[] = [];
  #heldLength = 0;
  #lineIsEmpty = true;
  /** The last character was a CR: a LF that follows belongs to it. */
  #afterCr = false;
  readonly #maxEventLength: number;

  /** `maxEventLength` in characters: the longest event that is held back. */
  constructor(maxEventLength = MAX_EVENT_LENGTH) {
    this.#maxEventLength = maxEventLength;
  }

  /** The complete events that `text` ends or contains. */
  push(text: string): SseEvent[] {
    const events: SseEvent[] = [];
    let eventStart = 0;
    let at = 0;
    if (this.#afterCr && text.length > 0) {
      this.#afterCr = false;
      if (text.charCodeAt(0) === 0x0a) at = 1;
    }
    for (;;) {
      LINE_END.lastIndex = at;
      const found = LINE_END.exec(text);
      if (found === null) break;
      const isEmptyLine = this.#lineIsEmpty && found.index === at;
      let next = found.index + 1;
      if (text.charCodeAt(found.index) === 0x0d) {
        if (next === text.length) this.#afterCr = true;
        else if (text.charCodeAt(next) === 0x0a) next++;
      }
      at = next;
      this.#lineIsEmpty = true;
      if (isEmptyLine) {
        events.push(this.#finish(text.slice(eventStart, at)));
        eventStart = at;
      }
    }
    if (at < text.length) this.#lineIsEmpty = false;
    if (eventStart < text.length) {
      this.#held.push(text.slice(eventStart));
      this.#heldLength += text.length - eventStart;
    }
    return events;
  }

  /** What is held back is longer than any event of a chat answer. */
  get isOverlong(): boolean {
    return this.#heldLength > this.#maxEventLength;
  }

  /** The text behind the last complete event. */
  get rest(): string {
    return this.#held.join("");
  }

  /**
   * The text behind the last complete event, as an event of its own when it has data. Call at the end of the stream:
   * the standard would drop it, but providers do end without the empty line. `raw` gets the one it lacks, so that
   * whatever is sent behind it is an event of its own.
   */
  flush(): SseEvent | null {
    if (this.#heldLength === 0) return null;
    const { raw, data } = this.#finish("");
    return data === null ? null : { raw: `${raw}\n\n`, data };
  }

  #finish(last: string): SseEvent {
    const raw = this.#held.length === 0 ? last : this.#held.join("") + last;
    this.#held = [];
    this.#heldLength = 0;
    this.#lineIsEmpty = true;
    return { raw, data: dataOf(raw) };
  }
}

/** The joined `data` lines. Nearly every event has one, ended by LF: that one is cut out without taking all apart. */
function dataOf(raw: string): string | null {
  const start = raw.startsWith("data") ? 0 : raw.indexOf("\ndata") + 1;
  const end = raw.indexOf("\n", start);
  const isPlain = raw.charCodeAt(start + 4) === 0x3a && end !== -1 && raw.indexOf("\ndata", end) === -1;
  if (isPlain && (start > 0 || raw.startsWith("data")) && !raw.includes("\r")) return dataValue(raw.slice(start, end));
  return joinedData(raw);
}

function joinedData(raw: string): string | null {
  let data: string | null = null;
  for (const line of raw.split(/\r\n|\n|\r/)) {
    if (!line.startsWith("data")) continue;
    if (line.length > 4 && line.charCodeAt(4) !== 0x3a) continue;
    const value = dataValue(line);
    data = data === null ? value : `${data}\n${value}`;
  }
  return data;
}

/** What follows `data:` and its one optional space. */
function dataValue(line: string): string {
  return line.slice(line.charCodeAt(5) === 0x20 ? 6 : 5);
}
