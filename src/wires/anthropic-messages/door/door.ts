/** The Anthropic Messages wire, client side. */
import type { DoorWire } from "../../wire.ts";
import { readRequest } from "./read-request.ts";
import { writeAnswer } from "./write-answer.ts";
import { MessageStream } from "./write-stream.ts";

export const messagesDoor: DoorWire = {
  id: "anthropic-messages",
  readRequest,
  writeAnswer,
  // Usage is part of every stream of this wire.
  openWriter: (context) => new MessageStream(context),
};
