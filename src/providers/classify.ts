/**
 * Why an attempt failed, for providers that speak OpenAI's protocol.
 *
 * Pure. Status, codes and types decide, in whatever of a dozen body shapes they stand. Words decide in two places only
 * (`LAST_RESORT`), because some providers give their commonest refusals no code; they are anchored or harmless, since a
 * provider may quote the client's own text.
 */
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import { REMOVED, redactCredentials } from "../lib/redact-credentials.ts";
import { resetDelayMs, retryDelayMs } from "../lib/time/retry-delay.ts";
import type { ProviderConfig, UpstreamError, UpstreamFailure } from "./adapter.ts";
import { memberRefusal } from "./refusals.ts";

type Kind = UpstreamFailure["class"];

const MAX_MESSAGE_LENGTH = 500;
const MAX_PARAM_LENGTH = 100;

/** Codes and types whose meaning holds whatever the status. Compared in lower case. */
const CODES: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ["context_length_exceeded", "context_length"],
  ["context_window_exceeded", "context_length"],
  ["model_context_window_exceeded", "context_length"],
  ["prompt_too_long", "context_length"],
  ["tokens_limit_reached", "context_length"],
  ["content_filter", "content_filter"],
  ["content_filtered", "content_filter"],
  ["content_policy_violation", "content_filter"],
  ["responsibleaipolicyviolation", "content_filter"],
  ["moderation_blocked", "content_filter"],
  // Our account with the provider, or our choice of model: another target may do.
  ["insufficient_quota", "auth"],
  ["insufficient_balance", "auth"],
  ["billing_hard_limit_reached", "auth"],
  ["billing_not_active", "auth"],
  ["invalid_api_key", "auth"],
  ["api_key_invalid", "auth"],
  ["incorrect_api_key", "auth"],
  ["authentication_error", "auth"],
  ["permission_error", "auth"],
  ["account_deactivated", "auth"],
  ["organization_restricted", "auth"],
  ["unsupported_country_region_territory", "auth"],
  ["model_not_found", "auth"],
  ["model_not_available", "auth"],
  ["model_decommissioned", "auth"],
  ["model_terms_required", "auth"],
  ["invalid_model", "auth"],
  // Gateways in a chain (LiteLLM, new-api): the operator's account there, not the client's request.
  ["budget_exceeded", "auth"],
  ["insufficient_user_quota", "auth"],
  ["insufficient_credits", "auth"],
  ["insufficient_funds", "auth"],
  ["pre_consume_token_quota_failed", "auth"],
  ["credit_balance_too_low", "auth"],
  ["rate_limit_exceeded", "rate_limited"],
  // Groq blames the request when its model wrote a bad tool call or bad JSON.
  ["tool_use_failed", "invalid_response"],
  ["json_validate_failed", "invalid_response"],
]);

/** What a status would have said, for errors that come with status 200. Compared in lower case. */
const STATUS_OF_CODE: ReadonlyMap<string, number> = new Map([
  ["invalid_request_error", 400],
  ["invalid_argument", 400],
  ["failed_precondition", 400],
  ["badrequesterror", 400],
  ["unauthenticated", 401],
  ["permission_denied", 403],
  ["not_found", 404],
  ["not_found_error", 404],
  ["timeout_error", 408],
  ["rate_limit_error", 429],
  ["rate_limit", 429],
  ["too_many_requests", 429],
  ["resource_exhausted", 429],
  ["server_error", 500],
  ["api_error", 500],
  ["internal_error", 500],
  ["internal_server_error", 500],
  ["internal", 500],
  ["unavailable", 503],
  ["service_unavailable", 503],
  ["deadline_exceeded", 504],
  ["overloaded_error", 529],
  ["overloaded", 529],
]);

/** Statuses after which the same target is worth a second try: a full or restarting server, not a broken request. */
const TRY_SAME: ReadonlySet<number> = new Set([500, 502, 503, 504, 529]);
/** An account that is out of credit, and OpenRouter's ceiling on what is in flight, share 402. */
const IN_FLIGHT_BUDGET = "openrouter_in_flight_budget";

/**
 * Used only where the client's request is blamed without a telling code. The first ones lead to another candidate, so a
 * quotation of the client's text does no harm there; the last is anchored, because it blames our credential.
 */
