/** Every operation of the service: who may call it, what it takes, and all that it may answer. */
import { APPROVAL_STATUSES } from "../approvals/types.ts";
import type { ErrorCode } from "../http/errors.ts";
import { TRACE_STATUSES } from "../traces/schema.ts";

export interface Operation {
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  readonly path: string;
  readonly summary: string;
  readonly caller: "anyone" | "key" | "operator";
  /** Status and component of a success; `null` for none. */
  readonly success: readonly [number, string | null];
  readonly codes: readonly ErrorCode[];
  readonly body?: string;
  readonly isBodyOptional?: true;
  /** Query parameters; `a|b` lists the values of one. */
  readonly query?: Readonly<Record<string, string>>;
  /** Its answer is text of this type and no JSON. */
  readonly textType?: "text/plain" | "application/x-ndjson";
  /** It may answer with a stream of events, too. */
  readonly isStream?: true;
  readonly takesIfMatch?: true;
}

const KEY: readonly ErrorCode[] = [
  ...(["missing_api_key", "invalid_api_key", "env_mismatch", "app_not_allowed", "browser_request"] as const),
  ...(["scope_required", "invalid_header", "policy_unavailable", "ledger_unavailable", "internal_error"] as const),
  "invalid_request",
];
const OPERATOR: readonly ErrorCode[] = [
  ...(["missing_api_key", "invalid_api_key", "not_found", "admin_disabled", "ledger_unavailable"] as const),
  ...(["internal_error", "invalid_request", "role_required", "rate_limit_exceeded"] as const),
];
const BODY: readonly ErrorCode[] = [
  ...(["invalid_json", "invalid_request", "request_too_large", "unsupported_media_type", "overloaded"] as const),
];
const BAD: readonly ErrorCode[] = ["invalid_request"];
/** A count is asked of a provider, which may refuse the request. */
const COUNT: readonly ErrorCode[] = [
  ...(["invalid_request", "route_not_allowed", "upstream_invalid_request", "wrong_route_kind"] as const),
];
const TOOLS: readonly ErrorCode[] = [
  ...(["tool_approval_required", "tool_call_denied", "tool_call_altered", "tool_approval_expired"] as const),
];
const CHAT: readonly ErrorCode[] = [
  ...([
    "unknown_route",
    "wrong_route_kind",
    "unknown_trace",
    "no_capable_target",
    "context_length_exceeded",
    "content_filter",
  ] as const),
  ...(["upstream_invalid_request", "budget_exceeded", "request_budget_exceeded", "model_unpriced"] as const),
  ...(["route_not_allowed", "rate_limit_exceeded", "upstream_rate_limited", "no_target_configured"] as const),
  ...(["all_targets_down", "upstream_failed", "upstream_timeout", "latency_budget_exceeded"] as const),
];

const RUN: readonly ErrorCode[] = [
  ...CHAT,
  ...TOOLS,
  ...(["invalid_request", "unknown_environment", "not_found", "internal_error", "ledger_unavailable"] as const),
  ...(["policy_unavailable", "invalid_header", "browser_request"] as const),
];
const PAGE = { limit: "integer", cursor: "string" };
const SPAN = { since: "date-time", until: "date-time" };
const TRACE_FILTERS = {
  ...{ api: "chat|responses|messages|embeddings", model: "string", error_code: "string", fallback: "true|false" },
  ...{ tag: "string", session: "string", client_request_id: "string", min_cost_usd: "number", min_total_ms: "number" },
  ...{ facets: "true|false", format: "json|csv" },
};
const TRACE_STATUS = TRACE_STATUSES.join("|");
const APPROVAL_STATUS = APPROVAL_STATUSES.join("|");
const REASONS = { force: "string", reason: "string" };
const NEW_ENV = { new_env: "true|false" };

type Extra = Partial<Pick<Operation, "textType" | "body" | "isBodyOptional" | "query" | "isStream" | "takesIfMatch">>;

function operation(caller: Operation["caller"], common: readonly ErrorCode[]) {
  return (
    call: string,
    summary: string,
    success: Operation["success"],
    codes: readonly ErrorCode[] = [],
    extra: Extra = {},
  ): Operation => {
    const [method = "", path = ""] = call.split(" ");
    const all = [...new Set([...common, ...codes, ...(extra.body === undefined ? [] : BODY)])];
    // The calls are written below, each with one of the methods.
    return { method: method as Operation["method"], path, summary, caller, success, codes: all, ...extra };
  };
}

const open = operation("anyone", []);
const key = operation("key", KEY);
const operator = operation("operator", OPERATOR);

