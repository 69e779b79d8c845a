/**
 * A conversation as a request of Cohere's Chat API, version 2.
 *
 * Pure. Built from nothing, because Cohere refuses members that it does not know. What it cannot express is a loss,
 * weighed by what the answer would be without it.
 */
import type { Conversation, OpaqueMember } from "../../conversation/conversation.ts";
import { changesMeaning, type Loss, unmet } from "../../conversation/loss.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { type ControlFates, controlLosses } from "../control-losses.ts";
import { jsonInstruction } from "../json-instruction.ts";
import { ToolNames } from "../tool-names.ts";
import { lossOf } from "../unknown-members.ts";
import type { RequestTarget, WrittenRequest } from "../wire.ts";
import { documentsOf } from "./documents.ts";
import { writeMessages } from "./messages.ts";
import { thinkingOf } from "./thinking.ts";
import { MAX_NAME_LENGTH, writeTools } from "./tools.ts";

const FATES: ControlFates = {
  ...{ maxOutputTokens: "written", temperature: "written", topP: "written", topK: "written", stop: "written" },
  ...{ seed: "written", presencePenalty: "written", frequencyPenalty: "written", logprobs: "written" },
  ...{ toolChoice: "written", responseFormat: "written", reasoning: "written" },
  n: "changes_meaning",
  modalities: "changes_meaning",
  ...{ logitBias: "unmet", topLogprobs: "unmet" },
  // It calls in parallel as it sees fit; the client gets the first call only.
  parallelToolCalls: "unmet",
  ...{ minP: "harmless", repetitionPenalty: "harmless", verbosity: "harmless", serviceTier: "harmless" },
  ...{ promptCacheKey: "harmless", promptCacheRetention: "harmless", user: "harmless", safetyIdentifier: "harmless" },
  ...{ metadata: "harmless", store: "harmless", truncation: "harmless" },
};

/** Cohere's range of `p`; OpenAI's goes from 0 to 1, and 1 is what many clients always send. */
const [MIN_P, MAX_P] = [0.01, 0.99] as const;
const MAX_STOPS = 5;

export function writeRequest(conversation: Conversation, target: RequestTarget): WrittenRequest {
  const { controls, stream } = conversation;
  const limits = [controls.maxOutputTokens, target.maxOutputTokens].filter((each) => each !== undefined);
  const limit = limits.length === 0 ? undefined : Math.min(...limits);
  const names = new ToolNames(conversation, MAX_NAME_LENGTH);
  const thinking = thinkingOf(controls.reasoning, target.model, limit);
  const { messages, losses } = writeMessages(conversation.turns, { thinks: thinking.thinks, names });
  const tools = writeTools(conversation, names);
  const format = formatOf(conversation, tools.isCallable);
  const own = ownMembers(conversation.others);
  const body = {
    model: target.model,
    messages: withInstruction(messages, format.instruction),
    stream,
    ...samplingOf(conversation),
    ...own.members,
    ...(limit === undefined ? {} : { max_tokens: limit }),
    ...(format.member === undefined ? {} : { response_format: format.member }),
    ...(thinking.member === undefined ? {} : { thinking: thinking.member }),
    ...tools.members,
    ...(tools.members["tools"] === undefined ? {} : own.strictness),
  };
  return {
    path: "/chat",
    body: JSON.stringify(body),
    losses: [
      ...controlLosses(conversation, FATES),
      ...penaltyLosses(conversation),
      ...stopLosses(conversation),
      ...format.losses,
      ...thinking.losses,
      ...tools.losses,
      ...losses,
      ...own.losses,
    ],
  };
}

function samplingOf({ controls }: Conversation): Json {
  const { temperature, topP, topK, seed, logprobs } = controls;
  const stops = stopsOf(controls).slice(0, MAX_STOPS);
  return {
    ...(temperature === undefined ? {} : { temperature }),
    ...(seed === undefined ? {} : { seed }),
    ...(stops.length === 0 ? {} : { stop_sequences: stops }),
    ...(topP === undefined ? {} : { p: Math.min(MAX_P, Math.max(MIN_P, topP)) }),
    ...(topK === undefined ? {} : { k: topK }),
    ...penalty("frequency_penalty", controls.frequencyPenalty),
    ...penalty("presence_penalty", controls.presencePenalty),
    ...(logprobs === true ? { logprobs } : {}),
  };
}

