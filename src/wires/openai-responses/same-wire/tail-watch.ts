/** Watches a Responses stream whose bytes move natively. */
import { isJsonObject, tryParseJson } from "../../../lib/json.ts";
import { dataOf } from "../../sse-items.ts";
import { type TailGrammar, TailWatch } from "../../tail-watch.ts";
import type { AnswerContext, TailOptions } from "../../wire.ts";
import { readUsage } from "../usage.ts";
import { failedEvent } from "./forward.ts";
import { outputOf } from "./snapshot.ts";

const END = /"type":\s*"response\.(?:completed|incomplete)"/;
const ERRORS: ReadonlySet<unknown> = new Set(["error", "response.failed", "response.cancelled"]);

const GRAMMAR: TailGrammar = {
  done: END,
  finish: END,
  reasoning: /"type":\s*"response\.reasoning_text\.delta"/,
  hiddenReasoning: /"type":\s*"(?:response\.reasoning_summary_text\.delta|reasoning)"/,
  toolName: /response\.output_item\.added"[^{}]{0,200}\{[^{}]{0,400}?"name":\s*"([^"\\]{1,128})"/g,
  maybeError: /"type":\s*"(?:error|response\.failed|response\.cancelled)"/,
  errorIn(data) {
    const event = tryParseJson(data);
    return isJsonObject(event) && ERRORS.has(event["type"]) ? "named" : null;
  },
  usageIn(data) {
    const event = tryParseJson(data);
    const response = isJsonObject(event) ? event["response"] : undefined;
    return isJsonObject(response) ? readUsage(response)?.raw : undefined;
  },
  // Closing events repeat what their deltas brought.
  outputMark: '.delta"',
  isEvent: (data) => data.trim() === "[DONE]" || isJsonObject(tryParseJson(data)),
};

/** The protocol's own last word on a response that broke. Clients go on reading behind an `error` event. */
const FAILED = /"type":\s*"response\.(?:failed|cancelled)"/;
const SEQUENCE = /"sequence_number":\s*(\d{1,9})/g;

/** A longer answer is not kept to be repeated should it break. In characters. */
const MAX_KEPT_LENGTH = 262_144;

export class ResponseTailWatch extends TailWatch {
  readonly #traceId: string;
  readonly #first: string;
  /** All that came; `null` once it is too long. */
  #text: string | null;

  constructor(options: TailOptions) {
    super(GRAMMAR, options);
    this.#traceId = options.traceId;
    this.#first = options.text.split(/\n\n|\r\n\r\n/, 1)[0] ?? "";
    this.#text = options.text;
  }

  override add(text: string, bytes: number): void {
    super.add(text, bytes);
    if (this.#text === null) return;
    this.#text = this.#text.length + text.length > MAX_KEPT_LENGTH ? null : this.#text + text;
  }

  /** The last event is the end: nothing is missing behind it. */
  closing(): string {
    return "";
  }

  failing(message: string): string {
    if (this.tail.error() !== null && FAILED.test(this.tail.evidence())) return "";
    const event = tryParseJson(dataOf(`${this.#first}\n\n`));
    const head = isJsonObject(event) && isJsonObject(event["response"]) ? event["response"] : {};
    const last = [...this.tail.evidence().matchAll(SEQUENCE)].at(-1)?.[1];
    const sequence = last === undefined ? 0 : Number(last) + 1;
    const context: AnswerContext = {
      model: "",
      provider: "",
      traceId: this.#traceId,
      createdAt: 0,
      conversation: null,
    };
    return this.tail.after(
      failedEvent(
        context,
        head,
        { message, sequence, output: outputOf(this.#text ?? "") },
        { trace_id: this.#traceId },
      ),
    );
  }
}
