/**
 * `/admin/providers`: which providers this deployment can call, how their targets fare, and operators' own endpoints.
 *
 * Names of missing secrets, never a value, and no address from a variable: it may hold a credential. Of an operator's
 * own provider the address is shown, as it came in here. The figures are those of each target's own object and advisory:
 * one that does not answer is `unknown` and holds up nothing.
 */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import { secretsOf, settingsOf } from "../config.ts";
import { withControl } from "../control/client.ts";
import type { TargetUse } from "../control/types.ts";
import { targetSnapshot } from "../health/client.ts";
import { restsUntil } from "../health/credentials.ts";
import type { LastFailure, LatencySummary, TargetDetails } from "../health/types.ts";
import { BODY_LIMITS } from "../http/body.ts";
import { RouterError } from "../http/errors.ts";
import { readJson } from "../http/json-body.ts";
import { badCursor, readLimit, toList } from "../http/pagination.ts";
import { badParameter, readQuery, refuseQuery } from "../http/query.ts";
import { type Reach, upstreamUrl } from "../lib/upstream-url.ts";
import { PROVIDER_ID, type ProviderRecord, ProviderRequest } from "../policy/provider-record.ts";
import { forgetProvider } from "../policy/store.ts";
import type { Provider, Secrets } from "../providers/adapter.ts";
import { credentialsOf } from "../providers/credential-pool.ts";
import { findProvider, isKnownProvider, missingNames, operatorProvider, providerIds } from "../providers/index.ts";
import type { AdminEnv } from "./access/authorize.ts";
import { readFlag, readReason } from "./options.ts";
import { patchProvider, toDisabled } from "./provider-switch.ts";

/** What the health of a target tells about. */
const WINDOW_SECONDS = 60;
const MAX_CALLS_AT_A_TIME = 6;
/** In a message; all of them are in `error.routes`. */
const MAX_ROUTES_SHOWN = 10;
/** For all targets together: those not asked by then are `unknown`. */
const SNAPSHOTS_LIMIT_MS = 5_000;

export const providersApp = new Hono<AdminEnv>();

providersApp.get("/", async (c) => {
  const query = readQuery(c, ["limit", "cursor", "configured"]);
  const limit = readLimit(query.limit);
  const isWanted = query.configured === undefined ? null : readFlag(query, "configured");
  const own = await ownProviders(c);
  const isConfigured = (id: string): boolean => {
    const provider = providerOf(id, own);
    return provider !== undefined && credentialsOf(provider, secretsOf(c.env)).length > 0;
  };
  const known = [...providerIds(), ...own.keys()];
  const ids = isWanted === null ? known : known.filter((id) => isConfigured(id) === isWanted);
  const start = startOf(ids, query.cursor);
  const page = ids.slice(start, start + limit);
  const uses = await withControl(c.env.CONTROL_PLANE, (control) => control.listTargets());
  const data = await describe(c, page, own, uses);
  return c.json(toList(data, start + limit < ids.length ? (page.at(-1) ?? null) : null));
});

