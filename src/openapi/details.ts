/** What the document says besides shapes: tags, patterns of parameters, response headers and examples. */
import { ENV_NAME, RESOURCE_NAME } from "../lib/text/name-patterns.ts";
import type { JsonSchema } from "./schema.ts";

/** The first prefix that fits a path is its tag. */
const TAGS: readonly (readonly [prefix: string, tag: string, description: string])[] = [
  ["/v1/chat", "Chat completions", "OpenAI's chat completions, by the targets of a route."],
  ["/v1/messages", "Messages", "Anthropic's Messages, by the targets of a route."],
  ["/v1/responses", "Responses", "OpenAI's Responses, by the targets of a route."],
  ["/v1/embeddings", "Embeddings", "Embeddings, by the targets of a route."],
  ["/v1", "This key", "Models, traces and approvals that an API key may see."],
  ["/openai", "Azure clients", "The same doors at the addresses that Azure's clients use."],
  ["/admin/keys", "Keys", "Issue, change, rotate and revoke API keys."],
  ["/admin/routes", "Routes", "Policies: versions, evidence, promotion, rollback."],
  ["/admin/providers", "Providers", "Which providers can be called, and how their targets fare."],
  ["/admin/traces", "Traces", "The trail across keys and providers."],
  ["/admin/approvals", "Approvals", "Tool calls that wait for a decision."],
  ["/admin/spend", "Money", "Spend, prices, budgets."],
  ["/admin/prices", "Money", "Spend, prices, budgets."],
  ["/admin/budgets", "Money", "Spend, prices, budgets."],
  ["/admin", "Operation", "The deployment as a whole."],
  ["/", "Public", "Needs no key."],
];

const fallback: (typeof TAGS)[number] = ["/", "Public", "Needs no key."];

export const tagOf = (path: string): string => (TAGS.find(([prefix]) => path.startsWith(prefix)) ?? fallback)[1];

export function tags(): JsonSchema[] {
  const described = new Map(TAGS.map(([, name, description]) => [name, description]));
  return [...described].map(([name, description]) => ({ name, description }));
}

const text = (pattern: RegExp): JsonSchema => ({ type: "string", pattern: pattern.source });

/** Parameters in a path, where the code wants more than any text. */
const IN_PATH: Readonly<Record<string, readonly [JsonSchema, string]>> = {
  env: [text(ENV_NAME), "An environment."],
  name: [text(RESOURCE_NAME), "A route."],
  version: [{ type: "integer", minimum: 1 }, "A version of a policy."],
  id: [{ type: "string" }, "The id of the object."],
  provider: [{ type: "string" }, "A provider's id."],
  model: [{ type: "string" }, "The model, slashes as they are or encoded."],
};

export function pathParameter(name: string): JsonSchema {
  const [schema, description] = IN_PATH[name] ?? [{ type: "string" }, ""];
  return { name, in: "path", required: true, schema, ...(description === "" ? {} : { description }) };
}

const QUERY: Readonly<Record<string, readonly [JsonSchema | null, string]>> = {
  limit: [{ type: "integer", minimum: 1 }, "Rows of a page: 50 by default, 1000 at most; more is taken as 1000."],
  cursor: [null, "`next_cursor` of the page before."],
  since: [null, "From this time on, included."],
  until: [null, "Up to this time, excluded."],
  window_hours: [{ type: "integer", minimum: 1, maximum: 720 }, "Hours of traces, back from now."],
  force: [null, "Why the guard is overruled; kept in the audit log."],
  reason: [null, "Why; kept in the audit log."],
  new_env: [null, "`true`: the environment may be one without keys and routes."],
};

export function queryParameter(name: string, schema: JsonSchema): JsonSchema {
  const [narrowed, description] = QUERY[name] ?? [null, ""];
  return { name, in: "query", schema: narrowed ?? schema, ...(description === "" ? {} : { description }) };
}

