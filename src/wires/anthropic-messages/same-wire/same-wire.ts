/** Answers of a provider that speaks Messages, for a client that does: they pass as they came. */
import type { Json } from "../../../conversation/part.ts";
import { SseItems } from "../../sse-items.ts";
import type { AnswerContext, ReadWhole, SameWire } from "../../wire.ts";
import { readAnswer } from "../read-answer.ts";
import { MessagesReader } from "../read-stream.ts";
import { MessageForwarder } from "./forward.ts";

export const sameWire: SameWire = {
  openItems: (context) => new SseItems(new MessagesReader(context, { mayPause: true })),
  openForwarder: (context) => new MessageForwarder(context),
  readWhole(text: string, body: Json, context: AnswerContext): ReadWhole {
    const read = readAnswer(text, body, context, true);
    return read.ok ? { ok: true, text, body, answer: read.answer } : read;
  },
};
