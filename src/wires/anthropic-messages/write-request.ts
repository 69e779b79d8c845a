/**
 * A conversation as one call of Anthropic's Messages API.
 *
 * Pure. The provider refuses unknown members, so the body is made from the ones it knows. What cannot be said is a loss:
 * harmless where the answer stays what was asked for, else the target is skipped.
 * https://platform.claude.com/docs/en/api/messages
 */
import type { Conversation } from "../../conversation/conversation.ts";
import type { Loss } from "../../conversation/loss.ts";
import type { Json } from "../../conversation/part.ts";
import { stringifyRaw } from "../../lib/raw-json.ts";
import type { RequestTarget, WrittenRequest } from "../wire.ts";
import { type AnswerFormat, answerFormatOf } from "./format.ts";
import { type ClaudeTraits, traitsOf } from "./models.ts";
import { BINDING_BETA, type Reasoning, type ReasoningSetting, reasoningOf } from "./reasoning.ts";
import { BlockWriter } from "./write-blocks.ts";
import { writeControls } from "./write-controls.ts";
import { forcesCall, toolNames, writeTools } from "./write-tools.ts";
import { TurnWriter } from "./write-turns.ts";

const BETA_HEADER = "anthropic-beta";
const MAX_BETAS = 32;

export function writeRequest(conversation: Conversation, target: RequestTarget): WrittenRequest {
  const { controls, turns } = conversation;
  const traits = traitsOf(target.model);
  const maxTokens = outputLimit(controls.maxOutputTokens, target.maxOutputTokens, traits);
  const names = toolNames(conversation);
  const blocks = new BlockWriter(target.provider, names);
  const writer = new TurnWriter(blocks, traits.systemTurns);
  for (const turn of turns) writer.add(turn);
  const isBareLoop = writer.isBareLoop;
  // A schema that is too large to be held to is asked for in another way.
  const nativeSchema = traits.nativeSchema && target.without?.includes("strict") !== true;
  const { format, reasoning } = formatAndReasoning(conversation, { traits, maxTokens, isBareLoop, nativeSchema });
  const losses: Loss[] = [...reasoning.losses];
  const tools = writeTools(conversation, { traits, names, format, losses, calledTools: blocks.calledTools });
  const ending = { mayPrefill: traits.takesPrefill && !thinks(reasoning), note: tools.note };
  const written = writer.finish(ending);
  const own = writeControls(conversation, traits, reasoning, losses);
  const system =
    format.kind === "instruction" ? [...written.system, { type: "text", text: format.text }] : written.system;
  const body = {
    model: target.model,
    max_tokens: maxTokens,
    ...(system.length > 0 ? { system } : {}),
    messages: written.messages,
    ...(conversation.stream ? { stream: true } : {}),
    ...own.sampling,
    ...tools.members,
    ...(reasoning.thinking === null ? {} : { thinking: reasoning.thinking }),
    ...outputMember(own.output, reasoning, format),
    ...own.account,
    ...own.others,
  };
  const betas = new Set([...betasOf(target), ...blocks.betas, ...own.betas]);
  if (reasoning.thinking?.["block_binding"] !== undefined) betas.add(BINDING_BETA);
  return {
    path: "/messages",
    body: stringifyRaw(body),
    ...(betas.size === 0 ? {} : { headers: { [BETA_HEADER]: [...betas].join(",") } }),
    losses: [...blocks.losses, ...losses],
  };
}

/** A format that needs a forced tool gives way to a budget of thinking: it can be asked for in words. */
function formatAndReasoning(
  conversation: Conversation,
  setting: Omit<ReasoningSetting, "isForced"> & { readonly nativeSchema: boolean },
): { readonly format: AnswerFormat; readonly reasoning: Reasoning } {
  const { controls } = conversation;
  const { traits, nativeSchema } = setting;
  const free = reasoningOf(controls.reasoning, { ...setting, isForced: false });
  const mayForce = !traits.thinksAlways && free.thinking?.["type"] !== "enabled";
  const format = answerFormatOf(controls.responseFormat, { nativeSchema, mayForce });
  const isForced = (forcesCall(conversation) && traits.takesForcedTool) || format.kind === "tool";
  return { format, reasoning: isForced ? reasoningOf(controls.reasoning, { ...setting, isForced }) : free };
}

function thinks({ thinking }: Reasoning): boolean {
  return thinking !== null && thinking["type"] !== "disabled";
}

/** The client's limit, or the model's where there is none, within what was admitted. */
function outputLimit(wanted: number | undefined, admitted: number | undefined, traits: ClaudeTraits): number {
  return Math.min(wanted ?? traits.defaultMaxTokens, admitted ?? Number.POSITIVE_INFINITY);
}

function outputMember(own: Json, { effort }: Reasoning, format: AnswerFormat): Json {
  const config = {
    ...own,
    ...(effort === null ? {} : { effort }),
    ...(format.kind === "native" ? { format: { type: "json_schema", schema: format.schema } } : {}),
  };
  return Object.keys(config).length === 0 ? {} : { output_config: config };
}

/** The client's own, which switch on members that it sends. */
function betasOf({ openHeaders }: RequestTarget): string[] {
  const named = (openHeaders?.[BETA_HEADER] ?? "").split(",").map((beta) => beta.trim());
  return named.filter((beta) => /^[a-z0-9][a-z0-9.-]{0,63}$/i.test(beta)).slice(0, MAX_BETAS);
}
