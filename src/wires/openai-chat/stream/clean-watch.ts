/**
 * Notices from the side whether a stream whose bytes pass untouched would have needed mending.
 *
 * Cheap where it does not: lines are recognised by their first characters, and only those with calls or a list for
 * content are parsed. The rules are those of the mender (`mend/stream.ts`): every frame a chunk, calls with index and
 * id, arguments as text, `tool_calls` for the end of an answer that calls. Whether a finish reason
 * precedes `[DONE]` is checked on the tail.
 */
import { isJsonObject, tryParseJson } from "../../../lib/json.ts";

const PLAIN_STOP = /"finish_reason":\s*"(?:stop|eos|function_call)"/;
const PLAIN_STOPS: ReadonlySet<string> = new Set(["stop", "eos", "function_call"]);
const ODD_CONTENT = /"content":\s*[[{]/;
const CALLS = '"tool_calls"';
/** Longer lines are not looked into: what is in them is a picture, not a call. */
const MAX_LINE_LENGTH = 262_144;

export class CleanWatch {
  isUnclean = false;
  /** The beginning of a line whose end has not come. */
  #line = "";
  /** The line that is under way is too long to be looked into. */
  #isSkipping = false;
  #blockHasData = false;
  #blockHasField = false;
  readonly #ids = new Set<string>();
  readonly #indexes = new Set<string>();
  /** Indexes of the choices that have called. */
  readonly #callers = new Set<unknown>();

  /** The next piece of the stream's text, in any chunking. */
  add(text: string): void {
    if (this.isUnclean) return;
    const start = this.#isSkipping ? text.indexOf("\n") + 1 : 0;
    if (this.#isSkipping && start === 0) return;
    if (this.#isSkipping) this.#blockHasData = true;
    this.#isSkipping = false;
    const end = text.lastIndexOf("\n") + 1;
    if (end <= start) this.#line += text.slice(start);
    else {
      const lines = this.#line + text.slice(start, end);
      this.#line = text.slice(end);
      this.#readFrames(lines);
      this.#readCalls(lines);
    }
    if (this.#line.length <= MAX_LINE_LENGTH) return;
    this.#line = "";
    this.#isSkipping = true;
  }

  /** Whole lines: is every frame a chunk, by its first character? */
  #readFrames(lines: string): void {
    for (let at = 0; at < lines.length && !this.isUnclean; ) {
      const end = lines.indexOf("\n", at);
      const first = lines.charCodeAt(at);
      if (first === LF || (first === CR && at + 1 === end)) {
        // A block of other fields alone is an empty event to some clients.
        this.isUnclean = this.#blockHasField && !this.#blockHasData;
        this.#blockHasData = this.#blockHasField = false;
      } else if (first !== COLON) {
        if (lines.startsWith("data:", at)) {
          this.#blockHasData = true;
          const data = lines.charCodeAt(at + 5) === SPACE ? at + 6 : at + 5;
          this.isUnclean = lines.charCodeAt(data) !== OPEN_BRACE && !lines.startsWith("[DONE]", data);
        } else this.#blockHasField = true;
      }
      at = end + 1;
    }
  }

  #readCalls(lines: string): void {
    const mayStop = this.#callers.size > 0 && PLAIN_STOP.test(lines);
    if (!mayStop && !lines.includes(CALLS) && !ODD_CONTENT.test(lines)) return;
    for (const line of lines.split("\n")) {
      const isStop = this.#callers.size > 0 && PLAIN_STOP.test(line);
      if (isStop || line.includes(CALLS) || ODD_CONTENT.test(line)) {
        this.#readChunk(line.startsWith("data:") ? tryParseJson(line.slice(5)) : undefined);
      }
    }
  }

  #readChunk(chunk: unknown): void {
    const choices = isJsonObject(chunk) && Array.isArray(chunk["choices"]) ? chunk["choices"] : [];
    for (const choice of choices) {
      const delta = isJsonObject(choice) ? choice["delta"] : undefined;
      if (!isJsonObject(choice) || !isJsonObject(delta)) continue;
      if (typeof delta["content"] === "object" && delta["content"] !== null) this.isUnclean = true;
      const { finish_reason: finish, index } = choice;
      const calls = delta["tool_calls"] ?? [];
      if (!Array.isArray(calls) || !calls.every((call) => this.#isCleanCall(call, index))) this.isUnclean = true;
      // The caller must be notified, also where the call is in the chunk that ends the answer.
      if (typeof finish === "string" && PLAIN_STOPS.has(finish) && this.#callers.has(index)) this.isUnclean = true;
    }
  }

  #isCleanCall(call: unknown, choice: unknown): boolean {
    if (!isJsonObject(call) || typeof call["index"] !== "number") return false;
    const { id, index, function: detail, custom } = call;
    const args = isJsonObject(detail) ? detail["arguments"] : undefined;
    if (args !== undefined && typeof args !== "string") return false;
    const place = `${String(choice)}:${index}`;
    if (this.#indexes.has(place)) return id === undefined || id === null || id === "";
    const named = isJsonObject(detail) || isJsonObject(custom);
    if (!named || typeof id !== "string" || id === "" || this.#ids.has(id)) return false;
    this.#ids.add(id);
    this.#indexes.add(place);
    this.#callers.add(choice);
    return true;
  }
}

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
