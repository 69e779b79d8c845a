/** Watches a stream of this wire whose bytes move natively. */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../../../lib/json.ts";
import { type TailGrammar, TailWatch } from "../../tail-watch.ts";
import type { TailOptions } from "../../wire.ts";
import { rawUsageOf, readCounts, withLater } from "../usage.ts";
import { errorEvent, MESSAGE_STOP } from "./forward.ts";

const GRAMMAR: TailGrammar = {
  done: /"type":\s*"message_stop"/,
  finish: /"stop_reason":\s*"[^"]/,
  reasoning: /"thinking":\s*"[^"]/,
  hiddenReasoning: /"type":\s*"redacted_thinking"/,
  toolName: /"type":\s*"tool_use",[^{}]{0,300}?"name":\s*"([^"\\]{1,128})"/g,
  maybeError: /"type":\s*"error"/,
  errorIn(data) {
    const event = tryParseJson(data);
    return isJsonObject(event) && event["type"] === "error" ? "named" : null;
  },
  usageIn(data) {
    const event = tryParseJson(data);
    if (!isJsonObject(event)) return undefined;
    const { usage, message } = event;
    return usage ?? (isJsonObject(message) ? message["usage"] : undefined);
  },
  isEvent: (data) => isJsonObject(tryParseJson(data)),
};

const OPEN_STOP = /^event: message_stop\ndata: \{"type":"message_stop" *$/;

export class MessageTailWatch extends TailWatch {
  readonly #traceId: string;
  /** The first event has figures that the last one need not repeat. */
  readonly #first: Json;

  constructor(options: TailOptions) {
    super(GRAMMAR, options);
    this.#traceId = options.traceId;
    const line = options.text.split("\n").find((each) => each.startsWith("data:") && each.includes('"message_start"'));
    const usage = line === undefined ? undefined : GRAMMAR.usageIn(line.slice(5));
    this.#first = isJsonObject(usage) ? usage : {};
  }

  override usage(): unknown {
    const usage = withLater(this.#first, super.usage());
    const counts = readCounts(usage);
    return counts === null ? undefined : rawUsageOf(counts, usage);
  }

  closing(): string {
    if (this.tail.ending() !== "half") return this.tail.behind(MESSAGE_STOP);
    // Half of the very event that is missing is completed; behind half of another one nothing can be said.
    const rest = this.tail.rest();
    if (MESSAGE_STOP.startsWith(rest)) return MESSAGE_STOP.slice(rest.length);
    return OPEN_STOP.test(rest) ? "}\n\n" : "";
  }

  failing(message: string): string {
    return this.tail.error() === "named" ? "" : this.tail.after(errorEvent(message, this.#traceId));
  }
}
