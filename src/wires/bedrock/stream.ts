/**
 * ConverseStream's messages as events.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html. The finish comes with
 * `messageStop`, the usage after it with `metadata`. Exceptions are messages too, recognised by the header
 * `:message-type`. The padding `p` is ignored.
 */
import type { AnswerEvent } from "../../conversation/answer.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, isTooDeep, tryParseJson } from "../../lib/json.ts";
import type { AnswerContext, AnswerReader } from "../wire.ts";
import { chatUsageOf, extrasOf, finishReasonOf, servedModelOf, tokenCountsOf } from "./ends.ts";
import { AwsEventStreamReader, type AwsMessage } from "./event-stream.ts";
import { BlockReader } from "./stream-blocks.ts";

/** An error body that came instead of a stream is JSON. No message begins so: it would be 2 GB long. */
const OPEN_BRACE = 0x7b;
const MAX_ERROR_BODY_LENGTH = 65_536;

export class ConverseReader implements AnswerReader {
  readonly #reader = new AwsEventStreamReader();
  readonly #blocks: BlockReader;
  readonly #decoder = new TextDecoder();
  /** `undefined` until the first byte; `null`: the bytes are messages. */
  #plainText: string | null | undefined;
  #isOver = false;
  #isFinished = false;
  /** How the answer broke, until its usage is known: it is billed all the same. */
  #broken: Json | null = null;
  #metadata: Json | null = null;
  #additional: Json = {};

  constructor(context: AnswerContext) {
    this.#blocks = new BlockReader(context);
  }

  get isOverlong(): boolean {
    return this.#reader.fault === "too_long" || (this.#plainText?.length ?? 0) > MAX_ERROR_BODY_LENGTH;
  }

  push(bytes: Uint8Array): readonly AnswerEvent[] {
    if (this.#isOver || bytes.length === 0) return [];
    if (this.#plainText === undefined) this.#plainText = bytes[0] === OPEN_BRACE ? "" : null;
    if (this.#plainText !== null) {
      if (!this.isOverlong) this.#plainText += this.#decoder.decode(bytes, { stream: true });
      return [];
    }
    const events: AnswerEvent[] = [];
    for (const message of this.#reader.push(bytes)) {
      if (!this.#isOver) events.push(...this.#read(message));
    }
    const { fault } = this.#reader;
    if (fault !== null && !this.#isOver) {
      events.push(this.#failed({ type: "eventStreamError", message: `The event stream is damaged (${fault}).` }));
    }
    return events;
  }

  end(): readonly AnswerEvent[] {
    if (this.#isOver) return [];
    this.#isOver = true;
    if (typeof this.#plainText === "string") {
      const body = tryParseJson(this.#plainText);
      return isJsonObject(body) ? [{ kind: "error", body }] : [];
    }
    if (this.#broken !== null) return [this.#failed(this.#broken)];
    // Usage that came before the finish was held back; without a finish it has nothing to stand behind.
    return this.#isFinished ? this.#usage() : [];
  }

  #read(message: AwsMessage): AnswerEvent[] {
    const kind = message.headers.get(":message-type");
    const payload = tryParseJson(new TextDecoder().decode(message.payload));
    const body = isJsonObject(payload) ? payload : {};
    if (kind === "error") {
      const type = String(message.headers.get(":error-code"));
      return [this.#failed({ ...body, type, message: String(message.headers.get(":error-message") ?? "") })];
    }
    const name = String(message.headers.get(kind === "exception" ? ":exception-type" : ":event-type"));
    if (kind === "exception" || name.endsWith("Exception")) return [this.#failed({ ...body, type: name })];
    if (!isJsonObject(payload) || (this.#broken !== null && name !== "metadata")) return [];
    switch (name) {
      case "contentBlockStart":
        return this.#blocks.start(body);
      case "contentBlockDelta":
        return this.#blocks.delta(body);
      case "contentBlockStop":
        return this.#blocks.stop(body["contentBlockIndex"]);
      case "messageStop":
        return this.#finish(body);
      case "metadata":
        this.#metadata = body;
        if (this.#broken !== null) return [...this.#usage(), this.#failed(this.#broken)];
        return this.#isFinished ? this.#usage() : [];
      default:
        return [];
    }
  }

  #finish(body: Json): AnswerEvent[] {
    if (this.#isFinished) return [];
    const events = this.#blocks.end();
    const { stopReason } = body;
    const reason = finishReasonOf(stopReason, this.#blocks.callCount);
    if (reason === undefined) {
      this.#broken = brokenEnd(stopReason);
      return this.#metadata === null ? events : [...events, ...this.#usage(), this.#failed(this.#broken)];
    }
    if (isJsonObject(body["additionalModelResponseFields"])) {
      this.#additional = { additionalModelResponseFields: body["additionalModelResponseFields"] };
    }
    this.#isFinished = true;
    events.push({ kind: "finish", choice: 0, finish: { reason, native: String(stopReason) } });
    return this.#metadata === null ? events : [...events, ...this.#usage()];
  }

  #usage(): AnswerEvent[] {
    const metadata = this.#metadata;
    const counts = metadata === null ? null : tokenCountsOf(metadata["usage"]);
    this.#metadata = null;
    if (metadata === null || counts === null) return [];
    const model = servedModelOf(metadata["trace"]);
    const extras = extrasOf({ ...metadata, ...this.#additional });
    const members = { ...(model === undefined ? {} : { model }), ...(isTooDeep(extras) ? {} : extras) };
    return [
      { kind: "extra", choice: null, members },
      { kind: "usage", counts, raw: chatUsageOf(counts, extras) },
    ];
  }

  #failed(body: Json): AnswerEvent {
    this.#isOver = true;
    return { kind: "error", body };
  }
}

/** Its `type` is one that `classifyConverse` knows. */
function brokenEnd(stopReason: unknown): Json {
  const isNamed = typeof stopReason === "string" && /^malformed_\w{1,40}$/.test(stopReason);
  return isNamed
    ? { type: stopReason, message: "The model's output could not be read." }
    : { type: "malformed_stop_reason", message: "The answer ended without a stop reason that is known." };
}
