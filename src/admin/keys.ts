/**
 * `/admin/keys`: issue, look at, change, rotate and revoke API keys.
 *
 * The token of a key is in the answer that made it and nowhere else. Revocation goes to the key's ledger first,
 * which refuses the next call of a budgeted key at once, and then to KV, which the other requests read. A change of
 * terms goes the other way: the ledger only hears of it early, and learns of it from the next reservation otherwise.
 */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import { eraseCalls } from "../approvals/client.ts";
import { settingsOf } from "../config.ts";
import { controlPlane, withControl } from "../control/client.ts";
import { eraseResponses } from "../conversation-store/client.ts";
import { BODY_LIMITS } from "../http/body.ts";
import { RouterError } from "../http/errors.ts";
import { readJson, readOptionalJson } from "../http/json-body.ts";
import { listBody } from "../http/pagination.ts";
import { listParameters, oneOf, readQuery, refuseQuery } from "../http/query.ts";
import { pepperId } from "../keys/hash.ts";
import { KeyChange, KeyRequest, KeyRotation, type OperatorKey, type PublicKey } from "../keys/record.ts";
import { forgetKey } from "../keys/store.ts";
import {
  applyTerms,
  eraseTraces,
  type KeySpend,
  keySpend,
  type LedgerAudit,
  ledgerAudit,
  revokeLedger,
} from "../ledger/client/client.ts";
import { toUsd } from "../lib/money.ts";
import { eraseTags } from "../spend-archive/spend.ts";
import { eraseKey } from "../trace-index/client.ts";
import type { AdminEnv } from "./access/authorize.ts";
import { readFlag } from "./options.ts";
import { unknownEnvironment } from "./route-answers.ts";

const LEDGERS_AT_A_TIME = 20;
const FIRST_TIME = Date.parse("0000-01-01T00:00:00Z");
const LAST_TIME = Date.parse("9999-12-31T23:59:59.999Z");

export const keysApp = new Hono<AdminEnv>();

keysApp.post("/", async (c) => {
  const query = readQuery(c, ["new_env"]);
  const request = inUtc(await readJson(c, KeyRequest, BODY_LIMITS.admin));
  const mayBeNewEnvironment = readFlag(query, "new_env");
  const created = await controlPlane(c.env.CONTROL_PLANE).createKey(request, c.get("actor"), mayBeNewEnvironment);
  if (!created.ok) throw refusal(created.reason);
  const key = await shown(c, created.key);
  return c.json({ ...key, spend: unspent(created.key.budget), key: created.token }, 201);
});

keysApp.get("/", async (c) => {
  const { limit, before } = listParameters(c, ["with"]);
  const withSpend = oneOf("with", readQuery(c, ["limit", "cursor", "with"]).with, ["spend"]) === "spend";
  const page = await withControl(c.env.CONTROL_PLANE, (control) => control.listKeys(limit, before));
  const spends = withSpend ? await spendsOf(c, page.data) : [];
  const data = await Promise.all(page.data.map((key) => shown(c, key)));
  const bodies = data.map((key, at) => (withSpend ? { ...key, spend: spends[at] ?? null } : key));
  return c.json(listBody({ ...page, data: bodies }, (key) => key));
});

/** In their order; `null` where a ledger does not answer. */
async function spendsOf(c: Context<AdminEnv>, keys: readonly OperatorKey[]): Promise<readonly (KeySpend | null)[]> {
  const found = keys.map((): KeySpend | null => null);
  const waiting = keys.entries();
  const askInTurn = async (): Promise<void> => {
    // All of them take from the same iterator.
    for (const [at, { id, budget }] of waiting) {
      found[at] = await keySpend(c.env.KEY_LEDGER, id, budget).catch(() => null);
    }
  };
  await Promise.all(Array.from({ length: LEDGERS_AT_A_TIME }, askInTurn));
  return found;
}

/** A key as operators see it: also under which pepper its newest secret is hashed. */
async function shown(c: Context<AdminEnv>, key: OperatorKey) {
  const { pepper, previousPepper } = settingsOf(c.env);
  const { pepper_id: id } = key;
  const isOf = async (one: string): Promise<boolean> => one !== "" && (await pepperId(one)) === id;
  if (id === null) return { ...key, pepper: "unknown" };
  return { ...key, pepper: (await isOf(pepper)) ? "current" : (await isOf(previousPepper)) ? "previous" : "gone" };
}

keysApp.get("/:id", async (c) => {
  refuseQuery(c);
  const key = await findKey(c, c.req.param("id"));
  const spend = await keySpend(c.env.KEY_LEDGER, key.id, key.budget);
  return c.json({ ...(await shown(c, key)), spend });
});

keysApp.patch("/:id", async (c) => {
  refuseQuery(c);
  const change = inUtc(await readJson(c, KeyChange, BODY_LIMITS.admin));
  const id = c.req.param("id");
  const changed = await withControl(c.env.CONTROL_PLANE, (control) => control.updateKey(id, change, c.get("actor")));
  if (!changed.ok) throw refusal(changed.reason);
  forgetKey(id);
  const { key, terms } = changed;
  // What is written is written: a ledger that does not answer leaves only its own figures out.
  const spend = await applyTerms(c.env.KEY_LEDGER, id, terms)
    .then(() => keySpend(c.env.KEY_LEDGER, id, key.budget))
    .catch(() => null);
  return c.json({ ...(await shown(c, key)), spend });
});