/** Some models refuse both penalties together, even where one of them is 0. */
function penalty(name: string, value: number | undefined): Json {
  return value === undefined || value === 0 || isBeyondScale(value) ? {} : { [name]: value };
}

/** 0 to 1 here, -2 to 2 at OpenAI. */
function isBeyondScale(value: number): boolean {
  return value < 0 || value > 1;
}

function penaltyLosses({ controls, spelling }: Conversation): Loss[] {
  return (["frequencyPenalty", "presencePenalty"] as const).flatMap((name) => {
    const value = controls[name];
    return value !== undefined && isBeyondScale(value) ? [unmet(spelling[name] ?? name)] : [];
  });
}

function stopLosses({ controls, spelling }: Conversation): Loss[] {
  return stopsOf(controls).length > MAX_STOPS ? [unmet(spelling.stop ?? "stop")] : [];
}

/** An empty one asks for nothing. */
function stopsOf({ stop = [] }: Conversation["controls"]): readonly string[] {
  return stop.filter((each) => each !== "");
}

interface Format {
  readonly member?: Json;
  readonly instruction?: string;
  readonly losses: readonly Loss[];
}

/** JSON mode does not go with tools: https://docs.cohere.com/docs/structured-outputs. The shape is then asked for in words. */
function formatOf({ controls, spelling }: Conversation, hasTools: boolean): Format {
  const format = controls.responseFormat;
  if (format === undefined || format.kind === "text") return { losses: [] };
  const path = spelling.responseFormat ?? "response_format";
  if (format.kind === "opaque") return { losses: [unmet(path, "schema")] };
  const schema = format.schema ?? null;
  if (hasTools) return { instruction: jsonInstruction(schema), losses: [unmet(path, "schema")] };
  return { member: { type: "json_object", ...(schema === null ? {} : { json_schema: schema }) }, losses: [] };
}

/** Behind the instructions at the beginning. */
function withInstruction(messages: readonly Json[], instruction: string | undefined): readonly Json[] {
  if (instruction === undefined) return messages;
  const first = messages.findIndex(({ role }) => role !== "system");
  const at = first === -1 ? messages.length : first;
  return [...messages.slice(0, at), { role: "system", content: instruction }, ...messages.slice(at)];
}

interface OwnMembers {
  readonly members: Json;
  /** Has a meaning together with tools only. */
  readonly strictness: Json;
  readonly losses: readonly Loss[];
}

/** Cohere's own members, for clients and policies that know whom they talk to. */
function ownMembers(others: readonly OpaqueMember[]): OwnMembers {
  const members: Record<string, unknown> = {};
  const losses: Loss[] = [];
  let strictness: Json = {};
  for (const other of others) {
    const { name, path, source } = other;
    const isTopLevel = path === name && other.wire === "openai-chat";
    const read = isTopLevel && Object.hasOwn(OWN, name) ? OWN[name] : undefined;
    const value = read?.(source);
    if (isTopLevel && name === "strict_tools" && typeof source === "boolean") strictness = { strict_tools: source };
    else if (value !== undefined) members[name] = value;
    else if (isTopLevel && name === "documents" && !other.asksForNothing) {
      losses.push(changesMeaning(path, "part", "A document needs `data`, a text or an object of texts."));
    } else if (isTopLevel && UNMET.has(name) && source !== null) losses.push(unmet(path, "member"));
    else {
      const loss = lossOf(other);
      if (loss !== null) losses.push(loss);
    }
  }
  return { members, strictness, losses };
}

/** A search even where it is an empty object; the voice of an answer. */
const UNMET: ReadonlySet<string> = new Set(["web_search_options", "audio"]);

const OWN: Readonly<Record<string, (source: unknown) => unknown>> = {
  p: numberOf,
  k: numberOf,
  priority: numberOf,
  safety_mode: textOf,
  documents: (source) => documentsOf(source) ?? undefined,
  stop_sequences: (source) =>
    Array.isArray(source) && source.every((each) => typeof each === "string") && source.length > 0 ? source : undefined,
  citation_options: (source) => {
    const mode = isJsonObject(source) ? textOf(source["mode"]) : undefined;
    return mode === undefined ? undefined : { mode };
  },
};

function numberOf(source: unknown): number | undefined {
  return typeof source === "number" ? source : undefined;
}

function textOf(source: unknown): string | undefined {
  return typeof source === "string" ? source : undefined;
}
