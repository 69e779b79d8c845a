/**
 * What one candidate of Gemini says, whole or over the events of a stream, as parts of the core.
 *
 * Pure, and total: whatever the shape of a part, reading it does not throw. A stream's events are small answers of the
 * same shape, so both are read here. What the core has no part for is kept for the client: citations in `citations`,
 * the rest as it came under `extra_content.google`.
 * https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
 */
import type { FinishReason } from "../../conversation/answer.ts";
import type { BlockPart, Bound, CallPart, ImagePart, Json, ReasoningPart, TextPart } from "../../conversation/part.ts";
import { tokenCount } from "../../conversation/usage.ts";
import { isJsonObject } from "../../lib/json.ts";
import { onOneLine } from "../../lib/json-text.ts";
import type { AnswerContext } from "../wire.ts";
import type { CalledTools } from "./called-tools.ts";
import { type Cut, elementCuts, memberCut } from "./cuts.ts";
import { finishWord, goodEnd } from "./ends.ts";
import { readOwnPart } from "./own-parts.ts";
import { PartialCall } from "./partial-call.ts";
import { objectsOf } from "./read-usage.ts";

/** A text without a word is a `reasoning` part of form `redacted`: nothing but its signature is to be kept. */
export type ReadPart = TextPart | ReasoningPart | CallPart | ImagePart | BlockPart;

/** Where chat clients find what is Google's alone. */
const EXTRA_NAME = "google";
/** Kept only for an answer that did not end by itself. */
const KEPT_ON_FAULTS: ReadonlySet<string> = new Set(["finishReason", "finishMessage", "safetyRatings"]);
/** Members of a candidate that are kept as they came; the last one counts. Citations are gathered from all. */
const KEPT: ReadonlySet<string> = new Set([
  ...["groundingMetadata", "citationMetadata", "urlContextMetadata"],
  ...KEPT_ON_FAULTS,
]);

/** What all candidates of one answer share. */
export interface ReadContext {
  readonly answer: AnswerContext;
  readonly tools: CalledTools;
}

export class CandidateReader {
  readonly choice: number;
  hasContent = false;
  /** Google's word; the last one counts, since some models repeat it in every event. */
  word: string | undefined;
  readonly #context: ReadContext;
  readonly #ids = new Set<string>();
  readonly #kept: Record<string, unknown> = {};
  readonly #citations = new Map<string, Json>();
  readonly #otherParts: unknown[] = [];
  /** A call whose arguments are still coming. */
  #partial: PartialCall | undefined;

  constructor(choice: number, context: ReadContext) {
    this.choice = choice;
    this.#context = context;
  }