/** Request headers, each with its schema and what it means. */
const REQUEST_HEADERS: Readonly<Record<string, readonly [JsonSchema, string]>> = {
  "X-FlowLayer-App": [
    text(RESOURCE_NAME),
    "Product surface that the request counts for. Default: the key's first app.",
  ],
  "X-FlowLayer-Env": [text(ENV_NAME), "Must equal the key's environment."],
  "X-Client-Request-Id": [{ type: "string" }, "Stored on the trace, cut to 128 printable characters."],
  "X-FlowLayer-Fallback": [{ type: "string" }, "`true` or `false`: as `route.fallback`, which wins."],
  "X-FlowLayer-Latency-Budget-Ms": [{ type: "string" }, "As `route.latency_budget_ms`, which wins."],
  "X-FlowLayer-Spend-Budget-Usd": [{ type: "string" }, "As `route.spend_budget_usd`, which wins."],
  "X-FlowLayer-Require-Tool-Approval": [{ type: "string" }, "As `route.require_tool_approval`, which wins."],
  "X-Session-Id": [{ type: "string" }, "Names the conversation, which then stays with its target."],
  traceparent: [{ type: "string" }, "Parent of the exported spans."],
  "If-Match": [{ type: "string" }, "The version that the change was made on; another one is 412."],
};

export function headerParameter(name: string): JsonSchema {
  const [schema, description] = REQUEST_HEADERS[name] ?? [{ type: "string" }, ""];
  return { name, in: "header", schema, description };
}

/** Response headers of requests to models: component name, header, type, meaning. */
const ROUTED: readonly (readonly [string, string, string, string])[] = [
  ["Route", "x-flowlayer-route", "string", "The route that was in force."],
  ["RouteVersion", "x-flowlayer-route-version", "integer", "The version of its policy."],
  ["Provider", "x-flowlayer-provider", "string", "Who answered."],
  ["Model", "x-flowlayer-model", "string", "Which model answered."],
  ["Attempts", "x-flowlayer-attempts", "integer", "Attempts that were started."],
  ["AttemptLog", "x-flowlayer-attempt-log", "string", "Each attempt: target;outcome;status;time."],
  ["Fallback", "x-flowlayer-fallback", "boolean", "Whether the first target was left."],
  ["FallbackReason", "x-flowlayer-fallback-reason", "string", "The class of the first failure."],
  ["LatencyMs", "x-flowlayer-latency-ms", "integer", "From the request's arrival to the response headers."],
  ["CostUsd", "x-flowlayer-cost-usd", "number", "What the request cost; absent on streams and where it is unknown."],
];
const RETRY = [
  ["RetryAfter", "retry-after", "integer", "Seconds to wait."],
  ["ShouldRetry", "x-should-retry", "boolean", "Whether the same request is worth another try."],
] as const;

const reference = (name: string): JsonSchema => ({ $ref: `#/components/headers/${name}` });

export function headerComponents(): Readonly<Record<string, JsonSchema>> {
  const all = [["RequestId", "x-request-id", "string", "The trace id."] as const, ...ROUTED, ...RETRY];
  return Object.fromEntries(all.map(([name, , type, description]) => [name, { description, schema: { type } }]));
}

const WAITS = [429, 503];

/** The headers of an answer with `status`; `isRouted`: of a request to a model. */
export function responseHeaders(status: number, isRouted: boolean): JsonSchema {
  const named = [
    ...(isRouted ? ROUTED : []),
    ...(WAITS.includes(status) ? RETRY : status >= 400 && isRouted ? RETRY.slice(1) : []),
  ];
  return {
    "x-request-id": reference("RequestId"),
    ...Object.fromEntries(named.map(([name, header]) => [header, reference(name)])),
  };
}

const MESSAGE = { role: "user", content: "Compare these model routes for a code review agent." };

/** Examples of bodies, by component. */
export const EXAMPLES: Readonly<Record<string, JsonSchema>> = {
  ChatRequest: {
    model: "flow/best-reasoning",
    messages: [MESSAGE],
    route: { fallback: true, latency_budget_ms: 1800 },
  },
  MessagesRequest: { model: "anthropic/flow-best-reasoning", max_tokens: 1024, messages: [MESSAGE] },
  ResponsesRequest: { model: "flow/best-reasoning", input: MESSAGE.content },
  Policy: {
    targets: [
      { provider: "anthropic", model: "claude-opus-5" },
      { provider: "openai", model: "gpt-5.5" },
    ],
    latency: { budget_ms: 1800 },
    spend: { max_request_usd: 0.5 },
  },
  KeyRequest: { name: "web backend", env: "production", budget: { limit_usd: 50, period: "month" } },
  PromotionRequest: { from: "staging", to: "production" },
  Decision: { decision: "approve", reason: "seen" },
};
