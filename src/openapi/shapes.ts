/** The components of the document: what requests are checked with, and the shapes of answers. */

import { ExplainRequest } from "../admin/explain.ts";
import { RepriceRequest } from "../admin/money/reprice.ts";
import { PromotionRequest } from "../admin/promotions.ts";
import { SwitchRequest } from "../admin/provider-switch.ts";
import { RollbackRequest } from "../admin/routes.ts";
import { SettingsRequest } from "../admin/settings.ts";
import { WebhookBody } from "../admin/webhooks.ts";
import { DecisionRequest } from "../approvals/decision.ts";
import { APPROVAL_STATUSES } from "../approvals/types.ts";
import { BudgetRequest } from "../budgets/record.ts";
import { MessagesFields } from "../doors/messages/request.ts";
import { ResponsesRequest } from "../doors/responses/request.ts";
import { RunRequest } from "../doors/run/run.ts";
import { KeyChange, KeyRequest, KeyRotation } from "../keys/record.ts";
import { ProviderRequest } from "../policy/provider-record.ts";
import { PolicyDocument } from "../policy/schema.ts";
import { PriceRequest } from "../prices/request.ts";
import { TRACE_STATUSES } from "../traces/schema.ts";
import { ChatFields } from "../wires/openai-chat/request-fields.ts";
import { EmbeddingsFields } from "../wires/openai-embeddings/request-fields.ts";
import { answerSchema, type JsonSchema, requestSchema, type Spelling } from "./schema.ts";

/** Bodies, each the schema that checks it. */
const REQUESTS = {
  ChatRequest: ChatFields,
  MessagesRequest: MessagesFields,
  ResponsesRequest,
  EmbeddingsRequest: EmbeddingsFields,
  Decision: DecisionRequest,
  KeyRequest,
  KeyChange,
  KeyRotation,
  BudgetRequest,
  Policy: PolicyDocument,
  Rollback: RollbackRequest,
  PromotionRequest,
  ProviderRequest,
  SwitchRequest,
  WebhookBody,
  RunRequest,
  ExplainRequest,
  PriceRequest,
  SettingsRequest,
  RepriceRequest,
};

