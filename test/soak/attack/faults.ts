/** What a text of one tenant can make a provider do, and requests that belong to no door. */
import { completion, type Script } from "../../support/upstream.ts";
import type { Chance } from "./chance.ts";

/** A failure that only the request's content causes. */
export function contentFault(chance: Chance): Script {
  return chance.pick<Script>([
    { status: 404, json: { error: { message: "No such File object: file-1", param: "file_id", code: null } } },
    { status: 403, json: { error: { message: "You do not own the file", param: "messages[0]" } } },
    { status: 500, json: { error: { message: "tokenizer panic" } } },
    { status: 503, body: "worker crashed" },
    { status: 422, json: { detail: [{ loc: ["body"], msg: "bad" }] } },
    { status: 413, json: { error: { message: "too large" } } },
    { status: 200, body: "Traceback (most recent call last):" },
    { status: 200, json: { choices: [], candidates: [], output: {} } },
    { raw: "", end: "reset" },
    { events: [": hi\n\n"], end: "reset" },
    { events: [{ error: { message: "boom", code: 500 } }] },
    { events: [`data: ${"a".repeat(70_000)}\n\n`] },
    { status: 200, json: completion({ finishReason: "content_filter", text: "" }) },
    { status: chance.pick([301, 418, 451, 598]), body: chance.pick(["", "{", "null", "[]", '"x"']) },
  ]);
}

export interface JunkRequest {
  readonly path: string;
  readonly init: {
    readonly method: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
  };
}

const WORDS = [
  "",
  "x",
  "..",
  "%2e%2e%2f",
  "tr_00000000000000000000000000000000",
  "flow/x",
  "__proto__",
  "0",
  "-1",
  "%00",
  "a".repeat(300),
];
const BODIES = [
  "",
  "null",
  "[]",
  "{}",
  '{"decision":"approve"}',
  '{"decision":"approve","decision":"deny"}',
  "[".repeat(5_000),
  '{"a":1e999}',
  "\ufeff{}",
];

/** A request to an endpoint beside the doors. */
export function junkRequest(chance: Chance, key: string): JunkRequest {
  const word = (): string => chance.pick(WORDS);
  const path = chance.pick([
    ...[
      "/v1/models/",
      "/v1/traces/",
      "/v1/approvals/",
      "/v1/",
      "/",
      "/health/",
      "/openai/deployments/",
      "/openai/v1/",
    ].map((start) => start + word()),
    `/v1/traces?limit=${word()}&cursor=${word()}&since=${word()}`,
    `/v1/approvals?status=${word()}&limit=${word()}`,
    `/admin/${word()}`,
    `/v1/chat/completions/${word()}`,
    `/openai/deployments/${word()}/chat/completions?api-version=${word()}`,
  ]);
  const method = chance.pick(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]);
  const headers: Record<string, string> = {
    authorization: chance.pick([`Bearer ${key}`, `Bearer ${key.slice(0, -1)}x`, "Basic eDp5", key, "Bearer "]),
    "content-type": chance.pick([
      "application/json",
      "text/plain",
      "application/json; charset=utf-16",
      "multipart/form-data",
    ]),
    ...(chance.percent(20) ? { "x-flowlayer-app": word().replaceAll("%", "") || "-" } : {}),
    ...(chance.percent(20) ? { "x-flowlayer-env": "staging" } : {}),
    ...(chance.percent(20) ? { origin: "https://evil.example" } : {}),
    ...(chance.percent(10) ? { "content-encoding": "gzip" } : {}),
  };
  const hasBody = method !== "GET" && method !== "HEAD";
  return { path, init: { method, headers, ...(hasBody ? { body: chance.pick(BODIES) } : {}) } };
}
