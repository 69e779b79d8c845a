/** Google's `generateContent` and its stream: a wire that providers speak and clients do not. */
import type { UpstreamWire } from "../wire.ts";
import { readAnswer } from "./read-answer.ts";
import { GeminiStreamReader } from "./read-stream.ts";
import { writeRequest } from "./write-request.ts";

export const geminiWire: UpstreamWire = {
  id: "gemini",
  writeRequest,
  readAnswer,
  openReader: (context) => new GeminiStreamReader(context),
};
