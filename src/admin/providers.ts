/**
 * `/admin/providers`: which providers this deployment can call, and how their targets fare.
 *
 * Names of missing secrets, never a value, and no address: an address may hold a credential. The figures are those of
 * each target's own object and advisory: one that does not answer is `unknown` and holds up nothing.
 */
import { type Context, Hono } from "hono";
import { withControl } from "../control/client.ts";
import type { TargetUse } from "../control/types.ts";
import { targetSnapshot } from "../health/client.ts";
import type { HealthSnapshot, LatencySummary } from "../health/types.ts";
import { badCursor, readLimit, toList } from "../lists.ts";
import type { Secrets } from "../providers/adapter.ts";
import { findProvider, missingNames, providerIds } from "../providers/index.ts";
import type { AdminEnv } from "./authorize.ts";

/** What the health of a target tells about. */
const WINDOW_SECONDS = 60;
const MAX_CALLS_AT_A_TIME = 6;
/** For all targets together: those not asked by then are `unknown`. */
const SNAPSHOTS_LIMIT_MS = 5_000;

export const providersApp = new Hono<AdminEnv>();

providersApp.get("/", async (c) => {
  const limit = readLimit(c.req.query("limit"));
  const ids = providerIds();
  const start = startOf(ids, c.req.query("cursor"));
  const page = ids.slice(start, start + limit);
  const uses = await withControl(c.env.CONTROL_PLANE, (control) => control.listTargets());
  const data = await describe(c, page, uses);
  return c.json(toList(data, start + limit < ids.length ? (page.at(-1) ?? null) : null));
});

/** The cursor is the last id shown. */
function startOf(ids: readonly string[], cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  const at = ids.indexOf(cursor);
  if (at === -1) throw badCursor();
  return at + 1;
}

async function describe(c: Context<AdminEnv>, ids: readonly string[], uses: readonly TargetUse[]) {
  const asked = uses.filter((use) => ids.includes(use.provider));
  const states = await snapshots(c.env.PROVIDER_HEALTH, asked);
  // The bindings and variables of a Worker are one object; the provider table picks what it knows by name.
  const secrets = c.env as unknown as Secrets;
  return ids.flatMap((id) => {
    const provider = findProvider(id);
    if (provider === undefined) return [];
    const targets = asked.flatMap((use, index) => (use.provider === id ? [toTarget(use, states[index] ?? null)] : []));
    const configured = provider.configure(secrets) !== null;
    return [{ id, configured, missing: configured ? [] : missingNames(provider, secrets), targets }];
  });
}

/** The health of each target in its place; `null` where its object did not answer in time. Never rejects. */
export async function snapshots(
  namespace: AdminEnv["Bindings"]["PROVIDER_HEALTH"],
  uses: readonly Pick<TargetUse, "provider" | "model">[],
): Promise<readonly (HealthSnapshot | null)[]> {
  const found = uses.map((): HealthSnapshot | null => null);
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

function toTarget({ model, routes }: TargetUse, health: HealthSnapshot | null) {
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
  };
}

function toQuantiles(latency: LatencySummary | null): { readonly p50: number; readonly p95: number } | null {
  return latency === null ? null : { p50: latency.p50Ms, p95: latency.p95Ms };
}

/** `null` for a number that is no time. */
function isoTime(epochMs: number): string | null {
  const time = new Date(epochMs);
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}
