/**
 * ConverseStream's messages as chunks.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html. Text and reasoning blocks have
 * no start event, only deltas; a tool call has one. The finish comes with `messageStop`, the usage after it with
 * `metadata`. Exceptions are messages too, told apart by the header `:message-type`. The padding `p` is ignored.
 */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import type { AnswerContext, StreamPart, StreamTranslator } from "../../providers/adapter.ts";
import { ChunkWriter } from "../openai-chat/chat-wire.ts";
import {
  allowsOneCall,
  argumentsText,
  expectsAnswerTool,
  extrasOf,
  finishReasonOf,
  imageOf,
  isMalformed,
  isServerCall,
  reasoningDetail,
  redactedDetail,
  servedModelOf,
  tokenCountsOf,
} from "./answer.ts";
import { AwsEventStreamReader, type AwsMessage } from "./event-stream.ts";
import { ANSWER_TOOL } from "./tools.ts";

type Json = Readonly<Record<string, unknown>>;

/** An error body that came instead of a stream is JSON. No message begins so: it would be 2 GB long. */
const OPEN_BRACE = 0x7b;
const MAX_ERROR_BODY_LENGTH = 65_536;

/** A content block that was begun and has not ended. */
interface OpenBlock {
  /** `hidden`: a second call where one was allowed, or a call Amazon answers itself. */
  readonly kind: "plain" | "call" | "answer" | "hidden";
  /** Index of the call in the message. */
  readonly call: number;
  hasArguments: boolean;
  reasoning: string;
  signature: string;
  imageFormat: unknown;
}

export class BedrockStream implements StreamTranslator {
  readonly #reader = new AwsEventStreamReader();
  readonly #blocks: BlockTranslator;
  readonly #writer: ChunkWriter;
  readonly #decoder = new TextDecoder();
  /** `undefined` until the first byte; `null`: the bytes are messages. */
  #plainText: string | null | undefined;
  #isOver = false;
  #isFinished = false;
  #metadata: Json | null = null;
  #additional: Json = {};

  constructor(context: AnswerContext) {
    this.#writer = new ChunkWriter(context);
    this.#blocks = new BlockTranslator(this.#writer, context);
  }

  get isOverlong(): boolean {
    return this.#reader.fault === "too_long" || (this.#plainText?.length ?? 0) > MAX_ERROR_BODY_LENGTH;
  }