  /** `cut` gives the exact text of `candidate`, from which arguments are cut. */
  read(candidate: Json, cut: Cut): ReadPart[] {
    this.word = finishWord(candidate["finishReason"]) ?? this.word;
    for (const name of Object.keys(candidate)) {
      if (KEPT.has(name) && isFilled(candidate[name])) this.#kept[name] = candidate[name];
    }
    const { content, groundingMetadata, citationMetadata } = candidate;
    if (groundingMetadata !== undefined || citationMetadata !== undefined) {
      for (const citation of citationsOf(candidate)) this.#citations.set(JSON.stringify(citation), citation);
    }
    const parts = isJsonObject(content) && Array.isArray(content["parts"]) ? content["parts"] : [];
    const cuts = elementCuts(memberCut(memberCut(cut, "content"), "parts"));
    const read: ReadPart[] = [];
    for (const [at, part] of parts.entries()) if (isJsonObject(part)) read.push(...this.#readPart(part, cuts(at)));
    if (this.word !== undefined) read.push(...this.#endPartial());
    if (read.length > 0) this.hasContent = true;
    return read;
  }

  /** Google itself says that this answer broke off. */
  get isBroken(): boolean {
    return this.word !== undefined && goodEnd(this.word) === null;
  }

  /** `null` while Google named no good end. */
  finish(): FinishReason | null {
    const reason = this.word === undefined ? null : goodEnd(this.word);
    return reason === "stop" && this.#ids.size > 0 ? "tool_calls" : reason;
  }

  /** Members of the message that OpenAI does not have. `promptFeedback`: why the prompt was refused. */
  extra(promptFeedback: Json | undefined): Json {
    const endedItself = this.word === "STOP" || this.word === "MAX_TOKENS";
    const own: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(this.#kept)) {
      if (!(endedItself && KEPT_ON_FAULTS.has(name))) own[name] = value;
    }
    if (promptFeedback !== undefined) own["promptFeedback"] = promptFeedback;
    if (this.#otherParts.length > 0) own["parts"] = this.#otherParts;
    const citations = [...this.#citations.values()];
    return {
      ...(citations.length === 0 ? {} : { citations }),
      ...(Object.keys(own).length === 0 ? {} : { extra_content: { [EXTRA_NAME]: own } }),
    };
  }

  #readPart(part: Json, cut: Cut): ReadPart[] {
    const { functionCall, inlineData, thought } = part;
    const signature = typeof part["thoughtSignature"] === "string" ? part["thoughtSignature"] : "";
    if (isJsonObject(functionCall)) return this.#takeCall(functionCall, memberCut(cut, "functionCall"), signature);
    if (isJsonObject(inlineData) && typeof inlineData["data"] === "string" && thought !== true) {
      const { mimeType } = inlineData;
      const mediaType = typeof mimeType === "string" ? mimeType : "application/octet-stream";
      const media = { kind: "base64", mediaType, data: inlineData["data"] } as const;
      return [{ kind: "image", path: "", media, ...this.#signed({ signature }) }];
    }
    const own = readOwnPart(part);
    if (own !== null) return [own];
    const isOther = typeof part["text"] !== "string" && Object.keys(part).some((name) => !TEXT_MEMBERS.has(name));
    if (isOther) {
      this.#otherParts.push(part);
      return [];
    }
    const text = typeof part["text"] === "string" ? part["text"] : "";
    if (text === "" && signature === "") return [];
    if (thought === true) return [{ kind: "reasoning", path: "", form: "full", text, ...this.#signed({ signature }) }];
    const encrypted = this.#signed({ encrypted: signature });
    if (text === "") return [{ kind: "reasoning", path: "", form: "redacted", text, ...encrypted }];
    return [{ kind: "text", path: "", text, ...encrypted }];
  }

  #signed(own: Pick<Bound, "signature" | "encrypted">): { readonly bound?: Bound } {
    if ((own.signature ?? own.encrypted) === "") return {};
    return { bound: { wire: "gemini", provider: this.#context.answer.provider, ...own } };
  }

  /** At once, or begun by its name, continued without and ended by an event that says no more `willContinue`. */
  #takeCall(call: Json, cut: Cut, signature: string): CallPart[] {
    const isNamed = typeof call["name"] === "string" && call["name"] !== "";
    if (isNamed) {
      const before = this.#endPartial();
      if (call["willContinue"] !== true && call["partialArgs"] === undefined) {
        const args = isJsonObject(call["args"]) ? onOneLine(memberCut(cut, "args")()) : "{}";
        return [...before, this.#call(call["id"], String(call["name"]), args, signature)];
      }
      this.#partial = new PartialCall(call, cut, signature);
      return call["willContinue"] === true ? before : [...before, ...this.#endPartial()];
    }
    this.#partial?.take(call, cut);
    return call["willContinue"] === true ? [] : this.#endPartial();
  }

  #endPartial(): CallPart[] {
    const partial = this.#partial;
    if (partial === undefined) return [];
    this.#partial = undefined;
    return [this.#call(partial.id, partial.name, onOneLine(partial.args()), partial.signature)];
  }

  /** Older models give no ids. Ours hold the trace id, so they are the same for the same answer and unique beyond it. */
  #call(id: unknown, name: string, args: string, signature: string): CallPart {
    const isUsable = typeof id === "string" && id !== "" && !this.#ids.has(id);
    const choice = this.choice === 0 ? "" : `${this.choice}_`;
    const ownId = isUsable ? id : `call_${this.#ids.size}_${choice}${this.#context.answer.traceId}`;
    this.#ids.add(ownId);
    const called = this.#context.tools.read(name, args);
    // A call belongs to any provider of this wire: chat has no further member for it.
    const bound: Bound | undefined = signature === "" ? undefined : { wire: "gemini", provider: null, signature };
    return { kind: "call", path: "", id: ownId, ...called, bound };
  }
}

/** A part of these alone is text, even where the text itself is left out. */
const TEXT_MEMBERS: ReadonlySet<string> = new Set(["text", "thought", "thoughtSignature", "partMetadata"]);

function isFilled(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== "";
}

/** Sources of the answer, from Google's search or from what the model recited. */
function citationsOf({ groundingMetadata: grounding, citationMetadata: cited }: Json): Json[] {
  const chunks = objectsOf(isJsonObject(grounding) ? grounding["groundingChunks"] : undefined);
  const sources = isJsonObject(cited) ? objectsOf(cited["citationSources"] ?? cited["citations"]) : [];
  return [
    ...chunks.flatMap((chunk) => [chunk["web"], chunk["maps"], chunk["retrievedContext"]].filter(isJsonObject)),
    ...sources,
  ].flatMap(({ uri, title, startIndex, endIndex }) => {
    if (typeof uri !== "string") return [];
    const name = typeof title === "string" ? { title } : {};
    const span = typeof endIndex === "number" ? { start_index: tokenCount(startIndex) ?? 0, end_index: endIndex } : {};
    return [{ url: uri, ...name, ...span }];
  });
}

/** One candidate of an answer or event, with its number. */
export interface NumberedCandidate {
  readonly choice: number;
  readonly candidate: Json;
  readonly cut: Cut;
}

/** `cut` gives the exact text of `body`. */
export function candidatesOf(body: Json, cut: Cut): NumberedCandidate[] {
  const { candidates } = body;
  if (!Array.isArray(candidates)) return [];
  const cuts = elementCuts(memberCut(cut, "candidates"));
  return candidates.flatMap((candidate: unknown, position): NumberedCandidate[] => {
    if (!isJsonObject(candidate)) return [];
    const { index } = candidate;
    const isIndex = typeof index === "number" && Number.isInteger(index) && index >= 0;
    return [{ choice: isIndex ? index : position, candidate, cut: cuts(position) }];
  });
}

/** Why the prompt was refused, as Google says it; `undefined` where it was not. */
export function blockOf(body: Json): Json | undefined {
  const feedback = body["promptFeedback"];
  if (!isJsonObject(feedback)) return undefined;
  const reason = feedback["blockReason"];
  const isBlocked = typeof reason === "string" && reason !== "" && reason !== "BLOCK_REASON_UNSPECIFIED";
  return isBlocked ? feedback : undefined;
}

/** `logprobsResult`, as OpenAI's `logprobs`. */
export function logprobsOf({ logprobsResult }: Json): Json | undefined {
  if (!isJsonObject(logprobsResult)) return undefined;
  const tops = objectsOf(logprobsResult["topCandidates"]).map((top) => objectsOf(top["candidates"]));
  const content = objectsOf(logprobsResult["chosenCandidates"]).map((chosen, position) => ({
    ...tokenOf(chosen),
    top_logprobs: (tops[position] ?? []).map(tokenOf),
  }));
  return { content, refusal: null };
}

function tokenOf({ token, logProbability }: Json): Json {
  const logprob = typeof logProbability === "number" ? logProbability : 0;
  return { token: typeof token === "string" ? token : "", logprob, bytes: null };
}

export function modelOf({ modelVersion }: Json): string | undefined {
  return typeof modelVersion === "string" && modelVersion !== "" ? modelVersion.replace(/^models\//, "") : undefined;
}

export function idOf({ responseId }: Json): string | undefined {
  return typeof responseId === "string" && responseId !== "" ? responseId : undefined;
}