const KEY: { readonly [member: string]: Spelling } = {
  ...{ id: "string", name: "string", env: "string", scopes: ["string"], status: "string" },
  ...{ apps: "any", routes: "any", budget: "any", limits: "any", created_at: "time", expires_at: "time?" },
  // To operators: under which pepper its newest secret is hashed, and what `with=spend` adds.
  ...{ "pepper?": "current|previous|gone|unknown", "pepper_id?": "string?", "spend?": "any" },
  "kind?": "string",
};
const SPEND = {
  ...{ period: "day|week|month|total", limit_usd: "number?", spent_usd: "number", reserved_usd: "number" },
  remaining_usd: "number?",
};
const ROUTE: { readonly [member: string]: Spelling } = {
  ...{ env: "string", name: "string", version: "integer", active: "boolean", policy: "Policy" },
  ...{ created_at: "time", actor: "string", "origin?": "object" },
};
const WEBHOOK: { readonly [member: string]: Spelling } = {
  ...{ id: "string", url: "string", events: ["string"], created_at: "time", disabled_at: "time?" },
  previous_secret_until: "time?",
};
const GATE = { name: "string", wanted: "number", measured: "number?", passed: "boolean" };
const PERIOD = { spent_usd: "number", reserved_usd: "number", requests: "integer", unpriced_requests: "integer" };
const ATTEMPT: Spelling = {
  ...{ provider: "string", model: "string", outcome: "string", status: "integer?", started_ms: "number" },
  ...{ first_token_ms: "number?", duration_ms: "number", hedged: "boolean", winner: "boolean", cost_usd: "number?" },
  "price_row?": "string",
  ...{
    "credential?": "integer",
    "provider_code?": "string",
    "provider_message?": "string",
    "provider_request_id?": "string",
  },
};
const TRACE: Spelling = {
  ...{ id: "string", created_at: "time", key_id: "string", env: "string", app: "string", route: "string" },
  ...{ route_version: "integer", stream: "boolean", status: TRACE_STATUSES.join("|"), http_status: "integer" },
  ...{ "error_code?": "string", provider: "string?", model: "string?", fallback: "boolean", attempts: [ATTEMPT] },
  ...{ "api?": "string", "fallback_reason?": "string" },
  skipped: [{ provider: "string", model: "string", reason: "string", "detail?": "string" }],
  ...{ "affinity?": "kept|new|broken", "session_id?": "string", "agent_id?": "string" },
  latency: {
    first_token_ms: "number?",
    total_ms: "number",
    budget_ms: "number?",
    budget_met: "boolean?",
    approval_wait_ms: "integer?",
  },
  usage: {
    ...{ prompt_tokens: "integer", completion_tokens: "integer", cached_tokens: "integer" },
    ...{ cache_write_tokens: "integer", reasoning_tokens: "integer", source: "upstream|counted|upper_bound|none" },
  },
  ...{
    "output_cap?": "integer",
    cost_usd: "number?",
    cost_parts: [{ kind: "string", tokens: "integer", usd: "number" }],
    "repriced_usd?": "number",
    tool_calls: ["string"],
    "response_id?": "string",
    tags: "object",
    client_request_id: "string?",
  },
};
const APPROVAL: Spelling = {
  ...{ tool_call_id: "string", name: "string", arguments: "string?", arguments_sha256: "string" },
  ...{ status: APPROVAL_STATUSES.join("|"), key_id: "string", env: "string", app: "string", route: "string" },
  ...{ trace_id: "string", created_at: "time", expires_at: "time" },
  ...{ "decided_by?": "string", "decided_at?": "time", "reason?": "string" },
};

