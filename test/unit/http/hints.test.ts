import { expect, test } from "vitest";
import { hintFor, notFoundMessage } from "../../../src/http/hints.ts";

test.each([
  { path: "/v1/v1/chat/completions", says: "`/v1` twice" },
  { path: "//v1/chat/completions", says: "two slashes" },
  { path: "/v1//chat/completions", says: "two slashes" },
  { path: "/V1/chat/completions", says: "lower case" },
  { path: "/chat/completions", says: "must end in `/v1`" },
  { path: "/models", says: "must end in `/v1`" },
  { path: "/embeddings", says: "must end in `/v1`" },
  { path: "/openai/v1/completions", says: "`is_chat_model=True`" },
  { path: "/openai/deployments/x/images/generations", says: "/openai/deployments/{model}/chat/completions" },
  { path: "/v1/chat/completions/", says: "slash off the end" },
  { path: "/v1/completions", says: "`is_chat_model=True`" },
  { path: "/v1/responses/resp_1/cancel", says: "Responses API" },
  { path: "/v1/messages/batches", says: "Messages API" },
  { path: "/v1/conversations", says: "`previous_response_id`" },
  { path: "/v1/complete", says: "POST /v1/messages" },
  { path: "/v1/images/generations", says: "Images" },
  { path: "/v1/audio/transcriptions", says: "input_audio" },
  { path: "/v1/moderations", says: "Moderation" },
  { path: "/v1/files", says: "Files" },
  { path: "/v1/batches", says: "Batches" },
  { path: "/v1/rerank", says: "Reranking" },
  { path: "/v1/fine_tuning/jobs", says: "Fine-tuning" },
  { path: "/v1/assistants", says: "Assistants" },
  { path: "/v1/threads/x", says: "Threads" },
  { path: "/v1/realtime", says: "Realtime" },
  { path: "/v1/constructor", says: "POST /v1/chat/completions" },
  { path: "/v1", says: "POST /v1/chat/completions" },
  { path: "/", says: "POST /v1/chat/completions" },
])("$path: $says", ({ path, says }) => {
  expect(hintFor(path)).toContain(says);
  expect(hintFor(path)).toMatch(/^[A-Z].*\.$/);
});

test("a 404 says what was asked for, without what may be a secret", () => {
  const message = notFoundMessage("POST", "/chat/completions");
  expect(message).toBe("Not found: `POST /chat/completions`. The base URL must end in `/v1`.");
  expect(notFoundMessage("GET", "/v1/fl_production_secret")).not.toContain("secret");
  expect(notFoundMessage("GET", "/v1/chat/anything-else")).toContain("`GET /v1/chat/…`");
  expect(notFoundMessage("GET", `/v1${"/x".repeat(5_000)}`).length).toBeLessThan(300);
});

test("nothing of a path that nobody knows is repeated", () => {
  expect(hintFor("/v1/fl_production_secret")).not.toContain("secret");
});
