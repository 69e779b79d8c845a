/**
 * A `Conversation` that came by another wire as the fields of a chat request.
 *
 * The body is then edited for its target like any chat request: what a provider does not know is its row's business. What
 * chat has no word for is a loss here.
 * https://platform.openai.com/docs/api-reference/chat/create
 */
import type { Controls, Conversation, Tool, ToolChoice, Turn } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../../conversation/loss.ts";
import { type Json, type Media, type Part, unreachable } from "../../conversation/part.ts";
import { isForced, isProviderRun } from "../../conversation/provider-tools.ts";
import { writeAssistantMessage } from "./write-answer.ts";

export interface WrittenFields {
  readonly fields: Json;
  /** Losses of a target that speaks chat. Other wires are written from the conversation itself. */
  readonly losses: readonly Loss[];
}

export function writeRequest(conversation: Conversation, model: string): WrittenFields {
  const losses: Loss[] = [];
  const messages = conversation.turns.flatMap((turn) => writeTurn(turn, losses));
  const tools = conversation.tools.flatMap((tool) => writeTool(tool, conversation, losses));
  const choice = conversation.controls.toolChoice;
  const fields = {
    model,
    messages,
    ...(conversation.stream ? { stream: true } : {}),
    ...writeControls(conversation.controls, conversation.spelling, losses),
    ...(tools.length === 0 ? {} : { tools }),
    ...(tools.length === 0 && choice?.kind !== "provider" ? {} : choiceMember(choice, losses)),
  };
  for (const other of conversation.others) if (!other.asksForNothing) losses.push(harmless(other.path, "member"));
  return { fields, losses };
}

function writeTurn(turn: Turn, losses: Loss[]): Json[] {
  const named = turn.name === undefined ? {} : { name: turn.name };
  switch (turn.role) {
    case "system":
    case "developer": {
      const content = writeContent(turn.parts, losses);
      return content === "" ? [] : [{ role: turn.role, content, ...named }];
    }
    case "user":
      return userMessages(turn, named, losses);
    case "tool":
      return turn.parts.flatMap((part) => (part.kind === "result" ? [resultMessage(part, losses)] : []));
    case "assistant":
      for (const part of turn.parts) losses.push(...assistantLosses(part));
      return [{ ...writeAssistantMessage(turn.parts), ...markedContent(turn.parts), ...named }];
    default:
      return unreachable(turn.role);
  }
}

/** Parts that no assistant's message has. */
function assistantLosses(part: Part): Loss[] {
  switch (part.kind) {
    case "text":
      return citationLosses(part);
    case "opaque":
      return [unknownPart(part)];
    case "image":
      // One that its provider made goes back to it only.
      return part.bound === undefined ? [misplaced(part.path)] : [];
    case "audio":
    case "video":
    case "file":
    case "result":
      return [misplaced(part.path)];
    case "refusal":
    case "reasoning":
    case "call":
    case "block":
      return [];
    default:
      return unreachable(part);
  }
}

/**
 * What providers bound to their own answers, in a conversation that came by another wire: chat has places for it, and
 * no target that speaks chat is sent what is there.
 */
export function boundLosses({ turns }: Conversation): Loss[] {
  return turns.flatMap(({ role, parts }) => (role === "assistant" ? parts.flatMap(boundLoss) : []));
}

function boundLoss({ kind, path, bound }: Part): Loss[] {
  if (bound === undefined) return [];
  if (kind === "block") return [harmless(named(path, bound.data?.["type"]), "bound")];
  // Thoughts in plain words are said in chat as well.
  const isProven = bound.signature !== undefined || bound.encrypted !== undefined;
  return kind === "reasoning" && !isProven ? [] : [harmless(path, "bound")];
}

/** The place of something that is lost as a whole, with its type. */
function named(path: string, type: unknown): string {
  return typeof type !== "string" || path.endsWith(`.${type}`) ? path : `${path}.${type}`;
}

function misplaced(path: string): Loss {
  return changesMeaning(path, "part", `\`${path}\` does not belong into this turn.`);
}

function citationLosses({ path, citations }: Extract<Part, { kind: "text" }>): Loss[] {
  return citations === undefined ? [] : [harmless(`${path}.citations`, "bound")];
}

/** Cache marks need a list of texts to hang on; an answer is one string without them. */
function markedContent(parts: readonly Part[]): Json {
  const texts = parts.filter((part) => part.kind === "text");
  if (texts.every(({ cache }) => cache === undefined)) return {};
  const content = texts.map(({ text, cache }) => {
    return { type: "text", text, ...(cache === undefined ? {} : { cache_control: cache }) };
  });
  return { content };
}

