/** The Anthropic Messages wire, client side. */
import type { Answer } from "../../../conversation/answer.ts";
import type { AnswerContext, DoorWire } from "../../wire.ts";
import { readAnswer } from "../read-answer.ts";
import { sameWire } from "../same-wire/same-wire.ts";
import { MessageTailWatch } from "../same-wire/tail-watch.ts";
import { readRequest } from "./read-request.ts";
import { hasUnreadableArguments, writeAnswer } from "./write-answer.ts";
import { MessageStream } from "./write-stream.ts";

export const messagesDoor: DoorWire = {
  id: "anthropic-messages",
  readRequest,
  writeAnswer,
  isUnwritable: hasUnreadableArguments,
  // Usage is part of every stream of this wire.
  openWriter: (context) => new MessageStream(context),
  readBack(text, body) {
    const read = readAnswer(text, body, NO_CONTEXT, true);
    return read.ok ? read.answer : NO_ANSWER;
  },
  // What leaves a gate is written from what was read.
  isPlain: () => false,
  openTail: (options) => new MessageTailWatch(options),
  openHeaders: "anthropic-",
  sameWire,
  failureEnd: "abnormal",
};

/** For an answer that can be read without its request. */
const NO_CONTEXT: AnswerContext = { model: "", provider: "", traceId: "", createdAt: 0, conversation: null };
const NO_ANSWER: Answer = { id: undefined, model: undefined, choices: [], usage: null, rawUsage: undefined };
