/** OpenAI's chat wire as clients speak it. */
import type { DoorWire } from "../wire.ts";
import { isPlainBody } from "./plain.ts";
import { readAnswer } from "./read-answer.ts";
import { readRequest } from "./read-request.ts";
import { ChatTailWatch } from "./stream/tail-watch.ts";
import { ChatStreamWriter } from "./stream/writer.ts";
import { writeAnswer } from "./write-answer.ts";

export const chatDoorWire: DoorWire = {
  id: "openai-chat",
  readRequest,
  writeAnswer,
  readBack: (_text, body) => readAnswer(body),
  isPlain: isPlainBody,
  openWriter: (context) => new ChatStreamWriter(context),
  openTail: (options) => new ChatTailWatch(options),
  failureEnd: "abnormal",
};