/** Results stand before what the user says: each is a message of its own in chat. */
function userMessages(turn: Turn, named: Json, losses: Loss[]): Json[] {
  const results = turn.parts.flatMap((part) => (part.kind === "result" ? [resultMessage(part, losses)] : []));
  const said = turn.parts.filter(({ kind }) => kind !== "result");
  const content = writeContent(said, losses);
  return content === "" && results.length > 0 ? results : [...results, { role: "user", content, ...named }];
}

/** Chat has no mark for a result that is an error, so the text says it. */
function resultMessage(part: Extract<Part, { kind: "result" }>, losses: Loss[]): Json {
  const text: Part = { kind: "text", text: "Error:", path: part.path };
  const parts = part.isError === true ? [text, ...part.parts] : part.parts;
  return {
    role: "tool",
    tool_call_id: part.callId,
    content: writeContent(parts, losses),
    ...(part.cache === undefined ? {} : { cache_control: part.cache }),
  };
}

/** One text is a string, as most providers like it best. */
function writeContent(parts: readonly Part[], losses: Loss[]): string | Json[] {
  const [only] = parts;
  if (parts.length === 0) return "";
  if (parts.length === 1 && only?.kind === "text" && only.cache === undefined) {
    losses.push(...citationLosses(only));
    return only.text;
  }
  return parts.flatMap((part) => {
    const written = writePart(part, losses);
    return written === null ? [] : [part.cache === undefined ? written : { ...written, cache_control: part.cache }];
  });
}

function writePart(part: Part, losses: Loss[]): Json | null {
  const unknown = (why: string): null => {
    losses.push(changesMeaning(part.path, "part", why));
    return null;
  };
  switch (part.kind) {
    case "text":
      losses.push(...citationLosses(part));
      return { type: "text", text: part.text };
    case "refusal":
      return { type: "refusal", refusal: part.text };
    case "image": {
      const url = urlOf(part.media);
      if (url === null) return unknown(`\`${part.path}\` is a picture by id, which only its own provider can read.`);
      return { type: "image_url", image_url: { url, ...(part.detail === undefined ? {} : { detail: part.detail }) } };
    }
    case "audio":
      if (part.media.kind !== "base64")
        return unknown(`\`${part.path}\` is sound by address, which chat cannot carry.`);
      return { type: "input_audio", input_audio: { data: part.media.data, format: part.format ?? "wav" } };
    case "video": {
      const url = urlOf(part.media);
      return url === null ? unknown(`\`${part.path}\` is a film by id.`) : { type: "video_url", video_url: { url } };
    }
    case "file":
      for (const name of Object.keys(part.options ?? {})) losses.push(harmless(`${part.path}.${name}`, "member"));
      return filePart(part) ?? unknown(`\`${part.path}\` is a document by address or id, which chat cannot carry.`);
    case "reasoning":
    case "block":
      losses.push(harmless(part.path, "bound"));
      return null;
    case "opaque":
      losses.push(unknownPart(part));
      return null;
    case "call":
    case "result":
      losses.push(misplaced(part.path));
      return null;
    default:
      return unreachable(part);
  }
}

function unknownPart({ path, type }: Extract<Part, { kind: "opaque" }>): Loss {
  return changesMeaning(path, "part", `\`${path}\` has the type \`${type}\`, which this target does not know.`);
}

function urlOf(media: Media): string | null {
  if (media.kind === "url") return media.url;
  return media.kind === "base64" ? `data:${media.mediaType};base64,${media.data}` : null;
}

function filePart({ media, name }: Extract<Part, { kind: "file" }>): Json | null {
  const filename = name ?? "document";
  switch (media.kind) {
    case "base64":
      return { type: "file", file: { filename, file_data: `data:${media.mediaType};base64,${media.data}` } };
    case "text":
      return { type: "text", text: name === undefined ? media.text : `${name}\n\n${media.text}` };
    case "url":
    case "id":
      return null;
    default:
      return unreachable(media);
  }
}

