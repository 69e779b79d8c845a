/** The Anthropic Messages wire, upstream side. https://platform.claude.com/docs/en/api/messages */
import type { UpstreamWire } from "../wire.ts";
import { readAnswer } from "./read-answer.ts";
import { MessagesReader } from "./read-stream.ts";
import { writeRequest } from "./write-request.ts";

export const anthropicMessages: UpstreamWire = {
  id: "anthropic-messages",
  writeRequest,
  readAnswer,
  openReader: (context) => new MessagesReader(context),
};
