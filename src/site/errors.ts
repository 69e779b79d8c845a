/** `/docs/errors`: one anchor per code, made from the table that the Worker answers from. */
import { ERRORS, type ErrorCode } from "../http/errors.ts";

/** What a reader should do, per code. A code without a text does not compile. */
const REMEDIES: Readonly<Record<ErrorCode, string>> = {
  invalid_json: "The body is no JSON document. Send one JSON object, encoded as UTF-8.",
  invalid_request:
    "A member that the router reads is missing, of the wrong type or out of range. `error.param` names it.",
  unknown_route:
    "The model name is no route, alias or raw model that this key may call. `GET /v1/models` lists the names.",
  invalid_header: "A header of the router's own cannot be read. `error.param` names it.",
  no_capable_target:
    "No target of the route can serve what the request asks for: a part, a tool, a format, or the providers that `only` and `avoid` left. The message names it.",
  context_length_exceeded:
    "The conversation is longer than the window of every target. Shorten it, or add a target with a larger window.",
  content_filter:
    "The provider's filter refused the request. Add `content_filter` to `fallback.on` to try the next target.",
  upstream_invalid_request:
    "The provider refused the request in a way that every provider would. Its message is passed on.",
  missing_api_key: "Send `Authorization: Bearer fl_…`.",
  invalid_api_key: "The key is unknown, mistyped, expired, paused or revoked. Check it, or ask for a new one.",
  budget_exceeded:
    "The key's budget does not cover what the request may cost. `error.limit` says what is left and which `max_tokens` would fit.",
  request_budget_exceeded: "The request may cost more than its own spend budget. Raise it, or lower `max_tokens`.",
  model_unpriced:
    "The cost of the request cannot be bounded: a model without a price, or a part or tool without a token ceiling. The message names it.",
  env_mismatch: "`X-FlowLayer-Env` names another environment than the key's. Use a key of that environment.",
  app_not_allowed: "The key may not be used for this app. Send one of its apps.",
  route_not_allowed: "The key is limited to certain routes. Use one of them.",
  scope_required: "The key lacks the scope that this endpoint needs. Use a key that has it.",
  browser_request: "The request comes from a page in a browser. Keys are for servers only: call from there.",
  tool_approval_required:
    "The request carries the result of a tool call that was not approved. Approve it, then send the step again.",
  tool_call_denied: "The tool call was denied. Remove its result.",
  tool_call_altered: "Name or arguments of the call differ from what was recorded. Send them back unchanged.",
  tool_approval_expired: "The time to decide is over. Let the model make the call again.",
  not_found: "There is no such address. The message says what to use instead.",
  unknown_trace:
    "No settled trace with this id belongs to this key. A stream's trace appears about two seconds after it ends.",
  method_not_allowed: "The address exists, the method does not. `Allow` lists the methods.",
  request_too_large: "The body is larger than the endpoint takes. Send less, or send references.",
  unsupported_media_type: "Send `Content-Type: application/json`, uncompressed.",
  approval_decided: "Somebody decided otherwise already. A decision is final.",
  promotion_blocked:
    "The candidate's evidence does not meet the gates. `error.gates` lists wanted and measured values.",
  promotion_required: "This environment is guarded: promote a version that passed its gates, or give a reason.",
  version_mismatch: "Somebody published another version meanwhile. Read it, then send your change again.",
  rate_limit_exceeded: "A limit of the key is reached. Wait for `Retry-After`.",
  upstream_rate_limited: "Every target is rate limited. Wait for `Retry-After`, or add a target.",
  upstream_failed: "Every target failed. The message names each of them with its class.",
  ledger_unavailable: "The key's spend ledger did not respond in time. The request was not sent; try again.",
  no_target_configured:
    "No target of the route has its credentials, or all are disabled. `GET /admin/providers` lists what is missing.",
  all_targets_down: "The breakers of all targets are open. They close after one good probe.",
  admin_disabled: "Set the Worker secret `FLOW_ADMIN_TOKEN` to at least 32 characters.",
  upstream_timeout: "No target answered in time. See `timeouts` in the policy.",
  latency_budget_exceeded: "The latency budget ended and the policy is `hard`. Raise the budget, or use `soft`.",
  wrong_route_kind:
    "The route serves another kind of request: a chat route no embeddings, an embedding route no conversation. Name another route.",
  tool_not_gateable:
    "A tool that the provider runs by itself was offered behind the approval gate. Name it in the policy's `tools.auto_approve`, or leave it out.",
  range_not_kept: "Figures of a part of the range are not kept any more. `error.first_day` is the first day that is.",
  unknown_environment: "This environment has no keys or routes yet. Check its name, or add `?new_env=true`.",
  role_required: "The operator's token has another role. `error.role` is the one that is needed.",
  response_not_found:
    "The response is unknown, has expired, was not stored or belongs to another secret. Send the whole input.",
  alias_taken: "The alias belongs to another route (`error.route`) or is its name. Choose another one.",
  provider_in_use: "`error.routes` use the provider. Change them, or delete it with `?force=<reason>`.",
  not_empty: "An import needs an empty deployment, and this one has keys, routes or budgets.",
  internal_error: "A fault of the router itself. Quote the trace id when you report it.",
  overloaded: "This instance holds as many request bodies as it may. Wait for `Retry-After`.",
  policy_unavailable: "A stored policy or key cannot be read at the moment. Try again.",
};

export function errorsMarkdown(): string {
  const sections = Object.entries(ERRORS).map(([code, row]) => {
    const remedy = REMEDIES[code as ErrorCode];
    const retry = row.retry ? "The same request may be sent again." : "Sending the same request again does not help.";
    return `## ${code}\n\nStatus ${row.status}, type \`${row.type}\`. ${remedy} ${retry}\n`;
  });
  const intro =
    "Every error is JSON: `error.message` says what is wrong and what to do, `error.code` is one of the codes below, and `x-request-id` names the trace. `x-should-retry` says whether the same request is worth another try.";
  return `${intro}\n\n${sections.join("\n")}`;
}
