/**
 * Embeddings as an operation of the relay: estimated by their inputs, sent in as many calls as a target needs, accepted
 * when every vector is as long as the route says, billed by the calls that were answered.
 */
import { canHave, spaceDimensions } from "../../catalog/spaces.ts";
import {
  bytesPerValue,
  divide,
  type EmbeddingInput,
  FLOAT_BYTES,
  fittingCount,
  MAX_ANSWER_BYTES,
  MAX_PART_BYTES,
  type Part,
} from "../../embedding/parts.ts";
import type { VectorFormat } from "../../embedding/vectors.ts";
import { RouterError } from "../../http/errors.ts";
import { utf8Length } from "../../lib/text/utf8-length.ts";
import { textTokens } from "../../pricing/count.ts";
import type { PromptBound } from "../../pricing/estimate.ts";
import type { Provider, Refusal, TargetRequest, UpstreamFailure } from "../../providers/adapter.ts";
import type { EmbeddingAdapter } from "../../providers/embeddings/adapter.ts";
import type { ChatRequest } from "../../wires/openai-chat/request-fields.ts";
import { inputsOf } from "../../wires/openai-embeddings/request-fields.ts";
import type { Candidate, Estimate, OpenAttempt, Opened, Operation, OperationAnswer, ResolvedRoute } from "../types.ts";
import { answerTooLarge, joinedAnswer, nativeAnswer, writeItems } from "./answer.ts";
import { type CallAnswer, type CallPlan, callOf, callPart } from "./calls.ts";

/** The length of vectors that are planned for where it is unknown. */
const USUAL_DIMENSIONS = 1_536;
/** A request may make so many calls upstream; Workers allow a thousand. */
const MAX_CALLS = 500;
/** Calls at a time. Large answers are read one after the other, so that two do not share the heap. */
const CALLS_AT_ONCE = 4;
const LARGE_BYTES = 1_048_576;
/** A token that wraps an input, and what a provider may add. */
const TOKENS_PER_INPUT = 16;
/** Our count is no tokenizer's: parts stay below a provider's limit by so much. */
const COUNT_MARGIN = 1.3;

/** Members that cost nothing in addition to the tokens of the inputs: an allow-list. */
const FREE_MEMBERS: ReadonlySet<string> = new Set([
  ...["model", "input", "dimensions", "encoding_format", "user", "input_type", "route", "metadata"],
  ...["truncate", "truncation", "output_dimension", "output_dtype", "embedding_type", "embedding_types", "task"],
  ...[
    "normalize",
    "normalized",
    "late_chunking",
    "title",
    "max_tokens",
    "truncate_prompt_tokens",
    "return_multivector",
  ],
]);

type Json = Readonly<Record<string, unknown>>;

/** What is compared with a window. */
export const INPUT = { noun: "longest input", param: "input" };
/** It has no messages that could hold anything. */
export const NO_CONTENT = { messages: 0, media: [], base64Length: 0, unknownPart: null, unknownMember: null } as const;

const NOT_AN_ANSWER: UpstreamFailure = { class: "invalid_response", tryNext: true, trySame: false };

/** The client asked for more than an answer may hold: no other target would change that. */
const OUR_REFUSAL: UpstreamFailure = { class: "invalid_request", tryNext: false, trySame: false };

interface AnsweredPart {
  readonly items: readonly Uint8Array[];
  readonly promptTokens: number;
}

/** How far the calls of an attempt have come. */
interface PartsState {
  /** Every vector has it; `undefined` until the first ones came. */
  length: number | undefined;
  model: string | undefined;
  failure: UpstreamFailure | null;
  broken: { readonly error: unknown } | null;
}

export class EmbeddingOperation implements Operation {
  readonly #request: ChatRequest;
  readonly #route: ResolvedRoute;
  readonly #inputs: readonly EmbeddingInput[];
  readonly #tokens: readonly number[];
  /** How the client wants its vectors. */
  readonly #format: VectorFormat;
  /** What turned out only when the first vectors came, for the client. */
  refusal: RouterError | null = null;
  /** What was answered at a target in an attempt that failed all the same: asked for once, and not again. */
  readonly #answered = new Map<string, Map<number, AnsweredPart>>();

