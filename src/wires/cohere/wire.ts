/** Cohere's Chat API, version 2, behind the core (https://docs.cohere.com/reference/chat). */
import type { UpstreamWire } from "../wire.ts";
import { readAnswer } from "./answer.ts";
import { writeRequest } from "./request.ts";
import { CohereReader } from "./stream.ts";

export const cohereWire: UpstreamWire = {
  id: "cohere",
  writeRequest,
  readAnswer,
  openReader: (context) => new CohereReader(context),
};
