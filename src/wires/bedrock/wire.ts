/** Amazon Bedrock's Converse and ConverseStream behind the core. */
import type { UpstreamWire } from "../wire.ts";
import { readAnswer } from "./answer.ts";
import { writeRequest } from "./request.ts";
import { ConverseReader } from "./stream.ts";

export const bedrockWire: UpstreamWire = {
  id: "bedrock",
  writeRequest,
  readAnswer,
  openReader: (context) => new ConverseReader(context),
};