function writeTool(tool: Tool, { tools, controls }: Conversation, losses: Loss[]): Json[] {
  switch (tool.kind) {
    case "function": {
      const { name, description, parameters, strict, cache } = tool;
      const detail = {
        name,
        ...(description === undefined ? {} : { description }),
        parameters,
        ...(strict ? { strict: true } : {}),
      };
      return [{ type: "function", function: detail, ...(cache === undefined ? {} : { cache_control: cache }) }];
    }
    case "custom": {
      const { name, description, format } = tool;
      const custom = {
        name,
        ...(description === undefined ? {} : { description }),
        ...(format === undefined ? {} : { format }),
      };
      return [{ type: "custom", custom }];
    }
    case "provider": {
      const why = `There is no tool of the type \`${tool.type.slice(0, 64)}\` here.`;
      // The answer can do without a search that nothing forces; for a call of the client's own it waits.
      const mayMiss = isProviderRun(tool) && !isForced(tool, controls.toolChoice, tools);
      losses.push(mayMiss ? unmet(named(tool.path, tool.type), "tool", why) : changesMeaning(tool.path, "tool", why));
      return [];
    }
    default:
      return unreachable(tool);
  }
}

function choiceMember(choice: ToolChoice | undefined, losses: Loss[]): Json {
  switch (choice?.kind) {
    case undefined:
      return {};
    case "auto":
    case "none":
    case "required":
      return { tool_choice: choice.kind };
    case "tool":
      return choice.form === "custom"
        ? { tool_choice: { type: "custom", custom: { name: choice.name } } }
        : { tool_choice: { type: "function", function: { name: choice.name } } };
    case "allowed": {
      const tools = choice.names.map((name) => ({ type: "function", function: { name } }));
      return { tool_choice: { type: "allowed_tools", allowed_tools: { mode: choice.mode, tools } } };
    }
    case "provider":
      losses.push(changesMeaning("tool_choice", "tool_choice", "`tool_choice` forces a tool that this target lacks."));
      return {};
    default:
      return unreachable(choice);
  }
}

/** Values that chat names differently or lacks are listed; all others have the core's value. */
function writeControls(controls: Controls, spelling: Conversation["spelling"], losses: Loss[]): Json {
  const { reasoning, responseFormat: format, truncation } = controls;
  const members: Record<string, unknown> = {
    max_completion_tokens: controls.maxOutputTokens,
    temperature: controls.temperature,
    top_p: controls.topP,
    // Not OpenAI's own, but known to many who speak its protocol; the rows of the others leave them out and name them.
    top_k: controls.topK,
    min_p: controls.minP,
    repetition_penalty: controls.repetitionPenalty,
    stop: controls.stop,
    seed: controls.seed,
    n: controls.n,
    presence_penalty: controls.presencePenalty,
    frequency_penalty: controls.frequencyPenalty,
    logit_bias: controls.logitBias,
    logprobs: controls.logprobs,
    top_logprobs: controls.topLogprobs,
    parallel_tool_calls: controls.parallelToolCalls,
    verbosity: controls.verbosity,
    service_tier: controls.serviceTier,
    modalities: controls.modalities,
    prompt_cache_key: controls.promptCacheKey,
    prompt_cache_retention: controls.promptCacheRetention,
    user: controls.user,
    safety_identifier: controls.safetyIdentifier,
    metadata: controls.metadata,
    store: controls.store,
    reasoning_effort: effortOf(reasoning),
  };
  if (truncation !== undefined && truncation !== "disabled") losses.push(harmless(spelling.truncation ?? "truncation"));
  if (reasoning !== undefined && members["reasoning_effort"] === undefined) losses.push(harmless(reasoning.path));
  if (format?.kind === "json_object") members["response_format"] = { type: "json_object" };
  if (format?.kind === "json_schema") {
    const { name, description, schema, strict } = format;
    const detail = { name, ...(description === undefined ? {} : { description }), schema, strict };
    members["response_format"] = { type: "json_schema", json_schema: detail };
  }
  if (format?.kind === "opaque") {
    losses.push(changesMeaning(spelling.responseFormat ?? "response_format", "control", "The format is not known."));
  }
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** Tokens of thought that each effort of chat stands for, ascending: the nearest at or above a budget is taken. */
const BUDGETS: readonly (readonly [number, string])[] = [
  [2_048, "low"],
  [8_192, "medium"],
  [Number.POSITIVE_INFINITY, "high"],
];

function effortOf(reasoning: Controls["reasoning"]): string | undefined {
  if (reasoning === undefined) return undefined;
  const { effort, budget, enabled, native } = reasoning;
  if (effort !== undefined) return effort;
  if (enabled === false) return "none";
  const tokens = budget ?? native?.source["budget_tokens"];
  if (typeof tokens === "number") return BUDGETS.find(([most]) => tokens <= most)?.[1];
  return enabled === true || native?.source["type"] === "adaptive" ? "medium" : undefined;
}
