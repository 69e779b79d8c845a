/**
 * The most a request can use, before anybody has counted: what a reservation holds.
 *
 * Pure. A token of text is at least one byte, so the body's bytes bound its text; what is not text is bounded by part,
 * and what a provider fetches by tool. The bound on the output is the cap itself, and holds only because the cap is
 * written into the upstream's body.
 */
import { readsAnyAddress } from "../catalog/media-terms.ts";
import type { FeeName } from "../catalog/model-facts.ts";
import { isClientRunTool, termsOf, toolName } from "../catalog/provider-terms.ts";
import type { ContentDemand, MediaPart, Medium, ProviderToolDemand, ToolDemand } from "../conversation/demand.ts";
import { audioCeiling, imageCeiling } from "./media.ts";

/** Role, separators and the provider's own wrapping of a message. */
const TOKENS_PER_MESSAGE = 16;
/** The system prompt that providers add when tools are offered, and once more for each that they define themselves. */
const TOOLS_TOKENS = 1_024;
/** Rounds of a provider's own tools in one request where the client names no limit: Anthropic's loop ends after ten. */
const MOST_CALLS = 10;
/** Written upstream where neither client, policy nor catalogue names a cap. */
const DEFAULT_OUTPUT_TOKENS = 32_768;

/** Who is asked. */
export interface BoundTarget {
  readonly provider: string;
  readonly model: string;
}

/** The policy's ceilings, in tokens: per part that is not text, and per call of a tool that a provider runs. */
export interface Ceilings {
  readonly partTokens: Readonly<Partial<Record<Medium, number | undefined>>>;
  readonly toolTokens: Readonly<Record<string, number>>;
}

/** What has no bound, by its path in the client's spelling, and what would give it one. */
export interface Unbounded {
  readonly path: string;
  readonly remedy: string;
}

export type PromptBound =
  | {
      readonly ok: true;
      readonly tokens: number;
      /** The most calls of the provider's own tools, by the fee that they are charged. */
      readonly calls: Readonly<Partial<Record<FeeName, number>>>;
    }
  | ({ readonly ok: false } & Unbounded);

/** At most so many prompt tokens. `textBytes`: of the whole body in UTF-8, base64 left out. */
export function promptBound(
  demand: { readonly content: ContentDemand; readonly tools: ToolDemand; readonly textBytes: number },
  target: BoundTarget,
  ceilings: Ceilings,
): PromptBound {
  const { content, tools, textBytes } = demand;
  let tokens = textBytes + content.messages * TOKENS_PER_MESSAGE + (tools.hasTools ? TOOLS_TOKENS : 0);
  for (const part of content.media) {
    const ceiling = partCeiling(part, target, ceilings.partTokens);
    if (typeof ceiling !== "number") return { ok: false, ...ceiling };
    tokens += ceiling;
  }
  const calls: Partial<Record<FeeName, number>> = {};
  for (const tool of tools.provider) {
    const bound = toolBound(tool, target, ceilings.toolTokens);
    if ("path" in bound) return { ok: false, ...bound };
    tokens += bound.tokens;
    for (const fee of bound.fees) {
      calls[fee] = fee === "grounded_prompt" ? 1 : (calls[fee] ?? 0) + bound.calls;
    }
  }
  return { ok: true, tokens, calls };
}

function partCeiling(
  part: MediaPart,
  { provider, model }: BoundTarget,
  partTokens: Ceilings["partTokens"],
): number | Unbounded {
  const { medium, path, base64Length, isPictureByName } = part;
  const isSurelyPicture = base64Length > 0 || isPictureByName === true || !readsAnyAddress(provider);
  const read = medium === "image" && !isSurelyPicture ? "file" : medium;
  const set = partTokens[read];
  if (set !== undefined) return set;
  if (read === "image") return imageCeiling(provider, model);
  const bySound = read === "audio" && base64Length > 0 ? audioCeiling(provider, part) : null;
  return bySound ?? { path, remedy: `Set \`limits.part_tokens.${read}\` in the policy.` };
}

interface ToolBound {
  readonly tokens: number;
  readonly calls: number;
  readonly fees: readonly FeeName[];
}

function toolBound(
  tool: ProviderToolDemand,
  { provider }: BoundTarget,
  toolTokens: Ceilings["toolTokens"],
): ToolBound | Unbounded {
  const { type, path, maxCalls, maxTokensPerCall } = tool;
  if (isClientRunTool(type)) return { tokens: TOOLS_TOKENS, calls: 0, fees: [] };
  const name = toolName(type);
  const { tools = {} } = termsOf(provider);
  const fees = Object.hasOwn(tools, name) ? tools[name] : undefined;
  if (fees === undefined) return { path, remedy: "Leave the tool out: its fee at this provider is unknown." };
  const set = Object.entries(toolTokens).find(([each]) => each === type || toolName(each) === name)?.[1];
  const perCall = set ?? maxTokensPerCall;
  if (perCall === undefined) return { path, remedy: `Set \`limits.tool_tokens.${type}\` in the policy.` };
  const calls = maxCalls ?? MOST_CALLS;
  return { tokens: TOOLS_TOKENS + calls * perCall, calls, fees };
}

/** The client's own cap on output tokens. */
export function ownCap(fields: Readonly<Record<string, unknown>>): number | undefined {
  const caps = [fields["max_completion_tokens"], fields["max_tokens"]].filter((cap) => typeof cap === "number");
  return caps.length === 0 ? undefined : Math.min(...caps);
}

/** The smallest of these caps on output tokens, per choice; where none is named, what the model can write. */
export function outputCap(named: readonly (number | undefined)[], modelCap: number | undefined): number {
  const set = named.filter((cap) => cap !== undefined);
  return Math.min(...(set.length === 0 ? [modelCap ?? DEFAULT_OUTPUT_TOKENS] : set));
}

/** Answers asked for: each may be as long as the cap. */
export function choicesOf(fields: Readonly<Record<string, unknown>>): number {
  return typeof fields["n"] === "number" ? fields["n"] : 1;
}
