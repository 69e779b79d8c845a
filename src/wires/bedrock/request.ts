/**
 * A conversation as a Converse request.
 *
 * Pure. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. Built from nothing: what
 * Converse has no member for is a loss, weighed by what the answer would be without it.
 */
import type { Conversation } from "../../conversation/conversation.ts";
import { type Loss, unmet } from "../../conversation/loss.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { stringifyRaw } from "../../lib/raw-json.ts";
import { type ControlFates, controlLosses } from "../control-losses.ts";
import type { RequestTarget, WrittenRequest } from "../wire.ts";
import { type AnswerFormat, answerFormatOf } from "./answer-format.ts";
import { writeMetadata, writeNative, writeSampling, writeStops, writeTier } from "./controls.ts";
import { writeTurns } from "./messages.ts";
import { traitsOf } from "./models.ts";
import { bindingFields, planReasoning } from "./reasoning.ts";
import { namesOf, writeTools } from "./tools.ts";

const FATES: ControlFates = {
  ...{ maxOutputTokens: "written", temperature: "written", topP: "written", topK: "written", stop: "written" },
  ...{ toolChoice: "written", responseFormat: "written", reasoning: "written", serviceTier: "written" },
  metadata: "written",
  // The reader of the answer keeps the first call.
  parallelToolCalls: "written",
  n: "changes_meaning",
  modalities: "changes_meaning",
  ...{ logprobs: "unmet", topLogprobs: "unmet", logitBias: "unmet" },
  ...{ presencePenalty: "unmet", frequencyPenalty: "unmet" },
  ...{ seed: "harmless", minP: "harmless", repetitionPenalty: "harmless", verbosity: "harmless" },
  ...{ promptCacheKey: "harmless", promptCacheRetention: "harmless", user: "harmless", safetyIdentifier: "harmless" },
  ...{ store: "harmless", truncation: "harmless" },
};

export function writeRequest(conversation: Conversation, target: RequestTarget): WrittenRequest {
  const { controls } = conversation;
  const params = target.params ?? {};
  const traits = traitsOf(target.model);
  const names = namesOf(conversation);
  const format = answerFormatOf(conversation, traits);
  const tools = writeTools(conversation, traits, format, names);
  const turns = writeTurns(conversation.turns, { traits, names, toolBlocks: tools.toolConfig !== undefined });
  const limits = [controls.maxOutputTokens, target.maxOutputTokens].filter((each) => each !== undefined);
  const maxTokens = limits.length === 0 ? undefined : Math.min(...limits);
  const outputConfig = format.kind === "native" ? format.outputConfig : undefined;
  const reasoning = planReasoning(controls.reasoning, traits, {
    maxTokens,
    isForcedTool: tools.isForced,
    hasOutputConfig: outputConfig !== undefined,
    isBareLoop: turns.isBareLoop,
    hasSampling: controls.temperature !== undefined || controls.topP !== undefined,
  });
  const sampling = writeSampling(conversation, traits, reasoning.isThinking);
  const stops = writeStops(conversation, traits);
  const metadata = writeMetadata(conversation);
  const tier = writeTier(conversation);
  const native = writeNative(conversation.others, params);
  const { outputEffort } = reasoning;
  const binding =
    traits.bindsThinking && turns.hasReasoning ? bindingFields(reasoning.additional, controls.reasoning) : {};
  const system = [...turns.system, ...instructions(tools.instruction, format, tools.mustCall)];
  const body = {
    messages: turns.messages,
    ...(system.length === 0 ? {} : { system }),
    inferenceConfig: { ...(maxTokens === undefined ? {} : { maxTokens }), ...sampling.config, ...stops.members },
    ...(tools.toolConfig === undefined ? {} : { toolConfig: tools.toolConfig }),
    ...(outputConfig === undefined
      ? {}
      : { outputConfig: { ...outputConfig, ...(outputEffort === undefined ? {} : { effort: outputEffort }) } }),
    ...additionalFields({ ...reasoning.additional, ...binding, ...sampling.additional }, params),
    ...native.members,
    ...metadata.members,
    ...tier.members,
  };
  const operation = conversation.stream ? "converse-stream" : "converse";
  return {
    // Model ids have colons and, as ARNs, slashes: one path segment, whatever it contains.
    path: `/model/${encodeURIComponent(target.model)}/${operation}`,
    body: stringifyRaw(body),
    losses: [
      ...controlLosses(conversation, FATES),
      ...formatLosses(conversation, format),
      ...turns.losses,
      ...tools.losses,
      ...reasoning.losses,
      ...sampling.losses,
      ...stops.losses,
      ...metadata.losses,
      ...tier.losses,
      ...native.losses,
    ],
  };
}

/** Added instructions follow the client's own. */
function instructions(call: string | undefined, format: AnswerFormat, mustCall: boolean): Json[] {
  const shape = format.kind === "instruction" && !mustCall ? [{ text: format.text }] : [];
  return [...(call === undefined ? [] : [{ text: call }]), ...shape];
}

function formatLosses({ spelling }: Conversation, { kind }: AnswerFormat): Loss[] {
  return kind === "unknown" ? [unmet(spelling.responseFormat ?? "response_format", "schema")] : [];
}

/** The policy's own additional fields stand over what was worked out here; beta flags of both are sent. */
function additionalFields(own: Json, params: Json): Json {
  const written = params["additionalModelRequestFields"];
  const additional: Record<string, unknown> = { ...own, ...(isJsonObject(written) ? written : {}) };
  const betas = [own["anthropic_beta"], isJsonObject(written) ? written["anthropic_beta"] : undefined];
  const flags = betas.flatMap((each) => (Array.isArray(each) ? each : []));
  if (flags.length > 0) additional["anthropic_beta"] = [...new Set(flags)];
  return Object.keys(additional).length === 0 ? {} : { additionalModelRequestFields: additional };
}
