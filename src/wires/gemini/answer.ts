/**
 * What Gemini answers, whole or in pieces, in OpenAI's terms.
 *
 * Pure, and total: whatever the shape of a part, reading it does not throw. A stream's events are small answers of the
 * same shape, so both are read by `CandidateReader`. What OpenAI has no member for is kept: citations in `citations`,
 * pictures in `images`, the rest as it came under `extra_content.google`.
 * https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
 */
import { isJsonObject, isTooDeep } from "../../lib/json.ts";
import type { AnswerContext, TranslatedAnswer } from "../../providers/adapter.ts";
import { countOf, type FinishReason, type MadeCall, type TokenCounts, toCompletion } from "../openai-chat/chat-wire.ts";
import { FORMAT } from "./contents.ts";
import { PartialCall } from "./partial.ts";

type Json = Readonly<Record<string, unknown>>;

/** What one part says. */
export type Piece =
  | { readonly kind: "text" | "thought"; readonly text: string; readonly detail: Json | undefined }
  | { readonly kind: "call"; readonly call: MadeCall }
  | { readonly kind: "image"; readonly image: Json };

/** Members of a candidate that are kept as they came; of several, the last. Citations are gathered from all. */
const KEPT = ["groundingMetadata", "citationMetadata", "urlContextMetadata"] as const;
/** Told only of an answer that did not end by itself. */
const KEPT_OF_FAULTS = ["finishReason", "finishMessage", "safetyRatings"] as const;
/** The model broke down over a call. Without any content that is no answer, and another target may do better. */
const BREAKDOWNS: ReadonlySet<string> = new Set([
  ...["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"],
  ...["MISSING_THOUGHT_SIGNATURE"],
]);
/** LANGUAGE and OTHER too: Google withholds the rest of the answer and says no more. `IMAGE_…` are matched by prefix. */
const FILTERED: ReadonlySet<string> = new Set([
  ...["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "OTHER", "MODEL_ARMOR"],
  ...["ESCALATION", "CONTENT_FILTER"],
]);

/** One candidate over the whole answer. */
export class CandidateReader {
  readonly choice: number;
  hasContent = false;
  /** Google's word; the last one counts, since some models repeat it in every event. */
  finishReason: string | undefined;
  readonly #context: AnswerContext;
  readonly #ids = new Set<string>();
  readonly #kept: Record<string, unknown> = {};
  readonly #citations = new Map<string, Json>();
  readonly #otherParts: unknown[] = [];
  #textLength = 0;
  /** A call whose arguments are still coming. */
  #partial: PartialCall | undefined;

  constructor(choice: number, context: AnswerContext) {
    this.choice = choice;
    this.#context = context;
  }

  read(candidate: Json): Piece[] {
    const { finishReason, content } = candidate;
    if (typeof finishReason === "string" && finishReason !== "" && finishReason !== "FINISH_REASON_UNSPECIFIED") {
      this.finishReason = finishReason;
    }
    for (const name of [...KEPT, ...KEPT_OF_FAULTS]) {
      if (isFilled(candidate[name])) this.#kept[name] = candidate[name];
    }
    const parts = isJsonObject(content) && Array.isArray(content["parts"]) ? content["parts"] : [];
    for (const citation of citationsOf(candidate)) this.#citations.set(JSON.stringify(citation), citation);
    const pieces = parts.flatMap((part) => (isJsonObject(part) ? (this.#readPart(part) ?? []) : []));
    if (this.finishReason !== undefined) pieces.push(...this.#endPartial());
    if (pieces.length > 0) this.hasContent = true;
    return pieces;
  }

  get callCount(): number {
    return this.#ids.size;
  }

  /** The model broke down before it said anything. */
  get isBrokenDown(): boolean {
    return !this.hasContent && BREAKDOWNS.has(this.finishReason ?? "");
  }

  /** OpenAI's word; `undefined` while Google gave none. */
  finish(): FinishReason | undefined {
    const reason = this.finishReason;
    if (reason === undefined) return undefined;
    if (reason === "MAX_TOKENS") return "length";
    if (FILTERED.has(reason) || reason.startsWith("IMAGE_")) return "content_filter";
    return this.callCount > 0 ? "tool_calls" : "stop";
  }

  /** Members of the message that OpenAI does not have. */
  extra(promptFeedback: unknown): Json {
    const endedItself = this.finishReason === "STOP" || this.finishReason === "MAX_TOKENS";
    const own: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(this.#kept)) {
      if (!(endedItself && KEPT_OF_FAULTS.some((each) => each === name))) own[name] = value;
    }
    if (promptFeedback !== undefined) own["promptFeedback"] = promptFeedback;
    if (this.#otherParts.length > 0) own["parts"] = this.#otherParts;
    const citations = [...this.#citations.values()];
    return {
      ...(citations.length === 0 ? {} : { citations }),
      ...(Object.keys(own).length === 0 ? {} : { extra_content: { [FORMAT]: own } }),
    };
  }

  #readPart(part: Json): Piece | Piece[] | null {
    const { functionCall, inlineData, thought } = part;
    const signature = typeof part["thoughtSignature"] === "string" ? part["thoughtSignature"] : "";
    if (isJsonObject(functionCall)) return this.#takeCall(functionCall, signature);
    if (isJsonObject(inlineData) && typeof inlineData["data"] === "string" && thought !== true) {
      const url = `data:${String(inlineData["mimeType"] ?? "application/octet-stream")};base64,${inlineData["data"]}`;
      return { kind: "image", image: { type: "image_url", image_url: { url }, ...signed(signature) } };
    }
    const isOther = typeof part["text"] !== "string" && Object.keys(part).some((name) => !TEXT_MEMBERS.has(name));
    if (isOther) {
      this.#otherParts.push(part);
      return null;
    }
    const text = typeof part["text"] === "string" ? part["text"] : "";
    if (text === "" && signature === "") return null;
    if (thought === true) {
      const detail = { type: "reasoning.text", format: FORMAT, text, signature };
      return { kind: "thought", text, detail: signature === "" ? undefined : detail };
    }
    const from = this.#textLength;
    this.#textLength += text.length;
    const detail = { type: "reasoning.encrypted", format: FORMAT, data: signature, from, to: this.#textLength };
    return { kind: "text", text, detail: signature === "" ? undefined : detail };
  }

  /** At once, or begun by its name, continued without and ended by an event that says no more `willContinue`. */
  #takeCall(call: Json, signature: string): Piece[] {
    const isNamed = typeof call["name"] === "string" && call["name"] !== "";
    if (isNamed) {
      const before = this.#endPartial();
      if (call["willContinue"] !== true && call["partialArgs"] === undefined) {
        return [...before, { kind: "call", call: this.#readCall(call, signature) }];
      }
      this.#partial = new PartialCall(call, signature);
      return call["willContinue"] === true ? before : [...before, ...this.#endPartial()];
    }
    this.#partial?.take(call);
    return call["willContinue"] === true ? [] : this.#endPartial();
  }

  #endPartial(): Piece[] {
    const partial = this.#partial;
    if (partial === undefined) return [];
    this.#partial = undefined;
    return [{ kind: "call", call: this.#readCall(partial.whole(), partial.signature) }];
  }

  /** Older models give no ids. Ours hold the trace id, so they are the same for the same answer and unique beyond it. */
  #readCall({ id, name, args }: Json, signature: string): MadeCall {
    const isUsable = typeof id === "string" && id !== "" && !this.#ids.has(id);
    const choice = this.choice === 0 ? "" : `${this.choice}_`;
    const ownId = isUsable ? id : `call_${this.#ids.size}_${choice}${this.#context.traceId}`;
    this.#ids.add(ownId);
    return {
      id: ownId,
      name: String(name ?? ""),
      args: isJsonObject(args) ? JSON.stringify(args) : "{}",
      extra: signed(signature),
    };
  }
}

/** A part of these alone is text, even where the text itself is left out. */
const TEXT_MEMBERS: ReadonlySet<string> = new Set(["text", "thought", "thoughtSignature", "partMetadata"]);

function signed(signature: string): Json {
  return signature === "" ? {} : { extra_content: { [FORMAT]: { thought_signature: signature } } };
}

function isFilled(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== "";
}

/** Sources of the answer, from Google's search or from what the model recited. */
function citationsOf(kept: Json): Json[] {
  const { groundingMetadata: grounding, citationMetadata: cited } = kept;
  const chunks = listOf(isJsonObject(grounding) ? grounding["groundingChunks"] : undefined);
  const sources = isJsonObject(cited) ? listOf(cited["citationSources"] ?? cited["citations"]) : [];
  return [
    ...chunks.flatMap((chunk) => [chunk["web"], chunk["maps"], chunk["retrievedContext"]].filter(isJsonObject)),
    ...sources,
  ].flatMap(({ uri, title, startIndex, endIndex }) => {
    if (typeof uri !== "string") return [];
    const name = typeof title === "string" ? { title } : {};
    const span = typeof endIndex === "number" ? { start_index: countOf(startIndex) ?? 0, end_index: endIndex } : {};
    return [{ url: uri, ...name, ...span }];
  });
}

function listOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

/** The candidates of one answer or event, each with its number. */
export function candidatesOf(body: Json): { readonly choice: number; readonly candidate: Json }[] {
  return listOf(body["candidates"]).map((candidate, position) => {
    const { index } = candidate;
    const isIndex = typeof index === "number" && Number.isInteger(index) && index >= 0;
    return { choice: isIndex ? index : position, candidate };
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

/** Google's split of a count by modality, and where the part that is audio goes. */
const AUDIO_PARTS = [
  ["promptTokensDetails", "audioInput"],
  ["toolUsePromptTokensDetails", "audioInput"],
  ["cacheTokensDetails", "cachedAudio"],
  ["candidatesTokensDetails", "audioOutput"],
] as const;

/** Google's counts. In a stream they grow from event to event, and an event may leave some out. */
export class UsageReader {
  readonly #counts = new Map<string, number>();
  readonly #audio = new Map<string, number>();
  readonly #searches = new Set<string>();
  #hasResults = false;
  #tier: string | undefined;

  read(body: Json): void {
    for (const { groundingMetadata } of listOf(body["candidates"])) {
      if (isJsonObject(groundingMetadata)) this.#readGrounding(groundingMetadata);
    }
    const usage = body["usageMetadata"];
    if (!isJsonObject(usage)) return;
    for (const [name, value] of Object.entries(usage)) {
      const count = countOf(value);
      if (count !== undefined) this.#counts.set(name, count);
    }
    for (const [name] of AUDIO_PARTS) if (Array.isArray(usage[name])) this.#audio.set(name, audioIn(usage[name]));
    if (typeof usage["serviceTier"] === "string") this.#tier = usage["serviceTier"].toLowerCase();
  }

  counts(): TokenCounts | null {
    const of = (name: string): number => this.#counts.get(name) ?? 0;
    const completion = of("candidatesTokenCount") + of("thoughtsTokenCount");
    if (!this.#counts.has("promptTokenCount") && completion === 0) return null;
    return {
      prompt: of("promptTokenCount") + of("toolUsePromptTokenCount"),
      completion,
      cached: this.#counts.get("cachedContentTokenCount"),
      reasoning: this.#counts.get("thoughtsTokenCount"),
      ...this.#audioCounts(),
      webSearches: this.#searches.size,
      groundedPrompts: this.#hasResults ? 1 : 0,
    };
  }

  #audioCounts(): Pick<TokenCounts, (typeof AUDIO_PARTS)[number][1]> {
    const sums = { audioInput: 0, cachedAudio: 0, audioOutput: 0 };
    for (const [name, member] of AUDIO_PARTS) sums[member] += this.#audio.get(name) ?? 0;
    return sums;
  }

  /** Google charges each search once, empty ones not at all; older models are charged by the prompt that found some. */
  #readGrounding({ webSearchQueries: queries, groundingChunks: chunks }: Json): void {
    for (const query of Array.isArray(queries) ? queries : []) {
      if (typeof query === "string" && query.trim() !== "") this.#searches.add(query);
    }
    if (listOf(chunks).some(({ web, maps }) => isJsonObject(web) || isJsonObject(maps))) this.#hasResults = true;
  }

  /** The tier that served the request, which may be a lower one than it asked for. */
  tier(): Json {
    if (this.#tier === undefined || this.#tier === "unspecified") return {};
    return { service_tier: this.#tier === "standard" ? "default" : this.#tier };
  }
}

function audioIn(details: unknown): number {
  const ofAudio = listOf(details).filter(({ modality }) => modality === "AUDIO");
  return ofAudio.reduce((sum, { tokenCount }) => sum + (countOf(tokenCount) ?? 0), 0);
}

export function modelOf(body: Json): string | undefined {
  const { modelVersion } = body;
  return typeof modelVersion === "string" && modelVersion !== "" ? modelVersion.replace(/^models\//, "") : undefined;
}

export function idOf(body: Json): string | undefined {
  const { responseId } = body;
  return typeof responseId === "string" && responseId !== "" ? responseId : undefined;
}

/** `logprobsResult`, as OpenAI's `logprobs`. */
export function logprobsOf({ logprobsResult }: Json): Json | undefined {
  if (!isJsonObject(logprobsResult)) return undefined;
  const tops = listOf(logprobsResult["topCandidates"]).map((top) => listOf(top["candidates"]));
  const content = listOf(logprobsResult["chosenCandidates"]).map((chosen, position) => ({
    ...tokenOf(chosen),
    top_logprobs: (tops[position] ?? []).map(tokenOf),
  }));
  return { content, refusal: null };
}

function tokenOf({ token, logProbability }: Json): Json {
  return { token: String(token ?? ""), logprob: Number(logProbability ?? 0), bytes: null };
}

export function toGeminiCompletion(body: unknown, context: AnswerContext): TranslatedAnswer {
  const answer = isJsonObject(body) && !isTooDeep(body) ? body : {};
  const block = blockOf(answer);
  const readers = new Map<number, CandidateReader>();
  const pieces = new Map<number, Piece[]>();
  const logprobs = new Map<number, Json>();
  for (const { choice, candidate } of candidatesOf(answer)) {
    const reader = readers.get(choice) ?? new CandidateReader(choice, context);
    readers.set(choice, reader);
    pieces.set(choice, [...(pieces.get(choice) ?? []), ...reader.read(candidate)]);
    const likely = logprobsOf(candidate);
    if (likely !== undefined) logprobs.set(choice, likely);
  }
  // A refused prompt has no candidates. It is an answer all the same: an empty one.
  if (readers.size === 0 && block !== undefined) readers.set(0, new CandidateReader(0, context));
  const ordered = [...readers.values()].toSorted((a, b) => a.choice - b.choice);
  const isEmpty = ordered.every((each) => each.isBrokenDown || (!each.hasContent && each.finishReason === undefined));
  if (isEmpty && block === undefined) {
    return { ok: false, failure: { class: "invalid_response", tryNext: true, trySame: false } };
  }
  const usage = new UsageReader();
  usage.read(answer);
  const choices = ordered.map((reader) => ({
    ...joined(pieces.get(reader.choice) ?? []),
    finish:
      block === undefined ? (reader.finish() ?? (reader.callCount > 0 ? "tool_calls" : "stop")) : "content_filter",
    logprobs: logprobs.get(reader.choice),
    more: reader.extra(block),
  }));
  const completion = toCompletion(
    {
      id: idOf(answer),
      model: modelOf(answer),
      choices: choices.map(({ images, more, ...choice }) => ({
        ...choice,
        extra: { ...(images.length === 0 ? {} : { images }), ...more },
      })),
      usage: usage.counts(),
      extra: usage.tier(),
    },
    context,
  );
  return { ok: true, completion };
}

function joined(pieces: readonly Piece[]) {
  const textOf = (kind: Piece["kind"]): string =>
    pieces.map((piece) => (piece.kind === kind && "text" in piece ? piece.text : "")).join("");
  return {
    text: textOf("text"),
    reasoning: textOf("thought"),
    reasoningDetails: pieces.flatMap((piece) => ("detail" in piece && piece.detail ? [piece.detail] : [])),
    calls: pieces.flatMap((piece) => (piece.kind === "call" ? [piece.call] : [])),
    images: pieces.flatMap((piece) => (piece.kind === "image" ? [piece.image] : [])),
  };
}
