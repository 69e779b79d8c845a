/** Tokens of a request, counted by the provider that would answer it, where it speaks the client's wire. */
import { type Env, secretsOf } from "../../config.ts";
import { RouterError } from "../../http/errors.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../lib/json.ts";
import { readTextWithin } from "../../lib/read-text.ts";
import { isDisabled } from "../../policy/disabled.ts";
import type { Provider, ProviderConfig } from "../../providers/adapter.ts";
import { withoutCredentials } from "../../providers/classify.ts";
import { credentialsOf } from "../../providers/credential-pool.ts";
import { openHeadersOf } from "../../providers/provider-settings.ts";
import type { ChatRequest } from "../../wires/openai-chat/request-fields.ts";
import type { DoorWire } from "../../wires/wire.ts";
import { identify } from "../authenticate.ts";
import { providersOf } from "../operator-providers.ts";
import { resolve } from "../resolve.ts";
import type { ResolvedRoute } from "../types.ts";

const MAX_COUNT_BYTES = 65_536;
/** A count is asked for before each step of an agent: beyond that an estimate serves better. */
const MAX_COUNT_MS = 10_000;

export interface CountRequest {
  readonly env: Env;
  readonly http: Request;
  readonly key: Parameters<typeof identify>[0];
  /** With the action that counts. */
  readonly request: ChatRequest;
  readonly wire: DoorWire;
  readonly now: number;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

/**
 * The body of the count of the first target that can count; `null` where none can, or where it failed: then an estimate
 * has to do. Throws what the provider refuses of the request itself. Costs nothing, and holds nothing of the key's.
 */
export async function nativeCount(asked: CountRequest): Promise<string | null> {
  const { env, http, key, request, now, waitUntil } = asked;
  const context = { kv: env.CONFIG, now, waitUntil };
  const route = await resolve(request, identify(key, http), "chat", context).catch(onlyUnknown);
  if (route === null || request.own === undefined) return null;
  const find = await providersOf(route.policy.targets, context);
  const target = targetOf(route, asked, find);
  return target === null ? null : ask(target, asked);
}

/** A name that no route has can be counted all the same: by estimate. */
function onlyUnknown(error: unknown): null {
  if (error instanceof RouterError && error.code === "unknown_route") return null;
  throw error;
}

interface CountTarget {
  readonly provider: Provider;
  readonly config: ProviderConfig;
  readonly model: string;
}

function targetOf(
  { policy, only, avoid, disabled }: ResolvedRoute,
  { env, request, wire, now }: CountRequest,
  find: (id: string) => Provider | undefined,
): CountTarget | null {
  for (const target of policy.targets) {
    const { provider: id, model } = target;
    const isOut = only?.includes(id) === false || avoid?.includes(id) === true || isDisabled(disabled, id, model, now);
    const found = isOut ? undefined : find(id);
    const config = found === undefined ? null : (credentialsOf(found, secretsOf(env))[0]?.config ?? null);
    const provider = config === null ? undefined : found?.inWire?.(wire.id, config);
    if (provider === undefined || config === null) continue;
    if (provider.adapter.actions?.includes(request.action ?? "") === true) return { provider, config, model };
  }
  return null;
}

async function ask({ provider, config, model }: CountTarget, { request, http }: CountRequest): Promise<string | null> {
  const own = request.own ?? request;
  const { adapter } = provider;
  const { url, headers, body } = await adapter.toUpstream({
    asked: request,
    body: new JsonEdit(own.text, own.members).remove("route"),
    fields: own.fields,
    stream: false,
    model,
    params: {},
    maxOutputTokens: undefined,
    openHeaders: openHeadersOf(provider.openHeaders, http.headers),
    config,
    action: request.action,
  });
  const signal = AbortSignal.any([http.signal, AbortSignal.timeout(MAX_COUNT_MS)]);
  const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal }).catch(() => null);
  if (response === null) return null;
  const { text } = await readTextWithin(response, MAX_COUNT_BYTES, MAX_COUNT_MS);
  const answer = text === null ? undefined : tryParseJson(text);
  if (response.ok) return isJsonObject(answer) && Number.isSafeInteger(answer["input_tokens"]) ? text : null;
  const classified = adapter.classify({ status: response.status, headers: response.headers, body: answer });
  const { class: kind, message, native } = withoutCredentials(classified, config);
  if (kind !== "invalid_request" && kind !== "context_length") return null;
  throw new RouterError("upstream_invalid_request", message ?? "The provider refused the request as invalid.", {
    ...(native === undefined ? {} : { status: native.status, nativeType: native.type }),
  });
}
