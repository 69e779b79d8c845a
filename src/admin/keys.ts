/**
 * `/admin/keys`: issue, look at and revoke API keys.
 *
 * The token of a key is in the answer that creates it and nowhere else. Revocation goes to the key's ledger first,
 * which refuses the next call of a budgeted key at once, and then to KV, which the other requests read.
 */
import { type Context, Hono } from "hono";
import { controlPlane, withControl } from "../control/client.ts";
import { RouterError } from "../errors.ts";
import { KeyRequest, type PublicKey } from "../keys/record.ts";
import { forgetKey } from "../keys/store.ts";
import { keySpend, revokeLedger } from "../spend/client.ts";
import type { AdminEnv } from "./authorize.ts";
import { listBody, listParameters, readBody } from "./body.ts";

export const keysApp = new Hono<AdminEnv>();

keysApp.post("/", async (c) => {
  const request = await readBody(c, KeyRequest);
  const created = await controlPlane(c.env.CONTROL_PLANE).createKey(inUtc(request), c.get("actor"));
  if (!created.ok) {
    throw new RouterError(
      "admin_disabled",
      "Keys cannot be created. Set the secret FLOW_KEY_PEPPER to a long random text.",
    );
  }
  return c.json({ ...created.key, spend: unspent(created.key.budget), key: created.token }, 201);
});

keysApp.get("/", async (c) => {
  const { limit, before } = listParameters(c);
  const page = await withControl(c.env.CONTROL_PLANE, (control) => control.listKeys(limit, before));
  return c.json(listBody(page, (key) => key));
});

keysApp.get("/:id", async (c) => {
  const key = await findKey(c, c.req.param("id"));
  const spend = await keySpend(c.env.KEY_LEDGER, key.id, key.budget);
  return c.json({ ...key, spend });
});

keysApp.delete("/:id", async (c) => {
  const { id } = await findKey(c, c.req.param("id"));
  // A ledger that cannot be reached must not keep the key alive in KV: the operator learns of it only afterwards.
  const [ledger] = await Promise.allSettled([revokeLedger(c.env.KEY_LEDGER, id)]);
  await withControl(c.env.CONTROL_PLANE, (control) => control.revokeKey(id, c.get("actor")));
  forgetKey(id);
  if (ledger.status === "rejected") throw ledger.reason;
  return c.body(null, 204);
});

async function findKey(c: Context<AdminEnv>, id: string): Promise<PublicKey> {
  const key = await withControl(c.env.CONTROL_PLANE, (control) => control.getKey(id));
  if (key === null) throw new RouterError("not_found", "There is no key with this id.");
  return key;
}

/** `spend` of a key that was never used, without asking a ledger: the token must not be lost over that question. */
function unspent(budget: PublicKey["budget"]) {
  const limit = budget?.limit_usd ?? null;
  return { period: budget?.period ?? "total", limit_usd: limit, spent_usd: 0, reserved_usd: 0, remaining_usd: limit };
}

/** Times are kept in UTC, whatever zone the operator wrote. */
function inUtc(request: KeyRequest): KeyRequest {
  if (request.expires_at === undefined) return request;
  const expiresAt = new Date(request.expires_at);
  if (Number.isNaN(expiresAt.getTime())) {
    throw new RouterError("invalid_request", "`expires_at`: is not a date that exists.", { param: "expires_at" });
  }
  return { ...request, expires_at: expiresAt.toISOString() };
}
