/** The OpenAI Responses wire, with all four faces: clients speak it, and providers do. */

import type { Answer } from "../../conversation/answer.ts";
import { eventsOf } from "../../conversation/events.ts";
import type { Json } from "../../conversation/part.ts";
import type { AnswerContext, DoorWire, UpstreamWire } from "../wire.ts";
import { WIRE } from "./items.ts";
import { readAnswer } from "./read-answer.ts";
import { readRequest } from "./read-request.ts";
import { ResponsesReader } from "./read-stream.ts";
import { kept, sameWire } from "./same-wire/same-wire.ts";
import { ResponseTailWatch } from "./same-wire/tail-watch.ts";
import { writeRequest } from "./write-request.ts";
import { ResponseStream } from "./write-stream.ts";

/** The client's side. `members`: of the response, what the request decides; asked when an answer begins. */
export function responsesDoor(members: () => Json): DoorWire {
  return {
    id: WIRE,
    readRequest,
    writeAnswer(answer, context) {
      const whole = new ResponseStream(context, { isWhole: true, members: members() });
      whole.write(eventsOf(answer));
      return whole.finished();
    },
    readBack(text, body) {
      const read = readAnswer(text, body, NO_CONTEXT);
      return read.ok ? read.answer : NO_ANSWER;
    },
    // What leaves a gate is written from what was read.
    isPlain: () => false,
    openWriter: (context) => new ResponseStream(context, { members: members() }),
    openTail: (options) => new ResponseTailWatch(options),
    sameWire: sameWire(members),
    kept,
    failureEnd: "normal",
  };
}

const NO_MEMBERS: Json = {};

export const responsesWire: UpstreamWire & DoorWire = {
  ...responsesDoor(() => NO_MEMBERS),
  writeRequest,
  readAnswer,
  openReader: (context) => new ResponsesReader(context),
};

/** For an answer that can be read without its request. */
const NO_CONTEXT: AnswerContext = { model: "", provider: "", traceId: "", createdAt: 0, conversation: null };
const NO_ANSWER: Answer = { id: undefined, model: undefined, choices: [], usage: null, rawUsage: undefined };
