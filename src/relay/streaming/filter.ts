/** What passes of a stream that is read event by event, and what the router learns from it. */
import { calledTools } from "../../approvals/calls.ts";
import { StreamGate } from "../../approvals/stream-gate.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { FailureClass } from "../../traces/schema.ts";
import { isFinishReason, outputOf, usageOf } from "../../wires/openai-chat/chunk.ts";
import type { Received } from "../received.ts";
import type { StreamEvent, StreamOptions } from "../types.ts";
import { CatchUp, type SentText } from "./resume.ts";

type Chunk = Readonly<Record<string, unknown>>;

export class EventFilter {
  readonly toolNames: string[] = [];
  /** The id of the upstream's chunks. */
  id: string | null = null;
  error: FailureClass | null = null;
  isOver = false;
  /** A resumed stream says something else than the client already has. */
  differs = false;
  /** The client has something of this answer. */
  hasReachedClient: boolean;
  readonly #options: StreamOptions;
  readonly #received: Received;
  /** Where tool calls need approval: keeps them back. */
  readonly gate: StreamGate | null;
  /** Notes what the client gets; `null` where no stream is ever resumed. */
  readonly #sent: SentText | null;
  /** Of a resumed stream. */
  readonly #catchUp: CatchUp | null;
  #earlyUsage: StreamEvent | null = null;
  readonly #begun = new Set<unknown>();
  readonly #finished = new Set<unknown>();

  constructor(options: StreamOptions, received: Received, sent: SentText | null, resumedId: string | null) {
    this.#options = options;
    this.#received = received;
    this.gate = options.gate === null ? null : new StreamGate();
    this.#sent = sent;
    this.#catchUp = sent === null || resumedId === null ? null : new CatchUp(sent, resumedId);
    this.id = resumedId;
    this.hasReachedClient = this.#catchUp === null;
  }

  /** The text to forward for `events`. */
  pass(events: readonly StreamEvent[]): string {
    let text = "";
    for (const event of events) {
      if (this.isOver) break;
      text += this.#passOne(event);
    }
    return text;
  }

  #passOne(event: StreamEvent): string {
    if (event.view === null) return event.raw;
    const { kind, chunk } = event.view;
    if (kind === "malformed") return "";
    if (kind === "done") {
      this.isOver = true;
      return "";
    }
    if (kind === "error") {
      this.isOver = true;
      this.error = "server_error";
      return "";
    }
    // Azure's first chunk has an empty one.
    if (typeof chunk["id"] === "string" && chunk["id"] !== "") this.id ??= chunk["id"];
    if (kind === "content") this.#count(chunk);
    this.#received.noteUsage(usageOf(chunk));
    if (kind !== "usage") return this.#passChunk(event, chunk, kind === "content");
    return this.#options.includeUsage ? this.#passUsage(event, chunk) : "";
  }

  #passUsage(event: StreamEvent, chunk: Chunk): string {
    // Of an answer that may yet be resumed, the client gets the usage of the target that ends it.
    if (this.#sent !== null && !this.isFinished()) this.#earlyUsage = event;
    else if (this.gate?.isHolding === true) this.gate.keepUsage(chunk, event.raw);
    else return this.#passChunk(event, chunk, false);
    return "";
  }

  #passChunk({ raw }: StreamEvent, chunk: Chunk, hasContent: boolean): string {
    const fresh = this.#catchUp === null ? chunk : this.#catchUp.rest(chunk);
    if (fresh === "differs") {
      this.isOver = true;
      this.differs = true;
      return "";
    }
    if (fresh === null) return "";
    this.#noteChoices(fresh);
    const own = fresh === chunk ? raw : `data: ${JSON.stringify(fresh)}\n\n`;
    const kept = this.gate === null ? fresh : this.gate.pass(fresh, own);
    if (hasContent && kept !== null) this.hasReachedClient = true;
    if (kept !== null) this.#sent?.note(kept);
    const text = kept === null ? "" : kept === fresh ? own : `data: ${JSON.stringify(kept)}\n\n`;
    const usage = this.#earlyUsage;
    if (usage === null || !this.isFinished()) return text;
    this.#earlyUsage = null;
    return text + this.#passOne(usage);
  }

  #count(chunk: Chunk): void {
    for (const { kind, text } of outputOf(chunk)) {
      this.#received.add(kind, text);
      if (kind === "reasoning") this.#received.showsReasoning = true;
    }
  }

  #noteChoices(chunk: Chunk): void {
    const choices = Array.isArray(chunk["choices"]) ? chunk["choices"] : [];
    for (const choice of choices) {
      if (!isJsonObject(choice)) continue;
      const delta = choice["delta"];
      if (isJsonObject(delta) && (delta["tool_calls"] !== undefined || delta["function_call"] !== undefined)) {
        this.toolNames.push(...calledTools(delta));
      }
      this.#begun.add(choice["index"]);
      if (isFinishReason(choice["finish_reason"])) this.#finished.add(choice["index"]);
    }
  }

  /** Every choice that was begun has a finish reason. A stream without one was cut, whatever its socket says. */
  isFinished(): boolean {
    return this.#finished.size > 0 && this.#finished.size === this.#begun.size;
  }

  interruption(): string {
    if (this.differs) return "The provider's stream broke, and the next one answered differently.";
    return this.error === null
      ? "The provider's stream ended before the answer was complete."
      : "The provider reported an error in the middle of its answer.";
  }
}
