/** `AnswerEvent`s as the text of a stream in OpenAI's protocol, its ends included. */
import type { AnswerEvent } from "../../../conversation/answer.ts";
import type { Json } from "../../../conversation/part.ts";
import type { AnswerContext, AnswerWriter } from "../../wire.ts";
import { ChunkStream } from "../write-stream.ts";
import { failureEvent } from "./tail-watch.ts";

export class ChatStreamWriter implements AnswerWriter {
  readonly #chunks: ChunkStream;

  constructor(context: AnswerContext) {
    this.#chunks = new ChunkStream(context);
  }

  write(events: readonly AnswerEvent[]): string {
    let text = "";
    for (const event of events) {
      for (const chunk of this.#chunks.write(event)) text += `data: ${JSON.stringify(chunk)}\n\n`;
    }
    return text;
  }

  skip(events: readonly AnswerEvent[], raw: string): void {
    for (const event of events) this.#chunks.skip(event, raw);
  }

  attach(flow: Json): void {
    this.#chunks.flow = flow;
  }

  report(usage: Json, flow: Json): string {
    return `data: ${JSON.stringify(this.#chunks.report(usage, flow))}\n\n`;
  }

  end(): string {
    return "data: [DONE]\n\n";
  }

  fail(message: string): string {
    return failureEvent(this.#chunks.id, message);
  }
}
