/**
 * `AnswerEvent`s as the complete event protocol of the Responses API.
 *
 * Sequence numbers begin at 0 and have no gaps, every item keeps the id and the index of its first event, and the last
 * snapshot is what the deltas add up to. A message or thought is closed before the next item begins; calls may be open
 * side by side, as their arguments may be.
 * https://developers.openai.com/api/reference/resources/responses/streaming-events
 */
import type { AnswerEvent, Finish } from "../../conversation/answer.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import type { TokenCounts } from "../../conversation/usage.ts";
import type { AnswerContext, AnswerWriter } from "../wire.ts";
import { textOf } from "./items.ts";
import { responseHead, responseId } from "./response.ts";
import { writeUsage } from "./usage.ts";
import { OutputItems } from "./write-output.ts";

/** The only choice there is. */
const CHOICE = 0;

export interface ResponseOptions {
  /** Members of the response that the door decides: `previous_response_id`, `store`. */
  readonly members?: Json | undefined;
  /** Only the response at its end is wanted, and no event. */
  readonly isWhole?: boolean | undefined;
}

export class ResponseStream implements AnswerWriter {
  readonly #context: AnswerContext;
  readonly #members: Json;
  readonly #output: OutputItems;
  readonly #isWhole: boolean;
  #pieces: string[] = [];
  #sequence = 0;
  #head: Json | null = null;
  #finish: Finish | undefined;
  #usage: TokenCounts | null = null;
  #tier: string | undefined;
  #id: string | undefined;
  #model: string | undefined;
  #endedAt: number | undefined;
  #flow: Json | undefined;

  constructor(context: AnswerContext, { members = {}, isWhole = false }: ResponseOptions = {}) {
    this.#context = context;
    this.#isWhole = isWhole;
    this.#members = members;
    this.#output = new OutputItems(context, (type, event) => this.#emit(type, event));
  }

  write(events: readonly AnswerEvent[]): string {
    for (const event of events) this.#write(event);
    return this.#take();
  }

  skip(events: readonly AnswerEvent[]): void {
    this.write(events);
  }

  attach(flow: Json): void {
    this.#flow = flow;
  }

  /** The response at its end, without `flow`: what is stored of it. Closes what is open. */
  finished(members: Json = {}): Json {
    this.#begin();
    this.#output.close();
    return this.#response(members);
  }

  /** `members`: further members that are known only now, such as `store`. */
  end(flow: Json | undefined = this.#flow, members: Json = {}): string {
    const response = this.finished(members);
    const type = response["status"] === "incomplete" ? "response.incomplete" : "response.completed";
    this.#emit(type, { response: { ...response, ...(flow === undefined ? {} : { flow }) } });
    return `${this.#take()}data: [DONE]\n\n`;
  }

  /** What was open stays open: the last event shows it as incomplete. */
  fail(message: string, flow: Json = {}): string {
    this.#begin();
    const response = {
      ...this.#head,
      ...this.#members,
      status: "failed",
      error: { code: "server_error", message },
      output: this.#output.snapshot("incomplete"),
      usage: this.#usage === null ? null : writeUsage(this.#usage),
      flow: { ...this.#flow, ...flow, code: "stream_interrupted" },
    };
    this.#emit("response.failed", { response });
    return `${this.#take()}data: [DONE]\n\n`;
  }

  #write(event: AnswerEvent): void {
    if ("choice" in event && event.choice !== null && event.choice !== CHOICE) return;
    switch (event.kind) {
      case "start":
        this.#id ??= event.id;
        this.#model ??= event.model;
        return;
      case "finish":
        this.#finish = event.finish;
        return;
      case "usage":
        this.#usage = event.counts;
        return;
      case "extra":
        if (event.choice === null) this.#tier = textOf(event.members["service_tier"]) ?? this.#tier;
        return;
      case "error":
        return;
      case "text":
      case "reasoning":
      case "bound":
      case "refusal":
      case "call_start":
      case "call_args":
      case "call_end":
      case "block":
      case "citation":
      case "media":
        this.#begin();
        this.#output.write(event);
        return;
      default:
        unreachable(event);
    }
  }

  #begin(): void {
    if (this.#head !== null) return;
    const { model, traceId } = this.#context;
    this.#head = responseHead(responseId(this.#id, traceId), this.#model ?? model, this.#context);
    const response = { ...this.#head, ...this.#members };
    this.#emit("response.created", { response });
    this.#emit("response.in_progress", { response });
  }

  #response(members: Json): Json {
    const { reason } = this.#finish ?? { reason: "stop" };
    const isWhole = reason === "stop" || reason === "tool_calls";
    const why = reason === "length" ? "max_output_tokens" : reason;
    return {
      ...this.#head,
      ...this.#members,
      status: isWhole ? "completed" : "incomplete",
      completed_at: isWhole ? this.#completedAt() : null,
      incomplete_details: isWhole ? null : { reason: why },
      output: this.#output.snapshot(),
      ...(this.#tier === undefined ? {} : { service_tier: this.#tier }),
      usage: this.#usage === null ? null : writeUsage(this.#usage),
      ...members,
    };
  }

  #completedAt(): number {
    this.#endedAt ??= Math.max(this.#context.createdAt, Math.floor(Date.now() / 1000));
    return this.#endedAt;
  }

  #emit(type: string, members: Json): void {
    if (this.#isWhole) return;
    const data = JSON.stringify({ type, sequence_number: this.#sequence++, ...members });
    this.#pieces.push(`event: ${type}\ndata: ${data}\n\n`);
  }

  #take(): string {
    const text = this.#pieces.join("");
    this.#pieces = [];
    return text;
  }
}
