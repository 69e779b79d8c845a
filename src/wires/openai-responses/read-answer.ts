/** A whole `response` object as an `Answer`. */
import type { Finish } from "../../conversation/answer.ts";
import type { Json, Part } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { UpstreamFailure } from "../../providers/adapter.ts";
import { classifyError } from "../../providers/classify.ts";
import { type ToolName, ToolNames } from "../tool-names.ts";
import type { AnswerContext, ReadAnswer } from "../wire.ts";
import { objectsOf, textOf } from "./items.ts";
import { nameOf, OutputParts } from "./read-output.ts";
import { readUsage } from "./usage.ts";
import { MAX_NAME_LENGTH } from "./write-tools.ts";

const INVALID: UpstreamFailure = { class: "invalid_response", tryNext: true, trySame: false };

/** `arguments` and `input` are texts of their own in this wire: parsing the body keeps them exact. */
export function readAnswer(_text: string, body: unknown, context: AnswerContext): ReadAnswer {
  if (!isJsonObject(body)) return { ok: false, failure: INVALID };
  const error = errorOf(body);
  if (error !== null) {
    const failure = classifyError({ status: 200, headers: new Headers(), body: error }, Date.now());
    return { ok: false, failure, rawUsage: readUsage(body)?.raw };
  }
  const parts = outputParts(body["output"], context);
  const finish = finishOf(
    body,
    parts.some(({ kind }) => kind === "call"),
  );
  const usage = readUsage(body);
  if (finish === null || !Array.isArray(body["output"])) return { ok: false, failure: INVALID, rawUsage: usage?.raw };
  const tier = textOf(body["service_tier"]);
  const logprobs = logprobsOf(body["output"]);
  return {
    ok: true,
    answer: {
      id: textOf(body["id"]),
      model: textOf(body["model"]),
      choices: [{ parts, finish, ...(logprobs === undefined ? {} : { logprobs }) }],
      usage: usage?.counts ?? null,
      rawUsage: usage?.raw,
      ...(tier === undefined ? {} : { extra: { service_tier: tier } }),
    },
  };
}

function outputParts(output: unknown, context: AnswerContext): readonly Part[] {
  const parts = new OutputParts(context.provider, answeredNames(context));
  for (const item of objectsOf(output)) if (!parts.add(item, "")) parts.addBlock(item, "");
  return parts.parts;
}

/** The client's own names of the tools that were called. */
export function answeredNames({ conversation }: AnswerContext): (item: Json) => ToolName {
  if (conversation === null) return nameOf;
  const names = new ToolNames(conversation, MAX_NAME_LENGTH);
  return (item) => {
    const called = nameOf(item);
    return called.namespace === undefined ? names.own(called.name) : called;
  };
}

/** The error body of a response that failed, whatever its HTTP status, for `classify`; `null` for one that did not. */
export function errorOf(response: Json): Json | null {
  const { error, status } = response;
  if (isJsonObject(error)) return { error };
  if (status === "failed" || status === "cancelled")
    return { error: { code: "server_error", message: String(status) } };
  return null;
}

/** `null` for a response that is not at its end. `hasCalls`: the client has tools to run. */
export function finishOf(response: Json, hasCalls: boolean): Finish | null {
  const { status, incomplete_details: details } = response;
  if (status === "incomplete") {
    const native = isJsonObject(details) ? textOf(details["reason"]) : undefined;
    return { reason: native === "content_filter" ? "content_filter" : "length", native: native ?? "incomplete" };
  }
  // Some who copied the API leave the status out.
  if (status !== "completed" && status !== undefined && status !== null) return null;
  return { reason: hasCalls ? "tool_calls" : "stop", native: "completed" };
}

/** In chat's shape, of all texts together. */
function logprobsOf(output: unknown): Json | undefined {
  const content = objectsOf(output).flatMap((item) =>
    objectsOf(item["content"]).flatMap(({ logprobs }) => objectsOf(logprobs)),
  );
  return content.length === 0 ? undefined : { content };
}