const LAST_RESORT: readonly (readonly [RegExp, Kind])[] = [
  // vLLM, DeepSeek, Together; xAI ("maximum prompt length"); Mistral ("maximum context length").
  [/\bmaximum (?:context|prompt) length\b/i, "context_length"],
  [
    /\bcontext (?:window|length) (?:exceed|limit)|\b(?:exceeds?|longer than) (?:the )?(?:model'?s )?context (?:window|length|limit)\b/i,
    "context_length",
  ],
  [/\bmax_new_tokens`? must be <=/i, "context_length"],
  [/\bprompt is too long\b|^Range of input length\b/i, "context_length"],
  // xAI answers a wrong key of ours with 400 and a code that says only "invalid argument".
  [/^Incorrect API key provided\b/, "auth"],
  // Gateways in a chain tell their own limits, or those of the account they use, as the client's fault. What comes
  // before the words may be a name or a class, never a quotation.
  [/^[\w .:-]{0,80}\bcredit balance is too low\b/i, "auth"],
  [/^(?:litellm\.)?[\w .:-]{0,60}\b(?:Exceeded?Budget|Budget has been exceeded|ExceededTokenBudget)\b/i, "auth"],
  [/^[\w .:-]{0,60}\b(?:insufficient|not enough) (?:account )?(?:balance|credits?|funds|quota)\b/i, "auth"],
  [/^Model (?:Not Exist|not found)\b|^Invalid model\b/i, "auth"],
];

/** What the many shapes have in common. */
interface Details {
  /** Codes, types and reasons, lower case, most telling first. */
  readonly codes: readonly string[];
  /** The HTTP status the body itself names. */
  readonly status: number | undefined;
  readonly message: string | undefined;
  readonly param: string | undefined;
  readonly flagged: boolean;
  readonly inFlightBudget: boolean;
}

/** `codes` are the row's own. `now` is epoch ms, for delays that providers write as a date. */
export function classifyError(
  error: UpstreamError,
  now: number,
  codes: Readonly<Record<string, Kind>> = {},
): UpstreamFailure {
  // Success that is not JSON: a login page, a proxy's greeting.
  if (error.status === 200 && error.body === undefined) {
    return { class: "invalid_response", tryNext: true, trySame: false };
  }
  const details = errorDetails(error.body);
  const status = error.status === 200 ? (details.status ?? 200) : error.status;
  const kind = kindOf(status, details, codes);
  const retryAfterMs = retryDelayMs(error.headers, error.body, now);
  const failure: UpstreamFailure = { class: kind, tryNext: kind !== "invalid_request", trySame: false };
  switch (kind) {
    case "rate_limited": {
      // Too large for the account's rate can never fit (Groq sends it as 413): waiting does not help.
      const delayMs = retryAfterMs ?? resetDelayMs(error.headers, now);
      if (delayMs === undefined) return failure;
      return { ...failure, trySame: status !== 413, retryAfterMs: delayMs };
    }
    case "server_error": {
      const waiting = { ...failure, trySame: TRY_SAME.has(status) };
      return retryAfterMs === undefined ? waiting : { ...waiting, retryAfterMs };
    }
    case "capability": {
      const { retryWithout } = memberRefusal(details) ?? {};
      return { ...failure, ...wordsOf(details), ...(retryWithout === undefined ? {} : { retryWithout }) };
    }
    case "invalid_request":
    case "context_length":
    case "content_filter":
      return { ...failure, ...wordsOf(details) };
    default:
      return failure;
  }
}

function kindOf(status: number, details: Details, own: Readonly<Record<string, Kind>>): Kind {
  if (status === 402 && details.inFlightBudget) return "rate_limited";
  if (details.flagged) return "content_filter";
  // A server that failed has failed, whatever else it says; and a redirect is not an answer at all.
  const readsCodes = status === 200 || (status >= 400 && status < 500);
  const coded = readsCodes ? codedKind(details.codes, own) : undefined;
  const kind = coded ?? (status === 404 && isAboutContent(details) ? "invalid_request" : kindOfStatus(status));
  const isUnserved =
    status === 404 && coded === undefined && /^No endpoints found that support\b/i.test(details.message ?? "");
  if (isUnserved) return "capability";
  if (kind !== "invalid_request") return kind;
  const worded = LAST_RESORT.find(([words]) => words.test(details.message ?? ""))?.[1];
  return worded ?? (memberRefusal(details) === null ? kind : "capability");
}

/**
 * A 404 about something that the client named: a file, a picture, an earlier response. About our model or address it is
 * our own mistake, and a client must not be able to feign that.
 */
function isAboutContent({ message = "", param }: Details): boolean {
  if (/\b(?:model|deployment|engine)s?\b/i.test(message)) return false;
  if (param !== undefined) return !/model|engine|deployment/i.test(param);
  return CONTENT_THINGS.test(message);
}

const CONTENT_THINGS =
  /\b(?:files?|images?|documents?|attachments?|vector[ _]stores?|containers?|threads?|assistants?|previous_response|voices?|items?|tools?)\b/i;

function kindOfStatus(status: number): Kind {
  switch (status) {
    case 200:
      return "server_error";
    case 400:
    case 413:
    case 422:
      return "invalid_request";
    case 401:
    case 402:
    case 403:
    case 404:
      return "auth";
    case 408:
      return "timeout";
    case 409:
    case 425:
      return "server_error";
    case 429:
    // Groq: no capacity left in the flexible tier.
    case 498:
      return "rate_limited";
    default:
      return status >= 500 && status <= 599 ? "server_error" : "invalid_response";
  }
}

function codedKind(codes: readonly string[], own: Readonly<Record<string, Kind>>): Kind | undefined {
  for (const code of codes) {
    const kind = Object.hasOwn(own, code) ? own[code] : CODES.get(code);
    if (kind !== undefined) return kind;
  }
  return undefined;
}

function wordsOf(details: Details): { message?: string; param?: string } {
  const message = details.message === undefined ? "" : redactCredentials(details.message, MAX_MESSAGE_LENGTH);
  const param = details.param === undefined ? "" : redactCredentials(details.param, MAX_PARAM_LENGTH);
  return { ...(message === "" ? {} : { message }), ...(param === "" ? {} : { param }) };
}

/** The provider's own message in an error body, as a client may read it; `undefined` where it has none. */
export function describeError(body: unknown, config: ProviderConfig): string | undefined {
  const { message } = wordsOf(errorDetails(body));
  return withoutCredentials({ class: "server_error", tryNext: false, trySame: false, ...asMessage(message) }, config)
    .message;
}

function asMessage(message: string | undefined): { message?: string } {
  return message === undefined ? {} : { message };
}

/** Config entries that are safe to echo. */
const PUBLIC_NAMES: ReadonlySet<string> = new Set(["anthropic-version", "apiVersion", "region"]);

/** `failure` without what the provider was called with: some repeat it, and not every secret looks like one. */
export function withoutCredentials(failure: UpstreamFailure, config: ProviderConfig): UpstreamFailure {
  const { message, param } = failure;
  if (message === undefined && param === undefined) return failure;
  const clean = (text: string): string => withoutSecretsOf(config, text);
  return {
    ...failure,
    ...(message === undefined ? {} : { message: clean(message).slice(0, MAX_MESSAGE_LENGTH) }),
    ...(param === undefined ? {} : { param: clean(param) }),
  };
}

/** `text` without what the provider was called with. */
export function withoutSecretsOf({ headers, settings }: ProviderConfig, text: string): string {
  const named = Object.entries({ ...headers, ...settings }).filter(([name]) => !PUBLIC_NAMES.has(name));
  const secrets = named.map(([, value]) => value.replace(/^Bearer /, "")).filter((secret) => secret !== "");
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, REMOVED), text);
}

/** `{error: {…}}`, `{error: "…", code}`, flat `{message, type, code}`, `{detail}`, `{base_resp}`, or a list of one. */
export function errorDetails(body: unknown): Details {
  const details = readOwnDetails(body);
  // OpenRouter wraps what the provider behind it said.
  const raw = objectOf(objectOf(objectOf(body)["error"])["metadata"])["raw"];
  const inner = typeof raw === "string" ? tryParseJson(raw.slice(0, MAX_RAW_LENGTH)) : raw;
  // Not every provider says it in JSON.
  if (!isJsonObject(inner)) return isText(raw) ? { ...details, message: raw } : details;
  const { codes, message, param } = readOwnDetails(inner);
  return {
    ...details,
    codes: [...details.codes, ...codes],
    message: message ?? details.message,
    param: param ?? details.param,
  };
}

const MAX_RAW_LENGTH = 65_536;

function readOwnDetails(body: unknown): Details {
  const outer = objectOf(Array.isArray(body) ? body[0] : body);
  const error = isJsonObject(outer["error"]) ? outer["error"] : outer;
  const metadata = objectOf(error["metadata"]);
  const refused = firstFault(error["detail"] ?? objectOf(error["message"])["detail"] ?? outer["detail"]);
  const resp = objectOf(outer["base_resp"]);
  const named = [
    objectOf(error["innererror"])["code"],
    ...listOf(error["details"]).map((each) => objectOf(each)["reason"]),
    error["code"],
    error["type"],
    error["status"],
    outer["code"],
    refused.type,
    resp["status_code"],
  ];
  const codes = named.flatMap((name) => {
    if (typeof name === "number") return [String(name)];
    return typeof name === "string" ? [name.toLowerCase()] : [];
  });
  return {
    codes,
    status: statusOf([error["status_code"], error["raw_status_code"], error["status"], error["code"]], codes),
    message: [error["message"], outer["error"], refused.message, resp["status_msg"]].find(isText),
    param: [error["param"], refused.param].find(isText),
    flagged: metadata["flagged_input"] !== undefined,
    inFlightBudget: metadata["limit_source"] === IN_FLIGHT_BUDGET,
  };
}

function statusOf(named: readonly unknown[], codes: readonly string[]): number | undefined {
  for (const value of named) {
    const status = Number(
      typeof value === "string" && /^\d{3}$/.test(value) ? value : typeof value === "number" && value,
    );
    if (status >= 400 && status <= 599) return status;
  }
  return codes.map((code) => STATUS_OF_CODE.get(code)).find((status) => status !== undefined);
}

/** FastAPI's `detail`: a text, or a list whose `loc` is the path to the field, `body` first. */
function firstFault(detail: unknown): { message?: unknown; param?: string; type?: unknown } {
  if (!Array.isArray(detail)) return { message: detail };
  const first = objectOf(detail[0]);
  const path = listOf(first["loc"]).filter((part, index) => index > 0 || part !== "body");
  const param = path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : `${text}${text === "" ? "" : "."}${String(part)}`),
    "",
  );
  return { message: first["msg"], param, type: first["type"] };
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return isJsonObject(value) ? value : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
