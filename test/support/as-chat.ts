/** What a chat client reads of a provider of another wire: its answers read to the core, and written by the chat door. */
import type { AnswerEvent } from "../../src/conversation/answer.ts";
import { isJsonObject } from "../../src/lib/json.ts";
import type { AnswerContext, TranslatedAnswer, Translation } from "../../src/providers/adapter.ts";
import { writeAnswer } from "../../src/wires/openai-chat/write-answer.ts";
import { ChunkStream } from "../../src/wires/openai-chat/write-stream.ts";

/** One `chat.completion.chunk`, or the provider's own error body. */
export type StreamPart = { readonly chunk: Readonly<Record<string, unknown>> } | { readonly error: unknown };

export interface ChatStream {
  push(bytes: Uint8Array): readonly StreamPart[];
  end(): readonly StreamPart[];
  readonly isOverlong: boolean;
}

export interface AsChat {
  readonly toCompletion: (body: unknown, context: AnswerContext, text?: string) => TranslatedAnswer;
  readonly openStream: (context: AnswerContext) => ChatStream;
}

/** Throws for a provider that speaks chat itself. */
export function asChat(translation: Translation | undefined): AsChat {
  const { readAnswer, openReader } = translation ?? {};
  if (readAnswer === undefined || openReader === undefined) throw new Error("This provider speaks chat itself.");
  return {
    toCompletion(body, context, text) {
      const read = readAnswer(text ?? JSON.stringify(body), body, context);
      if (!read.ok) return { ok: false, failure: read.failure, usage: read.rawUsage };
      return { ok: true, completion: writeAnswer(read.answer, { ...context, provider: "", conversation: null }) };
    },
    openStream(context) {
      const reader = openReader(context);
      const chunks = new ChunkStream({ ...context, provider: "", conversation: null });
      const partsOf = (events: readonly AnswerEvent[]): StreamPart[] =>
        events.flatMap((event): StreamPart[] => {
          if (event.kind !== "error") return chunks.write(event).map((chunk) => ({ chunk }));
          return [{ error: isJsonObject(event.body) ? event.body : { error: event.body } }];
        });
      return {
        push: (bytes) => partsOf(reader.push(bytes)),
        end: () => partsOf(reader.end()),
        get isOverlong() {
          return reader.isOverlong;
        },
      };
    },
  };
}
