/**
 * A whole Converse answer.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_ResponseSyntax.
 * Blocks become parts in their order, because a signed turn goes back as it came. The arguments of calls are cut out of
 * the text: parsing would round their numbers and reorder their keys.
 */
import type { Json, Part } from "../../conversation/part.ts";
import { isJsonObject, isTooDeep } from "../../lib/json.ts";
import { elementTexts, onOneLine, textAt } from "../../lib/json-text.ts";
import type { UpstreamFailure } from "../../providers/adapter.ts";
import { argumentsText } from "../call-arguments.ts";
import { type CalledTools, customInput } from "../custom-tools.ts";
import type { AnswerContext, ReadAnswer } from "../wire.ts";
import { ANSWER_TOOL } from "./answer-format.ts";
import { allowsOneCall, chatUsageOf, extrasOf, finishReasonOf, servedModelOf, tokenCountsOf } from "./ends.ts";
import { classifyConverse } from "./errors.ts";
import { isServerCall } from "./own-blocks.ts";
import { calledTools } from "./tools.ts";

const NOT_AN_ANSWER: UpstreamFailure = { class: "invalid_response", tryNext: true, trySame: false };

export function readAnswer(text: string, body: unknown, context: AnswerContext): ReadAnswer {
  const output = isJsonObject(body) ? body["output"] : undefined;
  const message = isJsonObject(output) ? output["message"] : undefined;
  if (!isJsonObject(body) || !isJsonObject(message) || !Array.isArray(message["content"])) {
    const isError = isJsonObject(body) && (body["__type"] !== undefined || body["message"] !== undefined);
    const failure = isError ? classifyConverse({ status: 200, headers: new Headers(), body }) : NOT_AN_ANSWER;
    return { ok: false, failure };
  }
  const content = new ContentReader(context);
  const hasCalls = message["content"].some((block) => isJsonObject(block) && block["toolUse"] !== undefined);
  const texts = hasCalls ? elementTexts(textAt(text, "output", "message", "content") ?? "") : [];
  for (const [at, block] of message["content"].entries()) if (isJsonObject(block)) content.add(block, texts[at] ?? "");
  const parts = content.finish();
  const reason = finishReasonOf(body["stopReason"], content.callCount);
  const extra = extrasOf(body);
  const counts = tokenCountsOf(body["usage"]);
  const rawUsage = counts === null ? undefined : chatUsageOf(counts, extra);
  if (reason === undefined || isTooDeep(extra)) return { ok: false, failure: NOT_AN_ANSWER, rawUsage };
  return {
    ok: true,
    answer: {
      id: undefined,
      model: servedModelOf(body["trace"]),
      choices: [{ parts, finish: { reason, native: String(body["stopReason"]) } }],
      usage: counts,
      rawUsage,
      extra,
    },
  };
}

class ContentReader {
  callCount = 0;
  readonly #parts: Part[] = [];
  readonly #tools: CalledTools;
  readonly #allowsOneCall: boolean;
  /** The arguments of our own tool: accompanying text is no part of the JSON that the client asked for. */
  readonly #answers = new Set<Part>();

  constructor(context: AnswerContext) {
    this.#tools = calledTools(context.conversation);
    this.#allowsOneCall = allowsOneCall(context);
  }

  /** `exact`: the block's own text. */
  add(block: Json, exact: string): void {
    const { text, toolUse, reasoningContent, citationsContent, image } = block;
    const picture = isJsonObject(image) ? pictureOf(image["format"], image["source"]) : null;
    if (typeof text === "string") this.#parts.push({ kind: "text", text, path: "" });
    else if (isJsonObject(reasoningContent)) this.#addReasoning(reasoningContent);
    else if (isJsonObject(toolUse) && !isServerCall(toolUse)) this.#addCall(toolUse, exact);
    else if (isJsonObject(citationsContent)) this.#addCited(citationsContent);
    else if (picture !== null) this.#parts.push(picture);
    else if (!isTooDeep(block)) this.#parts.push(blockPart(block));
  }

  finish(): Part[] {
    if (this.#answers.size === 0) return this.#parts;
    return this.#parts.map((part) =>
      part.kind === "text" && !this.#answers.has(part)
        ? { kind: "reasoning", text: part.text, form: "full", path: "" }
        : part,
    );
  }

  #addReasoning({ reasoningText, redactedContent }: Json): void {
    const common = { kind: "reasoning", path: "" } as const;
    if (typeof redactedContent === "string") {
      const bound = { wire: "bedrock", provider: null, encrypted: redactedContent } as const;
      this.#parts.push({ ...common, text: "", form: "redacted", bound });
    }
    if (!isJsonObject(reasoningText)) return;
    const text = typeof reasoningText["text"] === "string" ? reasoningText["text"] : "";
    const { signature } = reasoningText;
    const isSigned = typeof signature === "string" && signature !== "";
    const bound = isSigned ? ({ wire: "bedrock", provider: null, signature } as const) : undefined;
    if (isSigned || text !== "") this.#parts.push({ ...common, text, form: "full", ...(bound ? { bound } : {}) });
  }

  #addCall({ toolUseId, name, input }: Json, exact: string): void {
    const args = argumentsText(typeof input === "string" ? input : (textAt(exact, "toolUse", "input") ?? ""));
    if (name === ANSWER_TOOL) {
      const answer: Part = { kind: "text", text: onOneLine(args), path: "" };
      this.#answers.add(answer);
      this.#parts.push(answer);
      return;
    }
    if (this.#allowsOneCall && this.callCount > 0) return;
    this.callCount++;
    const tool = this.#tools.named(String(name));
    const text = tool.form === "custom" ? customInput(args) : args;
    this.#parts.push({ kind: "call", ...tool, id: String(toolUseId), args: text, path: "" });
  }

  #addCited({ content, citations }: Json): void {
    const texts = (Array.isArray(content) ? content : []).map((each) =>
      isJsonObject(each) && typeof each["text"] === "string" ? each["text"] : "",
    );
    const known = (Array.isArray(citations) ? citations : []).filter(isJsonObject).filter((each) => !isTooDeep(each));
    this.#parts.push({
      kind: "text",
      text: texts.join(""),
      path: "",
      ...(known.length > 0 ? { citations: known } : {}),
    });
  }
}

/** A picture as a client of OpenAI's reads it; `null` where there are no bytes. */
export function pictureUrl(format: unknown, source: unknown): string | null {
  const bytes = isJsonObject(source) ? source["bytes"] : undefined;
  return typeof bytes === "string" ? `data:image/${String(format)};base64,${bytes}` : null;
}

function pictureOf(format: unknown, source: unknown): Part | null {
  const bytes = isJsonObject(source) ? source["bytes"] : undefined;
  if (typeof bytes !== "string") return null;
  return { kind: "image", media: { kind: "base64", mediaType: `image/${String(format)}`, data: bytes }, path: "" };
}

function blockPart(data: Json): Part {
  return { kind: "block", path: "", bound: { wire: "bedrock", provider: null, data } };
}