const ANSWERS: Readonly<Record<string, Spelling>> = {
  Error: {
    error: { message: "string", type: "string", code: "string", param: "string?", "help?": "string" },
    flow: { trace_id: "string" },
  },
  Root: { name: "string", version: "string", docs: "string", openapi: "string", endpoints: ["string"] },
  Health: { status: "string" },
  Document: "object",
  ChatCompletion: {
    ...{ id: "string", object: "string", created: "integer", model: "string", usage: "object" },
    choices: [{ index: "integer", message: "object", finish_reason: "string?" }],
    flow: {
      ...{ trace_id: "string", route: "string", route_version: "integer", provider: "string", model: "string" },
      ...{ attempts: "integer", fallback: "boolean", latency_ms: "number", cost_usd: "number?" },
      ...{ "budget_remaining_usd?": "number", "tool_approval?": "object" },
    },
  },
  Embeddings: {
    ...{ object: "string", data: [{ object: "string", index: "integer", embedding: "any" }], model: "string" },
    ...{ usage: { prompt_tokens: "integer", total_tokens: "integer" }, flow: "object" },
  },
  ChatCompletionChunk: {
    ...{ id: "string", object: "string", created: "integer", model: "string", "usage?": "any", "flow?": "object" },
    choices: [{ index: "integer", delta: "object", finish_reason: "string?" }],
    "error?": { message: "string", type: "string", code: "string", param: "string?" },
  },
  Message: {
    ...{ id: "string", type: "string", role: "string", model: "string", content: ["object"], stop_reason: "string?" },
    ...{ stop_sequence: "string?", usage: "object", flow: "object" },
  },
  TokenCount: { input_tokens: "integer" },
  Response: {
    ...{ id: "string", object: "string", created_at: "integer", status: "string", model: "string", output: ["object"] },
    ...{ previous_response_id: "string?", store: "boolean", error: "any", usage: "any", "flow?": "object" },
  },
  Compaction: { object: "string", output: "any[]", usage: "any" },
  InputTokens: { object: "string", input_tokens: "integer" },
  DeletedResponse: { id: "string", object: "string", deleted: "boolean" },
  ItemList: { object: "string", data: ["object"], first_id: "string?", last_id: "string?", has_more: "boolean" },
  Model: {
    ...{ id: "string", object: "string", created: "integer", owned_by: "string", route_version: "integer" },
    ...{ description: "string?", targets: ["object"], context_window: "integer?", max_output_tokens: "integer?" },
    ...{ capabilities: "object", prices: "any", kind: "chat|embedding" },
    "embedding?": { space: "string?", dimensions: "integer?" },
  },
  Alias: {
    ...{ id: "string", object: "string", created: "integer", owned_by: "string", flow: { route: "string" } },
  },
  ModelOrAlias: "Model|Alias",
  ModelList: { object: "string", data: ["ModelOrAlias"] },
  Trace: TRACE,
  Approval: APPROVAL,
  Key: KEY,
  OwnKey: { ...KEY, spend: SPEND, limits_remaining: "any" },
  KeyWithSpend: { ...KEY, spend: "any" },
  NewKey: { ...KEY, spend: SPEND, key: "string" },
  RotatedKey: { id: "string", key: "string", previous_expires_at: "time" },
  Ledger: {
    ...{ object: "string", consistent: "boolean", revoked: "boolean", key_version: "integer" },
    periods: { day: PERIOD, month: PERIOD, total: PERIOD },
    ...{ booked_usd: "number", reserved_usd: "number", open_reservations_usd: "number", unadmitted_usd: "number" },
  },
  Route: ROUTE,
  PublishedRoute: {
    ...ROUTE,
    warnings: [{ code: "string", param: "string", message: "string", "nearest?": "string" }],
  },
  Evidence: {
    ...{ version: "integer", window: "object", requests: "integer", success_rate: "number?" },
    ...{
      success_lower_bound: "number?",
      fallback_rate: "number?",
      hedge_rate: "number?",
      first_token_ms: "Quantiles?",
    },
    ...{ total_ms: "Quantiles?", cost_usd_per_request: "number?", as_of: "time" },
    errors: [{ class: "string", provider: "string?", count: "integer" }],
  },
  Quantiles: { p50: "number", p95: "number", p99: "number" },
  Promotion: {
    ...{ env: "string", name: "string", version: "integer", from: { env: "string", version: "integer" } },
    ...{ gates: [GATE], forced: "boolean" },
  },
  Provider: {
    ...{ id: "string", configured: "boolean", missing: ["string"], "disabled?": "any", "targets?": ["object"] },
    ...{ "credentials?": [{ number: "integer", rests_until: "time?" }] },
  },
  Webhook: WEBHOOK,
  NewWebhook: { ...WEBHOOK, secret: "string" },
  RotatedWebhook: { id: "string", secret: "string", previous_expires_at: "time" },
  Delivery: {
    ...{ message_id: "string", type: "string", created_at: "time", status: "waiting|delivered|failed" },
    ...{ tries: "integer", last_tried_at: "time?", last_status: "integer?", next_try_at: "time?" },
  },
  Import: { object: "string", imported: "object" },
  Explanation: {
    ...{ route_version: "integer", targets: ["object"], admission: "object", output_cap: "integer?" },
    bound_usd: "number?",
  },
  Switch: { id: "string", "model?": "string", disabled: "any" },
  Status: {
    ...{ version: "string", catalogue: "string", ok: "boolean" },
    checks: [{ name: "string", ok: "boolean", ms: "number", detail: "string?" }],
  },
  Budget: {
    ...{ id: "string", scope: "object", limit_usd: "number", period: "day|week|month|total", "time_zone?": "string" },
    ...{ on_exceeded: "deny|notify", created_at: "time", updated_at: "time" },
    status: {
      ...{ period_start: "time?", resets_at: "time?", spent_usd: "number", leased_usd: "number" },
      remaining_usd: "number",
    },
  },
  Price: {
    ...{ provider: "string", model: "string", source: "operator|catalogue", input: "number?", output: "number?" },
    ...{ "cache_read?": "number", "cache_write?": "number", "cache_write_1h?": "number", "audio_in?": "number" },
    ...{ "audio_out?": "number", "reasoning?": "number", "tiers?": ["object"], "service_tiers?": "object" },
    ...{ "per_request?": "number", "valid_from?": "time", "valid_until?": "time?", row: "string?" },
    ...{ updated_by: "string?", updated_at: "time?", rows: ["object"], "set?": "object", "priced_as?": "string" },
  },
  PriceOrWatch: "Price|PriceWatch",
  PriceWatch: {
    ...{ provider: "string", model: "string", reason: "ending|unpriced", source: "string?", valid_until: "time?" },
    routes: ["string"],
  },
  Settings: { spend_tags: ["string"] },
  Rebuild: {
    ...{ object: "string", keys: "integer", traces: "integer", failed: ["string"], has_more: "boolean" },
    next_cursor: "string?",
  },
  Spend: {
    ...{
      object: "string",
      group_by: ["string"],
      data: ["SpendRow"],
      total_usd: "number",
      unpriced_requests: "integer",
    },
    ...{ unadmitted_usd: "number", since: "time", as_of: "time" },
  },
  RepriceStarted: { id: "string", status: "running|done|failed", dry_run: "boolean" },
  Reprice: {
    ...{
      id: "string",
      status: "running|done|failed",
      provider: "string",
      model: "string",
      since: "time",
      until: "time",
    },
    ...{ dry_run: "boolean", charges: "integer", keys: "integer", before_usd: "number", after_usd: "number" },
    ...{ difference_usd: "number", exact: "boolean", as_of: "time", "error?": "string" },
  },
  Stats: {
    ...{ object: "string", bucket: "string", group_by: ["string"], data: ["Figures"], has_more: "boolean" },
    as_of: "time",
  },
  Figures: {
    ...{ start: "time", group: "object", names: "object", requests: "integer", errors: "integer", refused: "integer" },
    ...{ fallbacks: "integer", hedges: "integer", prompt_tokens: "integer", cached_tokens: "integer" },
    ...{ completion_tokens: "integer", output_tokens_per_second: "number?", cost_usd: "number?" },
    ...{ first_token_ms: "FigureQuantiles", total_ms: "FigureQuantiles" },
  },
  FigureQuantiles: { p50: "number?", p95: "number?" },
  SpendRow: {
    ...{ "start?": "time", group: "object", names: "object", requests: "integer", unpriced_requests: "integer" },
    ...{ prompt_tokens: "integer", cached_tokens: "integer", completion_tokens: "integer", cost_usd: "number?" },
    adjustment_usd: "number",
  },
  AuditEntry: {
    ...{ seq: "integer", at: "time", actor: "string", action: "string", object: "string", before: "any" },
    ...{ after: "any", reason: "string?", detail: "any", before_digest: "string?", after_digest: "string?" },
  },
};

/** Objects that come in the contract's list shape. */
const LISTED = [
  "PriceOrWatch",
  "Trace",
  "Approval",
  "Key",
  "Route",
  "Provider",
  "Budget",
  "AuditEntry",
  "Webhook",
  "Delivery",
];

export function components(): Readonly<Record<string, JsonSchema>> {
  const list = (name: string): Spelling => ({
    ...{ object: "string", data: [name], has_more: "boolean", next_cursor: "string?", "as_of?": "time" },
    "facets?": "object",
  });
  return {
    ...Object.fromEntries(Object.entries(REQUESTS).map(([name, schema]) => [name, requestSchema(schema)])),
    ...Object.fromEntries(Object.entries(ANSWERS).map(([name, spelling]) => [name, answerSchema(spelling)])),
    ...Object.fromEntries(LISTED.map((name) => [`${name}List`, answerSchema(list(name))])),
  };
}