  push(bytes: Uint8Array): readonly StreamPart[] {
    if (bytes.length > 0 && this.#plainText === undefined) this.#plainText = bytes[0] === OPEN_BRACE ? "" : null;
    if (typeof this.#plainText === "string") {
      if (!this.isOverlong) this.#plainText += this.#decoder.decode(bytes, { stream: true });
      return [];
    }
    const parts: StreamPart[] = [];
    for (const message of this.#reader.push(bytes)) {
      if (!this.#isOver) parts.push(...this.#read(message));
    }
    const { fault } = this.#reader;
    if (fault !== null && !this.#isOver) {
      parts.push(this.#failed({ type: "eventStreamError", message: `The event stream is damaged (${fault}).` }));
    }
    return parts;
  }

  end(): readonly StreamPart[] {
    if (this.#isOver) return [];
    this.#isOver = true;
    if (typeof this.#plainText === "string") {
      const body = tryParseJson(this.#plainText);
      return isJsonObject(body) ? [{ error: body }] : [];
    }
    // Usage that came before the finish was held back; without a finish it has nothing to stand behind.
    return this.#isFinished ? this.#usage() : [];
  }

  #read(message: AwsMessage): StreamPart[] {
    const kind = message.headers.get(":message-type");
    const payload = tryParseJson(new TextDecoder().decode(message.payload));
    const body = isJsonObject(payload) ? payload : {};
    if (kind === "error") {
      const type = String(message.headers.get(":error-code"));
      return [this.#failed({ ...body, type, message: String(message.headers.get(":error-message") ?? "") })];
    }
    const name = String(message.headers.get(kind === "exception" ? ":exception-type" : ":event-type"));
    if (kind === "exception" || name.endsWith("Exception")) return [this.#failed({ ...body, type: name })];
    if (!isJsonObject(payload)) return [];
    switch (name) {
      case "contentBlockStart":
        return chunks(this.#blocks.start(body));
      case "contentBlockDelta":
        return chunks(this.#blocks.delta(body));
      case "contentBlockStop":
        return chunks(this.#blocks.stop(body["contentBlockIndex"]));
      case "messageStop":
        return this.#finish(body);
      case "metadata":
        this.#metadata = body;
        return this.#isFinished ? this.#usage() : [];
      default:
        return [];
    }
  }

  #finish(body: Json): StreamPart[] {
    if (this.#isFinished) return [];
    const parts = chunks(this.#blocks.end());
    const { stopReason } = body;
    if (isMalformed(stopReason)) {
      return [...parts, this.#failed({ type: stopReason, message: "The model's output could not be read." })];
    }
    if (isJsonObject(body["additionalModelResponseFields"])) {
      this.#additional = { additionalModelResponseFields: body["additionalModelResponseFields"] };
    }
    this.#isFinished = true;
    parts.push({ chunk: this.#writer.finish(finishReasonOf(stopReason, this.#blocks.callCount)) });
    return this.#metadata === null ? parts : [...parts, ...this.#usage()];
  }

  #usage(): StreamPart[] {
    const metadata = this.#metadata;
    const counts = metadata === null ? null : tokenCountsOf(metadata["usage"]);
    this.#metadata = null;
    if (metadata === null || counts === null) return [];
    this.#writer.model = servedModelOf(metadata["trace"]) ?? this.#writer.model;
    return [{ chunk: { ...this.#writer.usage(counts), ...extrasOf({ ...metadata, ...this.#additional }) } }];
  }

  #failed(error: Json): StreamPart {
    this.#isOver = true;
    return { error };
  }
}

const chunks = (all: readonly Json[]): StreamPart[] => all.map((chunk) => ({ chunk }));

class BlockTranslator {
  /** Calls the client has been shown. */
  callCount = 0;
  readonly #writer: ChunkWriter;
  readonly #oneCall: boolean;
  readonly #open = new Map<unknown, OpenBlock>();
  /** Text held back until it is known whether it is the answer or stands beside it; `null`: nothing is held. */
  #heldText: string | null;
  #hasAnswer = false;

  constructor(writer: ChunkWriter, context: AnswerContext) {
    this.#writer = writer;
    this.#oneCall = allowsOneCall(context.fields);
    this.#heldText = expectsAnswerTool(context) ? "" : null;
  }

  start({ contentBlockIndex: index, start }: Json): Json[] {
    const { toolUse, image } = isJsonObject(start) ? start : {};
    if (!isJsonObject(toolUse)) {
      const block = this.#begin(index, "plain");
      if (isJsonObject(image)) block.imageFormat = image["format"];
      return isJsonObject(start) && start["toolResult"] !== undefined ? [this.#extra(index, start)] : [];
    }
    if (toolUse["name"] === ANSWER_TOOL) {
      this.#begin(index, "answer");
      this.#hasAnswer = true;
      return this.#release("reasoning");
    }
    if (isServerCall(toolUse)) {
      this.#begin(index, "hidden");
      return [this.#extra(index, { toolUse })];
    }
    if (this.#oneCall && this.callCount > 0) {
      this.#begin(index, "hidden");
      return [];
    }
    this.#begin(index, "call", this.callCount);
    const call = { id: String(toolUse["toolUseId"]), name: String(toolUse["name"]) };
    return [this.#writer.callStart(this.callCount++, call)];
  }

  delta({ contentBlockIndex: index, delta }: Json): Json[] {
    if (!isJsonObject(delta)) return [];
    const { text, toolUse, reasoningContent, citation, image, ...rest } = delta;
    if (typeof text === "string") return this.#text(text);
    if (isJsonObject(toolUse)) return this.#arguments(index, toolUse["input"]);
    if (isJsonObject(reasoningContent)) return this.#reasoning(index, reasoningContent);
    if (citation !== undefined) return [this.#writer.delta({ citations: [citation] })];
    if (isJsonObject(image)) {
      const picture = imageOf(this.#open.get(index)?.imageFormat, image["source"]);
      return picture === null ? [] : [this.#writer.delta({ images: [picture] })];
    }
    return Object.keys(rest).length === 0 ? [] : [this.#extra(index, rest)];
  }

  stop(index: unknown): Json[] {
    const block = this.#open.get(index);
    if (block === undefined) return [];
    this.#open.delete(index);
    if (block.signature !== "") {
      return [this.#writer.delta({ reasoning_details: [reasoningDetail(block.reasoning, block.signature)] })];
    }
    if (block.hasArguments) return [];
    if (block.kind === "call") return [this.#writer.callArgs(block.call, "{}")];
    return block.kind === "answer" ? [this.#writer.text("{}")] : [];
  }

  /** Blocks that never ended, and text that turned out to be the answer. */
  end(): Json[] {
    return [...[...this.#open.keys()].flatMap((index) => this.stop(index)), ...this.#release("text")];
  }

  #begin(index: unknown, kind: OpenBlock["kind"], call = 0): OpenBlock {
    const block = { kind, call, hasArguments: false, reasoning: "", signature: "", imageFormat: undefined };
    this.#open.set(index, block);
    return block;
  }

  #text(text: string): Json[] {
    if (text === "") return [];
    if (this.#hasAnswer) return [this.#writer.reasoning(text)];
    if (this.#heldText === null) return [this.#writer.text(text)];
    this.#heldText += text;
    return [];
  }

  #release(as: "text" | "reasoning"): Json[] {
    const held = this.#heldText;
    this.#heldText = null;
    if (held === null || held === "") return [];
    return [as === "text" ? this.#writer.text(held) : this.#writer.reasoning(held)];
  }

  #arguments(index: unknown, input: unknown): Json[] {
    const block = this.#open.get(index);
    // Documented as a text; an object would be the arguments at once.
    const text = typeof input === "string" ? input : isJsonObject(input) ? argumentsText(input) : "";
    if (block === undefined || text === "") return [];
    block.hasArguments = true;
    if (block.kind === "answer") return [this.#writer.text(text)];
    if (block.kind === "hidden") return [];
    return block.kind === "call" ? [this.#writer.callArgs(block.call, text)] : [];
  }

  #reasoning(index: unknown, { text, signature, redactedContent }: Json): Json[] {
    const block = this.#open.get(index) ?? this.#begin(index, "plain");
    if (typeof signature === "string") block.signature += signature;
    if (typeof redactedContent === "string") {
      return [this.#writer.delta({ reasoning_details: [redactedDetail(redactedContent)] })];
    }
    if (typeof text !== "string" || text === "") return [];
    block.reasoning += text;
    return [this.#writer.reasoning(text)];
  }

  #extra(index: unknown, block: Json): Json {
    return this.#writer.delta({ bedrock_blocks: [{ index, ...block }] });
  }
}
