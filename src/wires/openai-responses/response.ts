/** The `response` object around an output: what the request asked for, repeated as OpenAI does, and how it ended. */
import type { Conversation, ToolChoice } from "../../conversation/conversation.ts";
import type { Json } from "../../conversation/part.ts";
import type { AnswerContext } from "../wire.ts";
import { type SentNames, writeFormat, writeToolChoice, writeTools } from "./write-tools.ts";

/** Ids of responses and items are distinguished by their prefix, and end as the trace does. */
export function responseId(id: string | undefined, traceId: string): string {
  return id?.startsWith("resp_") === true ? id : `resp_${traceTail(traceId)}`;
}

export function itemId(prefix: string, traceId: string, index: number): string {
  return `${prefix}_${traceTail(traceId)}${index.toString(16).padStart(4, "0")}`;
}

function traceTail(traceId: string): string {
  return traceId.replace(/^tr_/, "").replace(/[^0-9A-Za-z]/g, "");
}

/** Everything of a response that is known before its output. */
export function responseHead(id: string, model: string, { conversation, createdAt }: AnswerContext): Json {
  return {
    id,
    object: "response",
    created_at: createdAt,
    status: "in_progress",
    background: false,
    completed_at: null,
    error: null,
    incomplete_details: null,
    max_tool_calls: null,
    model,
    output: [],
    previous_response_id: null,
    ...(conversation === null ? NOTHING_ASKED : askedFor(conversation)),
    usage: null,
  };
}

function askedFor(conversation: Conversation): Json {
  const { controls, turns } = conversation;
  const { reasoning, responseFormat, toolChoice } = controls;
  const [first] = turns;
  const [part] = first?.path === "instructions" ? first.parts : [];
  return {
    instructions: part?.kind === "text" ? part.text : null,
    max_output_tokens: controls.maxOutputTokens ?? null,
    metadata: controls.metadata ?? {},
    parallel_tool_calls: controls.parallelToolCalls ?? true,
    prompt_cache_key: controls.promptCacheKey ?? null,
    reasoning: { effort: reasoning?.effort ?? null, summary: reasoning?.display ?? null },
    safety_identifier: controls.safetyIdentifier ?? null,
    service_tier: controls.serviceTier ?? "auto",
    store: controls.store ?? true,
    temperature: controls.temperature ?? 1,
    text: {
      format: (responseFormat === undefined ? undefined : writeFormat(responseFormat, [])) ?? { type: "text" },
      verbosity: controls.verbosity ?? "medium",
    },
    tool_choice: (toolChoice === undefined ? undefined : ownChoice(toolChoice, conversation)) ?? "auto",
    tools: ownTools(conversation),
    top_logprobs: controls.topLogprobs ?? 0,
    top_p: controls.topP ?? 1,
    truncation: controls.truncation ?? "disabled",
    user: controls.user ?? null,
  };
}

/** The tools as they were declared: those of a namespace inside it, at the place of the first of them. */
function ownTools({ tools, controls, namespaces, others }: Conversation): Json[] {
  const opened = new Map<string, Json[]>();
  return tools.flatMap((tool): Json[] => {
    const written = writeTools([tool], controls.toolChoice, OWN_NAMES, []);
    const own = tool.kind === "provider" ? undefined : namespaces?.get(tool.name);
    if (own === undefined) return written;
    const members = written.map((each) => ({ ...each, name: own.name }));
    const group = opened.get(own.namespace);
    if (group !== undefined) {
      group.push(...members);
      return [];
    }
    opened.set(own.namespace, members);
    const path = `${tool.path.replace(/\.tools\[\d+\]$/, "")}.description`;
    const { source: description } = others.find((other) => other.path === path) ?? {};
    const described = description === undefined ? {} : { description };
    return [{ type: "namespace", name: own.namespace, ...described, tools: members }];
  });
}

function ownChoice(choice: ToolChoice, { tools, namespaces }: Conversation): Json | string | undefined {
  const own = choice.kind === "tool" ? namespaces?.get(choice.name) : undefined;
  const written = writeToolChoice(choice, tools, OWN_NAMES, []);
  return own === undefined || typeof written !== "object" ? written : { ...written, ...own };
}

/** What is repeated to the client has the client's names. */
const OWN_NAMES: SentNames = { sent: ({ name }) => name };

const NOTHING_ASKED: Json = askedFor({ turns: [], tools: [], controls: {}, stream: false, others: [], spelling: {} });