providersApp.put("/:id", async (c) => {
  refuseQuery(c);
  const id = c.req.param("id");
  refuseBuiltIn(id);
  if (!PROVIDER_ID.test(id)) throw badParameter("id", `in the path must match ${PROVIDER_ID.source}`);
  const {
    protocol,
    base_url: text,
    secret = null,
    secrets,
    clean = false,
  } = await readJson(c, ProviderRequest, BODY_LIMITS.admin);
  const reach: Reach = settingsOf(c.env).allowsPrivateUpstreams ? "any" : "public";
  const baseUrl = upstreamUrl(text, reach);
  if (baseUrl === null) {
    const elsewhere = reach === "any" ? "" : " (private ones only with FLOW_ALLOW_PRIVATE_UPSTREAMS=1)";
    const must = `must be an https address of a public host${elsewhere}, without user, query and fragment`;
    throw badParameter("base_url", must);
  }
  if (reach === "public" && new URL(baseUrl).port !== "") throw badParameter("base_url", "must be on port 443");
  if (secrets !== undefined && secret !== null)
    throw badParameter("secrets", "is in place of `secret`: send one of them");
  const pool = secrets === undefined ? {} : { secrets };
  // A release that knows one secret only goes on with the first.
  const first = secrets?.[0] ?? secret;
  const record: ProviderRecord = { id, protocol, base_url: baseUrl, secret: first, ...pool, clean };
  const result = await withControl(c.env.CONTROL_PLANE, (control) => control.putProvider(record, c.get("actor")));
  if (!result.ok) throw new RouterError("invalid_request", "Provider limit (200) reached. Delete one first.");
  forgetProvider(id);
  const { credentials, ...made } = toOwn(record, secretsOf(c.env));
  return c.json(secrets === undefined ? made : { ...made, credentials });
});

providersApp.patch("/:id", patchProvider);
providersApp.patch("/:id/*", patchProvider);

providersApp.delete("/:id", async (c) => {
  const id = c.req.param("id");
  refuseBuiltIn(id);
  const { reason = null } = readReason(readQuery(c, ["force"]), "force", "reason");
  const result = await withControl(c.env.CONTROL_PLANE, (control) =>
    control.deleteProvider(id, c.get("actor"), reason),
  );
  if (!result.ok && result.reason === "in_use") {
    const message = `Routes use this provider: ${result.routes.slice(0, MAX_ROUTES_SHOWN).join(", ")}. Change them first, or give a reason with \`?force=<reason>\`.`;
    throw new RouterError("provider_in_use", message, { details: { routes: result.routes } });
  }
  if (!result.ok) throw new RouterError("not_found", "No provider with this id exists.");
  forgetProvider(id);
  return c.body(null, 204);
});

function refuseBuiltIn(id: string): void {
  // `flow/<name>` is a route wherever a model is named.
  if (!isKnownProvider(id) && id !== "flow") return;
  throw new RouterError("invalid_request", `\`${id}\` is built in. Choose another id.`, { param: "id" });
}

/** By id. One that a later release has built in gives way to it. */
async function ownProviders(c: Context<AdminEnv>): Promise<ReadonlyMap<string, ProviderRecord>> {
  const records = await withControl(c.env.CONTROL_PLANE, (control) => control.listProviders());
  return new Map(records.filter(({ id }) => !isKnownProvider(id)).map((record) => [record.id, record]));
}

function toOwn(record: ProviderRecord, secrets: Secrets) {
  const provider = operatorProvider(record);
  return { ...record, ...toConfigured(provider, secrets) };
}

/** Credentials by number. `rests_until` is what this isolate knows: of the others each learns by itself. */
function toConfigured(provider: Provider, secrets: Secrets) {
  const now = Date.now();
  const credentials = credentialsOf(provider, secrets).map(({ number }) => {
    const until = restsUntil(provider.id, number, now);
    return { number, rests_until: until === 0 ? null : isoTime(until) };
  });
  const configured = credentials.length > 0;
  return { configured, missing: configured ? [] : missingNames(provider, secrets), credentials };
}

/** The cursor is the last id shown. */
function startOf(ids: readonly string[], cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  const at = ids.indexOf(cursor);
  if (at === -1) throw badCursor();
  return at + 1;
}

