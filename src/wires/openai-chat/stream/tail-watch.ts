/** Watches a stream in OpenAI's protocol whose bytes move natively, and says whether it would have needed mending. */
import { tryParseJson } from "../../../lib/json.ts";
import { type TailGrammar, TailWatch } from "../../tail-watch.ts";
import type { TailOptions } from "../../wire.ts";
import { hasError, usageOf, viewChunk } from "../chunk.ts";
import { CleanWatch } from "./clean-watch.ts";

const GRAMMAR: TailGrammar = {
  done: /^data: ?\[DONE\]/m,
  finish: /"finish_reason":\s*"[^"]/,
  reasoning: /"reasoning(?:_content)?":\s*"[^"]/,
  toolName: /"function":\s*\{\s*"name":\s*"([^"\\]{1,128})"/g,
  maybeError: /"error":\s*(?:\{|"[^"])|"finish_reason":\s*"error"/,
  // Azure's filter results and others have an `error` of their own inside a good chunk.
  errorIn(data) {
    const { kind, chunk } = viewChunk(data);
    if (kind !== "error") return null;
    return hasError(chunk) ? "named" : "finish reason";
  },
  usageIn: (data) => usageOf(tryParseJson(data)),
  isEvent: (data) => viewChunk(data).kind !== "malformed",
};

export class ChatTailWatch extends TailWatch {
  readonly #clean = new CleanWatch();
  readonly #traceId: string;

  constructor(options: TailOptions) {
    super(GRAMMAR, options);
    this.#traceId = options.traceId;
    this.#clean.add(options.text);
  }

  override get isUnclean(): boolean {
    return this.#clean.isUnclean || super.isUnclean;
  }

  override add(text: string, bytes: number): void {
    this.#clean.add(text);
    super.add(text, bytes);
  }

  // Behind half an event nothing is appended to a finished answer: its bare end reads as success, `[DONE]` would not.
  closing(): string {
    return this.tail.behind("data: [DONE]\n\n");
  }

  /** Readers stop at `[DONE]`, with or without its empty line. */
  override lastLine(): string {
    return "";
  }

  failing(message: string): string {
    // Clients raise on it, and it has reached them as it came.
    return this.tail.error() === "named" ? "" : this.tail.after(failureEvent(this.#traceId, message));
  }
}

/**
 * The last event of a stream that broke after its first byte: the OpenAI SDKs raise on it. go-openai looks for `error`
 * at the very beginning of the object: `^data:\s*{"error":`.
 */
export function failureEvent(id: string, message: string): string {
  const error = { message, type: "upstream_error", code: "stream_interrupted", param: null };
  const choices = [{ index: 0, delta: {}, finish_reason: "error" }];
  return `data: ${JSON.stringify({ error, id, object: "chat.completion.chunk", choices })}\n\n`;
}
