/** The OpenAI Responses wire, with all four faces: clients speak it, and providers do. */

import { eventsOf } from "../../conversation/events.ts";
import type { DoorWire, UpstreamWire } from "../wire.ts";
import { WIRE } from "./items.ts";
import { readAnswer } from "./read-answer.ts";
import { readRequest } from "./read-request.ts";
import { ResponsesReader } from "./read-stream.ts";
import { writeRequest } from "./write-request.ts";
import { ResponseStream } from "./write-stream.ts";

export const responsesWire: UpstreamWire & DoorWire = {
  id: WIRE,
  readRequest,
  writeRequest,
  readAnswer,
  openReader: (context) => new ResponsesReader(context),
  writeAnswer(answer, context) {
    const whole = new ResponseStream(context, { isWhole: true });
    whole.write(eventsOf(answer));
    return whole.finished();
  },
  openWriter: (context) => new ResponseStream(context),
};