export const OPERATIONS: readonly Operation[] = [
  open("get /", "Where things are; a page for browsers", [200, "Root"]),
  open("get /health", "Whether the service answers", [200, "Health"]),
  open("get /openapi.json", "This document", [200, "Document"]),

  open(
    "post /docs/run",
    "A request on the built-in provider, where the deployment has one",
    [200, "ChatCompletion"],
    RUN,
    {
      body: "RunRequest",
      isStream: true,
    },
  ),
  operator("post /console/run", "A request as the built-in key of the console", [200, "ChatCompletion"], RUN, {
    body: "RunRequest",
    isStream: true,
  }),

  key(
    "post /v1/chat/completions",
    "A chat completion, by the targets of a route",
    [200, "ChatCompletion"],
    [...CHAT, ...TOOLS],
    {
      body: "ChatRequest",
      isStream: true,
    },
  ),
  key(
    "post /v1/embeddings",
    "Vectors of texts, by the targets of an embedding route",
    [200, "Embeddings"],
    CHAT.filter((code) => code !== "unknown_trace"),
    { body: "EmbeddingsRequest" },
  ),
  key(
    "post /v1/messages",
    "A message in Anthropic's protocol, by the targets of a route",
    [200, "Message"],
    [...CHAT, ...TOOLS],
    { body: "MessagesRequest", isStream: true, query: { beta: "true|false" } },
  ),
  key("post /v1/messages/count_tokens", "Count the tokens of a message", [200, "TokenCount"], COUNT, {
    body: "MessagesRequest",
    query: { beta: "true|false" },
  }),
  key(
    "post /v1/responses",
    "A response in OpenAI's newer protocol, by the targets of a route",
    [200, "Response"],
    [...CHAT, ...TOOLS, "response_not_found"],
    { body: "ResponsesRequest", isStream: true },
  ),
  key(
    "post /v1/responses/compact",
    "Compact a conversation, by a target that has it",
    [200, "Compaction"],
    [...CHAT, ...TOOLS, "response_not_found", "not_found"],
    { body: "ResponsesRequest" },
  ),
  key(
    "post /v1/responses/input_tokens",
    "Count the tokens of a response's input",
    [200, "InputTokens"],
    [...COUNT, "response_not_found"],
    { body: "ResponsesRequest" },
  ),
  key(
    "post /openai/deployments/{model}/chat/completions",
    "A chat completion for clients of Azure OpenAI; everything of /v1 is below /openai/v1, too",
    [200, "ChatCompletion"],
    [...CHAT, ...TOOLS],
    { body: "ChatRequest", isStream: true, query: { "api-version": "string" } },
  ),
  key(
    "post /openai/deployments/{model}/embeddings",
    "Vectors of texts for clients of Azure OpenAI",
    [200, "Embeddings"],
    CHAT.filter((code) => code !== "unknown_trace"),
    { body: "EmbeddingsRequest", query: { "api-version": "string" } },
  ),
  key(
    "post /openai/responses",
    "A response for clients of Azure OpenAI",
    [200, "Response"],
    [...CHAT, ...TOOLS, "response_not_found"],
    { body: "ResponsesRequest", isStream: true, query: { "api-version": "string" } },
  ),
  key("get /v1/responses/{id}", "Get a stored response", [200, "Response"], [...BAD, "response_not_found"]),
  key("delete /v1/responses/{id}", "Delete a stored response", [200, "DeletedResponse"], ["response_not_found"]),
  key(
    "get /v1/responses/{id}/input_items",
    "The input items of a stored response",
    [200, "ItemList"],
    [...BAD, "response_not_found"],
    { query: { limit: "integer", order: "asc|desc", after: "string" } },
  ),
  key("get /v1/models", "The routes this key may call", [200, "ModelList"], BAD, { query: { aliases: "true|false" } }),
  key("get /v1/models/{id}", "Get a route or an alias", [200, "ModelOrAlias"], ["not_found"]),
  key("get /v1/key", "The calling key: its spend, and what is left of its limits", [200, "OwnKey"]),
  key("get /v1/traces", "This key's requests, newest first", [200, "TraceList"], BAD, {
    query: { ...PAGE, ...SPAN, ...TRACE_FILTERS, status: TRACE_STATUS, route: "string" },
  }),
  key("get /v1/traces/{id}", "Get a trace", [200, "Trace"], ["unknown_trace"]),
  key("get /v1/approvals", "Tool calls of the environment, within the key's apps", [200, "ApprovalList"], BAD, {
    query: { ...PAGE, status: APPROVAL_STATUS },
  }),
  key(
    "post /v1/approvals/{id}",
    "Decide a tool call of another key",
    [200, "Approval"],
    ["not_found", "approval_decided", "tool_approval_expired"],
    { body: "Decision", query: { key: "string" } },
  ),

  operator("post /admin/keys", "Issue a key", [201, "NewKey"], ["unknown_environment"], {
    body: "KeyRequest",
    query: NEW_ENV,
  }),
  operator("get /admin/keys", "All keys", [200, "KeyList"], BAD, { query: { ...PAGE, with: "spend" } }),
  operator("get /admin/keys/{id}", "A key and its spend", [200, "KeyWithSpend"]),
  operator("patch /admin/keys/{id}", "Change a key", [200, "KeyWithSpend"], [], { body: "KeyChange" }),
  operator("delete /admin/keys/{id}", "Revoke a key permanently", [204, null]),
  operator(
    "post /admin/keys/{id}/rotate",
    "A new secret; the one before works on for a while",
    [200, "RotatedKey"],
    [],
    {
      body: "KeyRotation",
      isBodyOptional: true,
    },
  ),
  operator("delete /admin/keys/{id}/data", "Erase what the requests of a key said; sums stay", [204, null]),
  operator("get /admin/keys/{id}/ledger", "The books of a key", [200, "Ledger"]),

  operator("get /admin/routes", "The active policies", [200, "RouteList"], BAD, { query: PAGE }),
  operator("get /admin/routes/{env}/{name}", "The active policy", [200, "Route"]),
  operator(
    "put /admin/routes/{env}/{name}",
    "Publish a policy",
    [200, "PublishedRoute"],
    ["unknown_environment", "version_mismatch", "promotion_required", "alias_taken", "wrong_route_kind"],
    {
      body: "Policy",
      query: { ...REASONS, ...NEW_ENV },
      takesIfMatch: true,
    },
  ),
  operator("delete /admin/routes/{env}/{name}", "Delete a route", [204, null], [...BAD, "version_mismatch"], {
    query: REASONS,
    takesIfMatch: true,
  }),
  operator(
    "post /admin/routes/{env}/{name}/rollback",
    "An old version becomes the newest",
    [200, "Route"],
    ["version_mismatch", "alias_taken", "wrong_route_kind"],
    {
      body: "Rollback",
      isBodyOptional: true,
      takesIfMatch: true,
    },
  ),
  operator(
    "post /admin/routes/{env}/{name}/explain",
    "What would become of a request, without asking a provider",
    [200, "Explanation"],
    ["policy_unavailable"],
    { body: "ExplainRequest" },
  ),
  operator("get /admin/routes/{env}/{name}/versions", "All versions", [200, "RouteList"], BAD, { query: PAGE }),
  operator("get /admin/routes/{env}/{name}/versions/{version}", "One version", [200, "Route"]),
  operator("get /admin/routes/{env}/{name}/evidence", "How a version fared", [200, "Evidence"], BAD, {
    query: { version: "integer", window_hours: "integer" },
  }),
  operator(
    "post /admin/routes/{name}/promote",
    "The active version of one environment becomes that of another",
    [200, "Promotion"],
    ["unknown_environment", "promotion_blocked", "version_mismatch", "alias_taken", "wrong_route_kind"],
    { body: "PromotionRequest", query: NEW_ENV },
  ),

  operator("get /admin/providers", "Providers and how their targets fare", [200, "ProviderList"], BAD, {
    query: { ...PAGE, configured: "true|false" },
  }),
  operator("patch /admin/providers/{id}", "Take a provider out of every plan, or put it back", [200, "Switch"], [], {
    body: "SwitchRequest",
  }),
  operator("patch /admin/providers/{id}/{model}", "The same for one target", [200, "Switch"], [], {
    body: "SwitchRequest",
  }),
  operator("put /admin/providers/{id}", "An endpoint of the operator's own", [200, "Provider"], [], {
    body: "ProviderRequest",
  }),
  operator("delete /admin/providers/{id}", "Delete an own provider", [204, null], [...BAD, "provider_in_use"], {
    query: { force: "string" },
  }),

  operator(
    "get /admin/prices",
    "Prices that operators set; `watch`: those that end soon",
    [200, "PriceOrWatchList"],
    BAD,
    {
      query: { ...PAGE, watch: "true|false" },
    },
  ),
  operator("get /admin/prices/{provider}/{model}", "What a model costs", [200, "Price"]),
  operator("put /admin/prices/{provider}/{model}", "Set a price in place of the catalogue's", [200, "Price"], [], {
    body: "PriceRequest",
  }),
  operator("delete /admin/prices/{provider}/{model}", "Back to the catalogue's price", [204, null]),
  operator("get /admin/budgets", "Budgets above keys, and how they stand", [200, "BudgetList"], BAD, { query: PAGE }),
  operator("get /admin/budgets/{id}", "One of them", [200, "Budget"]),
  operator("put /admin/budgets/{id}", "Set a budget for an environment, an app, keys or a tag", [200, "Budget"], [], {
    body: "BudgetRequest",
  }),
  operator("delete /admin/budgets/{id}", "Delete a budget", [204, null]),
  operator("get /admin/settings", "Settings of the deployment", [200, "Settings"]),
  operator("put /admin/settings", "Change them", [200, "Settings"], [], { body: "SettingsRequest" }),

  operator("get /admin/traces", "Requests of all keys, newest first", [200, "TraceList"], BAD, {
    query: {
      ...{ ...PAGE, ...SPAN, ...TRACE_FILTERS, status: TRACE_STATUS, env: "string", app: "string" },
      ...{ route: "string", provider: "string", key: "string" },
    },
  }),
  operator("post /admin/traces/rebuild", "Rebuild the trace index", [200, "Rebuild"], BAD, { query: PAGE }),
  operator("get /admin/traces/{id}", "One request", [200, "Trace"], ["unknown_trace"]),
  operator(
    "post /admin/spend/reprice",
    "Put right what past requests of a model cost; with `dry_run` the role `release` may",
    [202, "RepriceStarted"],
    ["range_not_kept"],
    { body: "RepriceRequest" },
  ),
  operator("get /admin/spend/reprice/{id}", "How far a repricing has come", [200, "Reprice"]),
  operator("get /admin/stats", "How requests fared", [200, "Stats"], [...BAD, "range_not_kept"], {
    query: {
      ...{ ...SPAN, bucket: "minute|hour|day", group_by: "string", env: "string", app: "string", route: "string" },
      ...{ provider: "string", model: "string", api: "chat|responses|messages|embeddings", status: TRACE_STATUS },
      ...{ key: "string", tag: "string", error_code: "string", fallback: "boolean", session: "string" },
      ...{ client_request_id: "string", min_cost_usd: "number", min_total_ms: "number" },
    },
  }),
  operator("get /admin/spend", "What was spent, in groups", [200, "Spend"], [...BAD, "range_not_kept"], {
    query: { group_by: "string", ...SPAN, bucket: "day|month", format: "json|csv" },
  }),
  operator("get /admin/approvals", "Tool calls of all keys", [200, "ApprovalList"], BAD, {
    query: { ...PAGE, status: APPROVAL_STATUS, key: "string", arguments: "boolean" },
  }),
  operator(
    "post /admin/approvals/{id}",
    "Decide a tool call",
    [200, "Approval"],
    ["approval_decided", "tool_approval_expired"],
    { body: "Decision", query: { key: "string" } },
  ),
  operator("get /admin/webhooks", "All webhooks", [200, "WebhookList"], BAD, { query: PAGE }),
  operator("put /admin/webhooks/{id}", "A webhook; its secret is shown this once", [201, "NewWebhook"], [], {
    body: "WebhookBody",
  }),
  operator("get /admin/webhooks/{id}", "A webhook", [200, "Webhook"]),
  operator("delete /admin/webhooks/{id}", "Delete a webhook", [204, null]),
  operator("post /admin/webhooks/{id}/rotate", "A new secret; both sign for a day", [200, "RotatedWebhook"]),
  operator("post /admin/webhooks/{id}/test", "Send a test event now", [200, "Delivery"]),
  operator("get /admin/webhooks/{id}/deliveries", "What was sent in seven days", [200, "DeliveryList"], BAD, {
    query: PAGE,
  }),
  operator("get /admin/metrics", "Counters of the day in Prometheus' text format", [200, null], [], {
    textType: "text/plain",
  }),
  operator("get /admin/export", "Everything of this deployment, as lines", [200, null], [], {
    textType: "application/x-ndjson",
  }),
  operator(
    "post /admin/import",
    "An export into a fresh deployment",
    [200, "Import"],
    [...(["invalid_request", "not_empty"] as const)],
  ),
  operator("get /admin/status", "Whether everything that the service needs works", [200, "Status"]),
  operator("get /admin/audit", "Who changed what, newest first", [200, "AuditEntryList"], BAD, {
    query: { ...PAGE, ...SPAN, actor: "string", action: "string", object: "string" },
  }),
];