keysApp.post("/:id/rotate", async (c) => {
  refuseQuery(c);
  const { overlap_seconds: overlapSeconds } = await readOptionalJson(c, KeyRotation, BODY_LIMITS.admin);
  const id = c.req.param("id");
  const rotated = await controlPlane(c.env.CONTROL_PLANE).rotateKey(id, overlapSeconds, c.get("actor"));
  if (!rotated.ok) throw refusal(rotated.reason);
  forgetKey(id);
  return c.json({ id, key: rotated.token, previous_expires_at: rotated.previousExpiresAt });
});

keysApp.get("/:id/ledger", async (c) => {
  refuseQuery(c);
  const { id } = await findKey(c, c.req.param("id"));
  return c.json(auditBody(await ledgerAudit(c.env.KEY_LEDGER, id)));
});

keysApp.delete("/:id", async (c) => {
  refuseQuery(c);
  const { id } = await findKey(c, c.req.param("id"));
  // A ledger that cannot be reached must not keep the key alive in KV: the operator learns of it only afterwards.
  const [ledger] = await Promise.allSettled([revokeLedger(c.env.KEY_LEDGER, id)]);
  await withControl(c.env.CONTROL_PLANE, (control) => control.revokeKey(id, c.get("actor")));
  forgetKey(id);
  if (ledger.status === "rejected") throw ledger.reason;
  return c.body(null, 204);
});

/** Each part can be done again, so an operator sees a failure and sends the same call. */
keysApp.delete("/:id/data", async (c) => {
  refuseQuery(c);
  const { id, env } = await findKey(c, c.req.param("id"));
  // The ledger first: what it has not sent to the index by then never goes.
  await eraseTraces(c.env.KEY_LEDGER, id);
  await Promise.all([
    eraseKey(c.env.TRAIL_INDEX, env, id, Date.now()).then(() => eraseTags(c.env.SPEND_ARCHIVE, env, id, Date.now())),
    eraseCalls(c.env.TOOL_APPROVALS, id),
    eraseResponses(c.env.CONVERSATION_STORE, id),
  ]);
  await withControl(c.env.CONTROL_PLANE, (control) => control.noteErased(id, c.get("actor")));
  return c.body(null, 204);
});

async function findKey(c: Context<AdminEnv>, id: string): Promise<OperatorKey> {
  const key = await withControl(c.env.CONTROL_PLANE, (control) => control.getKey(id));
  if (key === null) throw refusal("not_found");
  return key;
}

function refusal(
  reason: "not_found" | "revoked" | "expired" | "pepper_missing" | "unknown_environment" | "built_in",
): RouterError {
  switch (reason) {
    case "unknown_environment":
      return unknownEnvironment();
    case "built_in":
      return new RouterError("invalid_request", "This key is built in and has no secret. Create a key of your own.");
    case "not_found":
      return new RouterError("not_found", "There is no key with this id.");
    case "revoked":
      return new RouterError("invalid_request", "The key has been revoked and cannot be restored. Create a new one.");
    case "expired":
      return new RouterError("invalid_request", "The key has expired. Give it a later `expires_at` first.");
    case "pepper_missing":
      return new RouterError(
        "admin_disabled",
        "Keys cannot be created. Set the secret FLOW_KEY_PEPPER to a long random text.",
      );
  }
}

/** `spend` of a key that was never used, without asking a ledger: the token must not be lost over that question. */
function unspent(budget: PublicKey["budget"]) {
  const limit = budget?.limit_usd ?? null;
  return { period: budget?.period ?? "total", limit_usd: limit, spent_usd: 0, reserved_usd: 0, remaining_usd: limit };
}

/** Times are kept in UTC, whatever zone the operator wrote. */
function inUtc<Request extends KeyRequest | KeyChange>(request: Request): Request {
  if (request.expires_at == null) return request;
  const time = Date.parse(request.expires_at);
  // In UTC the first and the last hours of the calendar's four digits are a year that no client can read.
  if (!(time >= FIRST_TIME && time <= LAST_TIME)) {
    throw new RouterError("invalid_request", "`expires_at`: is not a date that exists.", { param: "expires_at" });
  }
  if (time <= Date.now()) {
    throw new RouterError("invalid_request", "`expires_at`: is in the past.", { param: "expires_at" });
  }
  return { ...request, expires_at: new Date(time).toISOString() };
}

/** The books of a key and whether they agree with their own rows, for an operator who doubts them. */
function auditBody(audit: LedgerAudit) {
  const periodBody = ({ spentNanoUsd, reservedNanoUsd, requests, unpricedRequests }: LedgerAudit["day"]) => ({
    spent_usd: toUsd(spentNanoUsd),
    reserved_usd: toUsd(reservedNanoUsd),
    requests,
    unpriced_requests: unpricedRequests,
  });
  return {
    object: "ledger_audit",
    consistent: audit.isConsistent,
    revoked: audit.revoked,
    key_version: audit.keyVersion,
    periods: { day: periodBody(audit.day), month: periodBody(audit.month), total: periodBody(audit.total) },
    booked_usd: toUsd(audit.bookedNanoUsd),
    reserved_usd: toUsd(audit.reservedNanoUsd),
    open_reservations_usd: toUsd(audit.openNanoUsd),
    open_reservations: audit.openReservations,
    open_requests: audit.openRequests,
    over_bound: audit.overBound,
    expired: audit.expired,
    expired_usd: toUsd(audit.expiredNanoUsd),
    unadmitted_usd: toUsd(audit.unadmittedNanoUsd),
    unshipped_traces: audit.unshippedTraces,
    lost_traces: audit.lostTraces,
    lost_usd: toUsd(audit.lostNanoUsd),
    ...(audit.refused === 0 ? {} : { refused_without_trace: audit.refused }),
  };
}
