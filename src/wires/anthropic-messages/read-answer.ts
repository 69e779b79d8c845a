/**
 * Claude's whole answers.
 *
 * Never throws on any body. Blocks become parts in their order; the input of a call is cut out of the provider's own text,
 * because reading and writing it again would round its numbers and reorder its keys.
 * https://platform.claude.com/docs/en/api/messages
 */
import type { Json, Part } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { UpstreamFailure } from "../../providers/adapter.ts";
import { customInput } from "../custom-tools.ts";
import type { AnswerContext, ReadAnswer } from "../wire.ts";
import { AnsweredTools, inputText, inputTexts } from "./calls.ts";
import { ANSWER_TOOL } from "./format.ts";
import { readBlock } from "./read-blocks.ts";
import { isUnfinished, readFinish, refusalOf } from "./stop-reasons.ts";
import { rawUsageOf, readCounts, tierOf } from "./usage.ts";

const NO_ANSWER: UpstreamFailure = { class: "invalid_response", tryNext: true, trySame: false };

/** `mayPause`: the client speaks this wire, and can send a turn back that the provider has paused. */
export function readAnswer(text: string, body: unknown, context: AnswerContext, mayPause = false): ReadAnswer {
  if (!isJsonObject(body) || !Array.isArray(body["content"])) return { ok: false, failure: NO_ANSWER };
  const reason = body["stop_reason"];
  const usage = isJsonObject(body["usage"]) ? body["usage"] : {};
  const counts = readCounts(usage);
  const rawUsage = counts === null ? undefined : rawUsageOf(counts, usage);
  if (typeof reason !== "string" || reason === "" || (isUnfinished(reason) && !mayPause)) {
    return { ok: false, failure: NO_ANSWER, rawUsage };
  }
  const content = new WholeContent(text, context);
  for (const [at, block] of body["content"].entries()) if (isJsonObject(block)) content.add(block, at);
  const refusal = refusalOf(body);
  if (refusal !== undefined) content.parts.push({ kind: "refusal", text: refusal, path: "" });
  return {
    ok: true,
    answer: {
      id: textOr(body["id"]),
      model: textOr(body["model"]),
      choices: [{ parts: content.parts, finish: readFinish(body, content.calls) }],
      usage: counts,
      rawUsage,
      extra: { ...tierOf(usage), ...containerOf(body) },
    },
  };
}

/** What code that ran at the provider goes on in: clients have to name it the next time. */
export function containerOf({ container }: Json): Json {
  return isJsonObject(container) ? { container } : {};
}

class WholeContent {
  readonly parts: Part[] = [];
  calls = 0;
  readonly #context: AnswerContext;
  readonly #text: string;
  readonly #tools: AnsweredTools;
  #inputs: readonly (string | undefined)[] | undefined;

  constructor(text: string, context: AnswerContext) {
    this.#text = text;
    this.#context = context;
    this.#tools = new AnsweredTools(context.conversation);
  }

  add(block: Json, at: number): void {
    const { type, name, input } = block;
    const { provider } = this.#context;
    if (type === "tool_use" && name === ANSWER_TOOL) {
      this.parts.push({ kind: "text", text: this.#input(input, at), path: "" });
    } else if (type === "tool_use") {
      const call = this.#tools.callOf(block, this.calls++, provider);
      const args = this.#input(input, at);
      this.parts.push({ kind: "call", path: "", ...call, args: call.form === "custom" ? customInput(args) : args });
    } else if (typeof type === "string") {
      const part = readBlock(block, "");
      if (part !== null) this.parts.push(answered(part, block, provider));
    }
  }

  #input(input: unknown, at: number): string {
    this.#inputs ??= inputTexts(this.#text);
    return inputText(input, this.#inputs[at]);
  }
}

/** A part of an answer belongs to the provider that gave it. An unknown block is one of the provider's own. */
function answered(part: Part, block: Json, provider: string): Part {
  if (part.kind === "opaque") return { kind: "block", path: "", bound: { wire: part.wire, provider, data: block } };
  return part.bound === undefined ? part : { ...part, bound: { ...part.bound, provider } };
}

function textOr(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