async function describe(
  c: Context<AdminEnv>,
  ids: readonly string[],
  own: ReadonlyMap<string, ProviderRecord>,
  uses: readonly TargetUse[],
) {
  const asked = uses.filter((use) => ids.includes(use.provider));
  const [states, disabled] = await Promise.all([
    snapshots(c.env.PROVIDER_HEALTH, asked),
    withControl(c.env.CONTROL_PLANE, (control) => control.listDisabled()),
  ]);
  const off = new Map(disabled.map((entry) => [entry.name, entry]));
  // The bindings and variables of a Worker are one object; the provider table picks what it knows by name.
  const secrets = secretsOf(c.env);
  return ids.flatMap((id) => {
    const record = own.get(id);
    const provider = providerOf(id, own);
    if (provider === undefined) return [];
    const targets = asked.flatMap((use, index) => {
      if (use.provider !== id) return [];
      return [{ ...toTarget(use, states[index] ?? null), disabled: toDisabled(off.get(`${id}/${use.model}`)) }];
    });
    const state = { disabled: toDisabled(off.get(id)), targets };
    if (record !== undefined) return [{ ...toOwn(record, secrets), ...state }];
    return [{ id, ...toConfigured(provider, secrets), ...state }];
  });
}

function providerOf(id: string, own: ReadonlyMap<string, ProviderRecord>): Provider | undefined {
  const record = own.get(id);
  return record === undefined ? findProvider(id) : operatorProvider(record);
}

/** The health of each target in its place; `null` where its object did not answer in time. Never rejects. */
export async function snapshots(
  namespace: AdminEnv["Bindings"]["PROVIDER_HEALTH"],
  uses: readonly Pick<TargetUse, "provider" | "model">[],
): Promise<readonly (TargetDetails | null)[]> {
  const found = uses.map((): TargetDetails | null => null);
  const giveUpAt = Date.now() + SNAPSHOTS_LIMIT_MS;
  const waiting = uses.entries();
  const askInTurn = async (): Promise<void> => {
    // All of them take from the same iterator.
    for (const [index, { provider, model }] of waiting) {
      if (Date.now() >= giveUpAt) return;
      found[index] = await targetSnapshot(namespace, `${provider}/${model}`);
    }
  };
  await Promise.all(Array.from({ length: MAX_CALLS_AT_A_TIME }, askInTurn));
  return found;
}

function toTarget({ model, routes }: TargetUse, health: TargetDetails | null) {
  const requests = health?.requests ?? null;
  const failures = health?.failures ?? null;
  return {
    model,
    routes,
    state: health?.state ?? "unknown",
    open_until: health === null || health.state === "closed" ? null : isoTime(health.openUntil),
    cooldown_until: health === null || health.cooldownUntil <= health.at ? null : isoTime(health.cooldownUntil),
    ejections: health?.ejections ?? null,
    requests,
    failures,
    error_rate: requests === null || failures === null || requests === 0 ? null : failures / requests,
    rate_limited: health?.rateLimited ?? null,
    first_token_ms: toQuantiles(health?.firstToken ?? null),
    total_ms: toQuantiles(health?.total ?? null),
    window_seconds: WINDOW_SECONDS,
    open_for_key: health?.openFor ?? null,
    // What isolates hold against it by themselves, while the shared breaker may be closed.
    resting_isolates: health?.penalties ?? null,
    unclean_until:
      health === null || (health.uncleanUntil ?? 0) <= health.at ? null : isoTime(health.uncleanUntil ?? 0),
    last_failure: toFailure(health?.lastFailure ?? null),
    openings: (health?.openings ?? []).map(({ at, until, class: kind }) => {
      return { at: isoTime(at), until: isoTime(until), class: kind };
    }),
  };
}

/** In the provider's words, scrubbed where they came in. */
function toFailure(failure: LastFailure | null) {
  if (failure === null) return null;
  const { at, class: kind, status, code = null, message = null, requestId = null } = failure;
  const words = { provider_code: code, provider_message: message, provider_request_id: requestId };
  return { at: isoTime(at), class: kind, status, ...words };
}

function toQuantiles(latency: LatencySummary | null): { readonly p50: number; readonly p95: number } | null {
  return latency === null ? null : { p50: latency.p50Ms, p95: latency.p95Ms };
}

/** `null` for a number that is no time. */
function isoTime(epochMs: number): string | null {
  const time = new Date(epochMs);
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}