  /** Throws 400 where the route has vectors of another length than the one that is asked for. */
  constructor(request: ChatRequest, route: ResolvedRoute) {
    const { fields } = request;
    this.#request = request;
    this.#route = route;
    this.#inputs = inputsOf(fields);
    this.#tokens = this.#inputs.map((input) => (typeof input === "string" ? textTokens(input) : input.length));
    this.#format = fields["encoding_format"] === "base64" ? "base64" : "float";
    const { dimensions: ofRoute } = route.policy.embedding ?? {};
    const asked = this.#askedLength;
    if (asked === undefined || ofRoute === undefined || asked === ofRoute) return;
    const message = `\`dimensions\`: vectors of this route have ${ofRoute} dimensions, and ${asked} could not be compared with them. Leave it out, or use a route of ${asked}.`;
    throw new RouterError("invalid_request", message, { param: "dimensions" });
  }

  get #askedLength(): number | undefined {
    const { dimensions } = this.#request.fields;
    return typeof dimensions === "number" ? dimensions : undefined;
  }

  /** Tokens of the inputs by our own count. */
  promptTokens(): number {
    return Math.ceil(this.#tokens.reduce((sum, each) => sum + each, 0));
  }

  /** Length of the longest input in characters: what a window is compared with. A token counts as eight of them. */
  get longest(): number {
    const lengths = this.#inputs.map((input) => input.length * (typeof input === "string" ? 1 : 8));
    return lengths.reduce((most, each) => Math.max(most, each), 0);
  }

  /** What it will probably cost is compared by. */
  get textLength(): number {
    return this.promptTokens() * 4;
  }

  get estimate(): Estimate {
    return { tokens: this.promptTokens(), promptBound: (candidate) => this.#promptBound(candidate) };
  }

  #promptBound({ target }: Candidate): PromptBound {
    const asked = { ...target.params, ...this.#request.fields };
    const unknown = Object.keys(asked).find((name) => !FREE_MEMBERS.has(name) && isAsked(asked[name]));
    if (unknown !== undefined) {
      const isPolicys = !Object.hasOwn(this.#request.fields, unknown);
      return { ok: false, path: isPolicys ? `params.${unknown}` : unknown, remedy: "Leave it out." };
    }
    const sizes = this.#inputs.map((input) => (typeof input === "string" ? utf8Length(input) : input.length));
    const tokens = sizes.reduce((sum, each) => sum + each + TOKENS_PER_INPUT, 0);
    return { ok: true, tokens, calls: {} };
  }

  /** The provider as the plan looks at it: by what it embeds, and by nothing of chat. */
  view(provider: Provider): Provider {
    const forRequest = ({ model, facts, params }: TargetRequest): Provider => {
      const lack = this.#lackOf(provider, model, facts, params);
      const { forRequest: _, inWire: __, ...same } = provider;
      return {
        ...same,
        lacks: () => lack?.name ?? null,
        refuses: () => (lack === null || lack.message === null ? null : { param: lack.name, message: lack.message }),
      };
    };
    const { inWire: _, ...own } = provider;
    return { ...own, forRequest };
  }

  /** What the target lacks; `message` `null`: it is left out and named where no target has it. */
  #lackOf(
    { id, embedding }: Provider,
    model: string,
    facts: TargetRequest["facts"],
    params: Json,
  ): { readonly name: Refusal["param"]; readonly message: string | null } | null {
    const { fields } = this.#request;
    if (embedding === undefined)
      return { name: "model", message: `\`${id}\` does not embed. Ask for another provider.` };
    if (typeof this.#inputs[0] !== "string" && !embedding.takesTokens) {
      return { name: "input", message: `\`input\`: \`${id}\` takes text only, and no lists of tokens. Send the text.` };
    }
    const length = this.#lengthOf(params);
    const isFixed = facts.embedding === undefined && !embedding.takesDimensions && this.#askedLength !== undefined;
    if (length !== undefined && (isFixed || !canHave(length, facts.embedding))) {
      const message = `\`dimensions\`: \`${id}/${model}\` gives no vectors of ${length} dimensions. Ask for another length, or leave it out.`;
      return { name: "dimensions", message };
    }
    const calls = this.#planFor(model, embedding, facts, params).parts.length;
    if (calls > MAX_CALLS) {
      const most = Math.floor((this.#inputs.length / calls) * MAX_CALLS);
      return { name: "input", message: `\`input\`: \`${id}\` would need ${calls} calls. Send at most ${most} inputs.` };
    }
    const { input_type: word } = fields;
    const isUnsaid = typeof word === "string" && embedding.lacksInputType(word, model);
    return isUnsaid ? { name: "input_type", message: null } : null;
  }

  /** 413 for an answer that would be too large; `null`: it fits, or the length of its vectors is unknown. */
  tooLargeAt({ facts, target }: Candidate): RouterError | null {
    return this.#tooLarge(this.#lengthOf(target.params) ?? facts.embedding?.dimensions ?? this.#spaceLength);
  }

  #tooLarge(length: number | undefined): RouterError | null {
    if (length === undefined) return null;
    const fitting = fittingCount(MAX_ANSWER_BYTES, length, bytesPerValue(this.#format));
    return this.#inputs.length > fitting ? answerTooLarge(this.#inputs.length, length, fitting) : null;
  }

  get #spaceLength(): number | undefined {
    const { embedding } = this.#route.policy;
    return embedding === undefined ? undefined : spaceDimensions(embedding.space);
  }

  /** The length that is wanted of a target, by the client, the route or the target's own parameters. */
  #lengthOf(params: Json): number | undefined {
    const { dimensions } = params;
    const own = typeof dimensions === "number" ? dimensions : undefined;
    return this.#askedLength ?? this.#route.policy.embedding?.dimensions ?? own;
  }

  #planFor(
    model: string,
    adapter: EmbeddingAdapter,
    { embedding: facts }: TargetRequest["facts"],
    params: Json,
  ): CallPlan {
    const wanted = this.#lengthOf(params);
    const own = facts?.dimensions ?? this.#spaceLength;
    const length = wanted ?? own;
    const planned = length ?? USUAL_DIMENSIONS;
    const format = this.#formatFor(adapter, planned);
    const limits = adapter.limits(model);
    const fitting = fittingCount(MAX_PART_BYTES, planned, bytesPerValue(format, adapter.floatBytes ?? FLOAT_BYTES));
    const counted = this.#tokens.map((each) => each * COUNT_MARGIN + 1);
    const parts = divide(counted, Math.min(limits.inputs, fitting), limits.tokens);
    const isFixed = facts !== undefined && facts.most === undefined && facts.sizes === undefined;
    // A length that the model has anyway is asked for only where the client does.
    const isNeedless = isFixed || (this.#askedLength === undefined && wanted === own);
    const askedLength = wanted === undefined || isNeedless ? undefined : wanted;
    return { parts, inputs: this.#inputs, tokens: this.#tokens, format, askedLength, length };
  }

  /** As the client wants it, where the provider has that and its answer stays small. */
  #formatFor({ base64 }: EmbeddingAdapter, length: number): VectorFormat {
    if (this.#format === "base64") return base64 === "none" ? "float" : "base64";
    const isLarge = this.#inputs.length * length * FLOAT_BYTES > MAX_PART_BYTES;
    return base64 === "has" && isLarge ? "base64" : "float";
  }

  /** Members that the target would not be told. */
  async droppedAt(candidate: Candidate): Promise<readonly string[]> {
    const { target, facts, provider } = candidate;
    const { embedding: adapter } = provider;
    if (adapter === undefined || adapter.send !== undefined) return [];
    const plan = this.#planFor(target.model, adapter, facts, target.params);
    const { droppedParams } = await adapter.toUpstream(callOf(candidate, plan, plan.parts[0]!, this.#request));
    return droppedParams;
  }

  laneAt({ target, facts, provider: { embedding: adapter } }: Candidate): Candidate["lane"] {
    if (adapter === undefined || !adapter.isNative) return "translated";
    const { parts, format } = this.#planFor(target.model, adapter, facts, target.params);
    return parts.length === 1 && format === this.#format ? "native" : "same_wire";
  }

  async open(attempt: OpenAttempt): Promise<Opened<OperationAnswer>> {
    const { candidate, record } = attempt;
    const { target, facts, provider } = candidate;
    const { embedding: adapter } = provider;
    if (adapter === undefined) return { ok: false, failure: NOT_AN_ANSWER };
    const plan = this.#planFor(target.model, adapter, facts, target.params);
    const usage = (): Json => usageOf(record.received.rawUsage, this.promptTokens());
    const [first] = plan.parts;
    if (plan.parts.length === 1 && first !== undefined) {
      const opened = await callPart(attempt, adapter, plan, first, this.#request);
      if (!opened.ok) return opened;
      const tail = { model: opened.value.model ?? target.model, usage };
      if (this.#mayPass(adapter, opened.value))
        return { ok: true, value: nativeAnswer(opened.value.text, opened.value.body, tail) };
      const items = this.#itemsOf(opened.value, 0);
      return items === null ? { ok: false, failure: NOT_AN_ANSWER } : { ok: true, value: joinedAnswer([items], tail) };
    }
    return this.#openParts(attempt, adapter, plan);
  }

  /** The provider's own text is what the client wants: its vectors are in the right form, and in their places. */
  #mayPass({ isNative }: EmbeddingAdapter, { body, vectors }: CallAnswer): boolean {
    const isWanted = vectors.every((vector) => (typeof vector === "string") === (this.#format === "base64"));
    return isNative && isWanted && Array.isArray(body["data"]);
  }

  #itemsOf({ vectors, length }: CallAnswer, start: number): readonly Uint8Array[] | null {
    const count = this.#inputs.length;
    // Rounded only where the answer would not fit otherwise.
    const isShort = count * length * FULL_FLOAT_BYTES > MAX_ANSWER_BYTES / 2;
    return writeItems(vectors, start, { format: this.#format, isShort });
  }

  /** Calls in order, a few at a time. After a failure no further one starts, and those that run may end. */
  async #openParts(attempt: OpenAttempt, adapter: EmbeddingAdapter, plan: CallPlan): Promise<Opened<OperationAnswer>> {
    const { candidate } = attempt;
    const done = this.#answered.get(candidate.name) ?? new Map<number, AnsweredPart>();
    this.#answered.set(candidate.name, done);
    const waiting = plan.parts.filter(({ start }) => !done.has(start));
    const state: PartsState = { length: plan.length, model: undefined, failure: null, broken: null };
    const take = async (part: Part): Promise<void> => {
      const opened = await callPart(attempt, adapter, { ...plan, length: state.length }, part, this.#request);
      if (!opened.ok) {
        state.failure ??= opened.failure;
        return;
      }
      const { value } = opened;
      state.model ??= value.model;
      if (state.length === undefined) this.refusal = this.#tooLarge(value.length);
      state.length ??= value.length;
      const isWanted = value.length === state.length && this.refusal === null;
      const items = isWanted ? this.#itemsOf(value, part.start) : null;
      if (items === null) state.failure ??= this.refusal === null ? NOT_AN_ANSWER : OUR_REFUSAL;
      else done.set(part.start, { items, promptTokens: value.promptTokens });
    };
    const work = async (): Promise<void> => {
      while (state.failure === null && state.broken === null) {
        const part = waiting.shift();
        if (part === undefined) return;
        await take(part).catch((error: unknown) => {
          state.broken ??= { error };
        });
      }
    };
    await Promise.all(Array.from({ length: this.#callsAtOnce(plan) }, work));
    if (state.broken !== null) throw state.broken.error;
    if (state.failure !== null) return { ok: false, failure: state.failure };
    const parts = plan.parts.map(({ start }) => done.get(start)!);
    // All parts, those of an earlier attempt included: the client's batch is one.
    const tokens = Math.ceil(parts.reduce((sum, { promptTokens }) => sum + promptTokens, 0));
    const usage = (): Json => ({ prompt_tokens: tokens, total_tokens: tokens });
    const tail = { model: state.model ?? candidate.target.model, usage };
    return {
      ok: true,
      value: joinedAnswer(
        parts.map(({ items }) => items),
        tail,
      ),
    };
  }

  #callsAtOnce({ parts, length = USUAL_DIMENSIONS, format }: CallPlan): number {
    const size = Math.ceil(this.#inputs.length / parts.length);
    return size * length * bytesPerValue(format) > LARGE_BYTES ? 1 : CALLS_AT_ONCE;
  }
}

/** A float32 in all its digits. */
const FULL_FLOAT_BYTES = 13;

/** Asks for nothing, whatever it is called. */
function isAsked(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false;
}

function usageOf(raw: unknown, counted: number): Json {
  if (typeof raw === "object" && raw !== null) return raw as Json;
  return { prompt_tokens: counted, total_tokens: counted };
}
