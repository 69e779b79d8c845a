/**
 * Notices from the side whether a stream whose bytes pass untouched would have needed mending.
 *
 * Cheap where it does not: lines are told by their first characters, and only those with calls or a list for content are
 * parsed. The rules are those of the mender (`mend/stream.ts`): every frame a chunk, calls with index and id, arguments
 * as text, `tool_calls` for the end of an answer that calls, a finish reason before `[DONE]`.
 */
import { isJsonObject, tryParseJson } from "../../../lib/json.ts";

const FINISH = /"finish_reason":\s*"[^"]/;
const PLAIN_STOP = /"finish_reason":\s*"(?:stop|eos|function_call)"/;
const PLAIN_STOPS: ReadonlySet<string> = new Set(["stop", "eos", "function_call"]);
const ODD_CONTENT = /"content":\s*[[{]/;
/** Longer lines are not looked into: what is in them is a picture, not a call. */
const MAX_LINE_LENGTH = 262_144;

export class CleanWatch {
  isUnclean = false;
  /** The beginning of a line whose end has not come. */
  #line = "";
  #isLineTooLong = false;
  #blockHasData = false;
  #blockHasField = false;
  #hasFinish = false;
  #ids = new Set<string>();
  #indexes = new Set<string>();
  /** Indexes of the choices that have called. */
  #callers = new Set<unknown>();

  /** The next piece of the stream's text, in any chunking. */
  add(text: string): void {
    if (this.isUnclean) return;
    let start = 0;
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
      const line = this.#line + text.slice(start, end);
      this.#readLine(this.#isLineTooLong ? "" : line, this.#isLineTooLong);
      this.#line = "";
      this.#isLineTooLong = false;
      start = end + 1;
    }
    this.#line += text.slice(start);
    if (this.#line.length <= MAX_LINE_LENGTH) return;
    this.#line = "";
    this.#isLineTooLong = true;
  }

  #readLine(raw: string, isSkipped: boolean): void {
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    if (isSkipped) {
      this.#blockHasData = true;
      return;
    }
    if (line === "") {
      // A block of other fields alone is an empty event to some clients.
      if (this.#blockHasField && !this.#blockHasData) this.isUnclean = true;
      this.#blockHasData = this.#blockHasField = false;
      return;
    }
    if (line.startsWith(":")) return;
    if (!line.startsWith("data:")) {
      this.#blockHasField = true;
      return;
    }
    this.#blockHasData = true;
    this.#readData(line.charCodeAt(5) === 0x20 ? line.slice(6) : line.slice(5));
  }

  #readData(data: string): void {
    if (data.startsWith("[DONE]")) {
      if (!this.#hasFinish) this.isUnclean = true;
      return;
    }
    if (!data.startsWith("{")) {
      this.isUnclean = true;
      return;
    }
    this.#hasFinish ||= FINISH.test(data);
    const isStop = this.#callers.size > 0 && PLAIN_STOP.test(data);
    if (isStop || data.includes('"tool_calls"') || ODD_CONTENT.test(data)) this.#readChunk(tryParseJson(data));
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
      // Whoever calls has to be told so, also where the call is in the chunk that ends the answer.
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
