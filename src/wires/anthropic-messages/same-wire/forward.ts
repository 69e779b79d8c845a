/** The end of a stream of this wire whose events were forwarded as they came. */
import type { AnswerEvent } from "../../../conversation/answer.ts";
import type { Json } from "../../../conversation/part.ts";
import { JsonEdit } from "../../../lib/json.ts";
import { withData } from "../../sse-items.ts";
import type { AnswerContext, AnswerWriter } from "../../wire.ts";

export const MESSAGE_STOP = 'event: message_stop\ndata: {"type":"message_stop"}\n\n';

/** The last word on an answer that broke. */
export function errorEvent(message: string, traceId: string): string {
  const error = { type: "api_error", message, code: "stream_interrupted" };
  return `event: error\ndata: ${JSON.stringify({ type: "error", error, request_id: traceId })}\n\n`;
}

export class MessageForwarder implements AnswerWriter {
  readonly #traceId: string;
  /** The `message_delta` that says how the answer ended. */
  #closing = "";
  #hasCalls = false;
  #flow: Json | undefined;

  constructor({ traceId }: AnswerContext) {
    this.#traceId = traceId;
  }

  forward(raw: string, events: readonly AnswerEvent[]): string {
    this.#hasCalls ||= events.some(({ kind }) => kind === "call_start");
    return raw;
  }

  hold(raw: string): void {
    this.#closing = /"type":\s*"message_stop"/.test(raw) ? this.#unsaidEnd() : raw;
  }

  /** For a provider that ends without a word on how. */
  #unsaidEnd(): string {
    const delta = { stop_reason: this.#hasCalls ? "tool_use" : "end_turn", stop_sequence: null };
    const data = { type: "message_delta", delta, usage: { output_tokens: 0 } };
    return `event: message_delta\ndata: ${JSON.stringify(data)}\n\n`;
  }

  write(): string {
    return "";
  }

  skip(): void {}

  attach(flow: Json): void {
    this.#flow = flow;
  }

  end(flow: Json | undefined = this.#flow): string {
    const closing = flow === undefined ? this.#closing : withFlow(this.#closing, flow);
    return closing + MESSAGE_STOP;
  }

  fail(message: string): string {
    return errorEvent(message, this.#traceId);
  }
}

function withFlow(raw: string, flow: Json): string {
  return withData(raw, (data) => new JsonEdit(data).set("flow", flow).toString());
}
