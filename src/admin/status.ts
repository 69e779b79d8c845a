/**
 * `/admin/status`: whether everything that the service needs works. 503 if one check fails, so that a monitor needs to
 * read nothing.
 *
 * Asks, and changes nothing. Of ledgers those of the newest keys are asked: all of them would be one call per key.
 */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import { secretsOf } from "../config.ts";
import { withControl } from "../control/client.ts";
import { targetSnapshot } from "../health/client.ts";
import { refuseQuery } from "../http/query.ts";
import { ledgerStanding } from "../ledger/client/client.ts";
import { withTimeout } from "../lib/time/with-timeout.ts";
import { VERSION } from "../lib/version.ts";
import { CATALOGUE_ROW } from "../prices/book.ts";
import { credentialsOf } from "../providers/credential-pool.ts";
import { findProvider, missingNames, operatorProvider } from "../providers/index.ts";
import { queryTraces } from "../trace-index/client.ts";
import type { AdminEnv } from "./access/authorize.ts";

const CHECK_LIMIT_MS = 5_000;
const LEDGERS_ASKED = 20;
/** What waits longer than this waits for something that does not come by itself. */
const LATE_MS = 60_000;

interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** How long it took. */
  readonly ms: number;
  readonly detail: string | null;
}

type Finding = { readonly ok: boolean; readonly detail?: string };

export const statusApp = new Hono<AdminEnv>();

statusApp.get("/", async (c) => {
  refuseQuery(c);
  const checks = (
    await Promise.all([
      one("kv", async () => {
        await c.env.CONFIG.get("health");
        return { ok: true };
      }),
      one("control", () => controlFinding(c)),
      one("health", async () => {
        const answered = (await targetSnapshot(c.env.PROVIDER_HEALTH, "status/check")) !== null;
        return answered ? { ok: true } : { ok: false, detail: "A target's object did not answer within a second." };
      }),
      one("trail", () => trailFinding(c)),
      one("ledgers", () => ledgersFinding(c)),
      secretChecks(c),
    ])
  ).flat();
  const ok = checks.every((check) => check.ok);
  const [, catalogue = CATALOGUE_ROW] = CATALOGUE_ROW.split(":");
  return c.json({ version: VERSION, catalogue, ok, checks }, ok ? 200 : 503);
});

/** Never rejects: what fails is a finding. */
async function one(name: string, look: () => Promise<Finding>): Promise<readonly Check[]> {
  const startedAt = Date.now();
  const finding = await withTimeout(CHECK_LIMIT_MS, look).catch((): Finding => {
    return { ok: false, detail: `It failed, or did not answer within ${CHECK_LIMIT_MS / 1000} s.` };
  });
  return [{ name, ok: finding.ok, ms: Date.now() - startedAt, detail: finding.detail ?? null }];
}

async function controlFinding(c: Context<AdminEnv>): Promise<Finding> {
  const { waiting, oldestAt, alarmAt } = await withControl(c.env.CONTROL_PLANE, (control) => control.standing());
  return late("KV", waiting, oldestAt, alarmAt);
}

function late(receiver: string, waiting: number, oldestAt: number | null, alarmAt: number | null): Finding {
  const now = Date.now();
  const alarmMs = alarmAt === null ? 0 : Math.max(0, now - alarmAt);
  const oldestMs = oldestAt === null ? 0 : Math.max(0, now - oldestAt);
  if (alarmMs > LATE_MS) return { ok: false, detail: `An alarm is ${alarmMs} ms behind.` };
  if (oldestMs > LATE_MS)
    return { ok: false, detail: `${waiting} changes wait for ${receiver}, the oldest for ${oldestMs} ms.` };
  return waiting === 0 ? { ok: true } : { ok: true, detail: `${waiting} changes are on their way to ${receiver}.` };
}

/** The trail of one environment answers; what is late shows in the ledgers that feed it. */
async function trailFinding(c: Context<AdminEnv>): Promise<Finding> {
  const envs = await withControl(c.env.CONTROL_PLANE, (control) => control.listEnvironments());
  const now = Date.now();
  await queryTraces(c.env.TRAIL_INDEX, { envs: envs.slice(0, 1), now, since: now - LATE_MS, limit: 1 });
  return { ok: true };
}

async function ledgersFinding(c: Context<AdminEnv>): Promise<Finding> {
  const page = await withControl(c.env.CONTROL_PLANE, (control) => control.listKeys(LEDGERS_ASKED, null));
  const standings = await Promise.all(page.data.map(({ id }) => ledgerStanding(c.env.KEY_LEDGER, id)));
  const findings = standings.map(({ waiting, oldestAt, alarmAt }) => late("the trail", waiting, oldestAt, alarmAt));
  return findings.find(({ ok }) => !ok) ?? { ok: true, detail: `${standings.length} ledgers answered.` };
}

/** One check for each provider that an active route names. */
async function secretChecks(c: Context<AdminEnv>): Promise<readonly Check[]> {
  const startedAt = Date.now();
  try {
    const [uses, records] = await withControl(c.env.CONTROL_PLANE, (control) =>
      Promise.all([control.listTargets(), control.listProviders()]),
    );
    const own = new Map(records.map((record) => [record.id, operatorProvider(record)]));
    const named = new Set(uses.flatMap(({ provider, routes }) => (routes.length === 0 ? [] : [provider])));
    const secrets = secretsOf(c.env);
    return [...named].sort().map((id): Check => {
      const provider = findProvider(id) ?? own.get(id);
      const ok = provider !== undefined && credentialsOf(provider, secrets).length > 0;
      const missing =
        provider === undefined ? "There is no such provider." : `Set ${missingNames(provider, secrets).join(", ")}.`;
      return { name: `secrets:${id}`, ok, ms: 0, detail: ok ? null : missing };
    });
  } catch {
    return [{ name: "secrets", ok: false, ms: Date.now() - startedAt, detail: "The control plane did not answer." }];
  }
}
