/** The bytes of a stream in OpenAI's protocol as events that every client can read, each with its text and its view. */
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../lib/json.ts";
import { editElements } from "../../lib/json-spans.ts";
import { elementTexts, memberText } from "../../lib/json-text.ts";
import { type SseEvent, SseSplitter } from "../../lib/sse.ts";
import type { ChatFrame, ChatFrames } from "../../providers/adapter.ts";
import { reportsFailure, viewParsed } from "./chunk.ts";
import { mendAnswer } from "./mend/answer.ts";
import type { MendOptions } from "./mend/message.ts";
import { type ChunkFrame, ChunkMender } from "./mend/stream.ts";

/** A whole answer in place of a stream is not longer. */
const MAX_WHOLE_LENGTH = 16 * 1024 * 1024;

/**
 * Mended frames, whatever the chunking. A provider that ignores `stream` and answers with one JSON document is read as
 * well: its answer is translated to a stream.
 */
export class FrameReader implements ChatFrames {
  readonly #decoder = new TextDecoder();
  readonly #splitter = new SseSplitter();
  readonly #mender: ChunkMender;
  readonly #options: MendOptions;
  #mode: "unknown" | "events" | "document" = "unknown";
  #document: string[] = [];
  #documentLength = 0;

  constructor(options: MendOptions) {
    this.#options = options;
    this.#mender = new ChunkMender(options);
  }

  /** What is held back is longer than any event, or than any answer that came as one document. */
  get isOverlong(): boolean {
    return this.#splitter.isOverlong || this.#documentLength > MAX_WHOLE_LENGTH;
  }

  /** The provider answers with one JSON document: it says nothing before its end. */
  get isDocument(): boolean {
    return this.#mode === "document";
  }

  push(bytes: Uint8Array): ChatFrame[] {
    return this.#read(this.#decoder.decode(bytes, { stream: true }));
  }

  /** The frames that only the end of the bytes completes. */
  end(): ChatFrame[] {
    const frames = this.#read(this.#decoder.decode());
    if (this.#mode === "document") return framesOfDocument(this.#document.join(""), this.#options);
    const last = this.#splitter.flush();
    return last === null ? frames : [...frames, ...this.#mended(last)];
  }

  #read(text: string): ChatFrame[] {
    if (this.#mode === "unknown") {
      const first = text.trimStart()[0];
      // No line of an event stream begins with a brace or a bracket.
      if (first !== undefined) this.#mode = first === "{" || first === "[" ? "document" : "events";
    }
    if (this.#mode === "document") {
      this.#document.push(text);
      this.#documentLength += text.length;
      return [];
    }
    const events = this.#splitter.push(text);
    const [only] = events;
    // Nearly always one read is one event.
    return only !== undefined && events.length === 1
      ? this.#mended(only)
      : events.flatMap((each) => this.#mended(each));
  }

  #mended({ raw, data }: SseEvent): ChatFrame[] {
    if (data === null) {
      const error = errorLine(raw);
      if (error !== null) return [{ raw: "", view: { kind: "error", chunk: error } }];
      // A block of other fields is an event to some clients, and an empty one.
      const comment = commentIn(raw);
      return comment === "" ? [] : [{ raw: comment, view: null }];
    }
    // The LF of a CRLF that two reads divide is the next event's: what ends its lines so is written with LF.
    const isPlain = raw.startsWith("data:") && !raw.includes("\r");
    if (!isPlain && /^event: ?error\r?$/m.test(raw))
      return [{ raw: "", view: { kind: "error", chunk: errorOf(data) } }];
    return this.#mender.push(data).map((frame) => ({
      raw: frame.isExact && isPlain ? raw : textOf(frame),
      view: frame.view,
    }));
  }
}

/** The comment that a block is, which keeps connections alive; `""` where it holds anything else, or nothing. */
function commentIn(raw: string): string {
  const lines = raw.split(/\r\n|\n|\r/).filter((line) => line !== "");
  return lines.length > 0 && lines.every((line) => line.startsWith(":")) ? `${lines.join("\n")}\n\n` : "";
}

/** llama.cpp writes an error as a field of its own: `error: {…}`. */
function errorLine(raw: string): Json | null {
  const line = raw.split(/\r\n|\n|\r/).find((each) => each.startsWith("error:"));
  return line === undefined ? null : errorOf(line.slice(6));
}

function errorOf(data: string): Json {
  const body = tryParseJson(data);
  return isJsonObject(body) ? body : { error: { message: data.trim() } };
}

function textOf({ data }: ChunkFrame): string {
  return `data: ${data.includes("\n") || data.includes("\r") ? data.split(/\r\n|\n|\r/).join("\ndata: ") : data}\n\n`;
}

/** A whole completion as the stream that was asked for; an error as an error; nothing for anything else. */
function framesOfDocument(text: string, options: MendOptions): ChatFrame[] {
  const parsed = tryParseJson(text);
  const body = Array.isArray(parsed) && parsed.length === 1 ? (parsed[0] as unknown) : parsed;
  if (!isJsonObject(body)) return [];
  if (reportsFailure(body)) return [{ raw: "", view: { kind: "error", chunk: body } }];
  if (body !== parsed || !Array.isArray(body["choices"])) return [];
  const mended = mendAnswer(text, body, options);
  const common = new JsonEdit(mended.text).set("object", "chat.completion.chunk").remove("usage").toString();
  const choices = elementTexts(memberText(mended.text, "choices") ?? "[]");
  const frames = choices.flatMap((choice, at) => {
    const parsedChoice = (mended.body["choices"] as readonly unknown[])[at];
    if (!isJsonObject(parsedChoice) || !isJsonObject(parsedChoice["message"])) return [];
    return [withChoices(common, deltaOf(choice, parsedChoice)), withChoices(common, endOf(parsedChoice))];
  });
  const usage = memberText(mended.text, "usage");
  if (usage?.startsWith("{") === true) {
    frames.push(new JsonEdit(common).setRaw("choices", "[]").setRaw("usage", usage).toString());
  }
  return [...frames.map(toFrame), { raw: "data: [DONE]\n\n", view: { kind: "done", chunk: {} } }];
}

function withChoices(common: string, choice: string): string {
  return new JsonEdit(common).setRaw("choices", `[${choice}]`).toString();
}

/** The whole message as one delta; in a delta every call has its index. */
function deltaOf(choice: string, parsed: Json): string {
  const edit = new JsonEdit(choice).set("finish_reason", null);
  const message = new JsonEdit(edit.raw("message") ?? "{}");
  const calls = message.raw("tool_calls");
  if (calls?.startsWith("[") === true) {
    message.setRaw(
      "tool_calls",
      editElements(calls, (call, index) => new JsonEdit(call).set("index", index).toString()),
    );
  }
  edit.remove("message").setRaw("delta", message.toString());
  if (parsed["index"] === undefined) edit.set("index", 0);
  return edit.toString();
}

function endOf({ index, finish_reason }: Json): string {
  return JSON.stringify({ index, delta: {}, finish_reason });
}

function toFrame(data: string): ChatFrame {
  const chunk = tryParseJson(data);
  return { raw: `data: ${data}\n\n`, view: viewParsed(isJsonObject(chunk) ? chunk : {}) };
}
