/**
 * `POST /admin/demo`: settles made-up requests of the last hour through the ledger's own path, for `npm start -- --demo`.
 *
 * It exists only where the sandbox does: on a deployment made-up requests would be figures that lie.
 */
import { Hono } from "hono/tiny";
import * as z from "zod/mini";
import { settingsOf } from "../config.ts";
import { withControl } from "../control/client.ts";
import { BODY_LIMITS } from "../http/body.ts";
import { RouterError } from "../http/errors.ts";
import { readJson } from "../http/json-body.ts";
import { listTraces } from "../ledger/client/client.ts";
import type { AdminEnv } from "./access/authorize.ts";
import { demoRows } from "./demo-rows.ts";

const DemoRequest = z.strictObject({ key: z.string() });
const ROWS_AT_A_TIME = 100;

export const demoApp = new Hono<AdminEnv>();

/** `{key}`: the id of a key that nothing was sent with. One that has requests gets none. Answers how many were added. */
demoApp.post("/", async (c) => {
  if (!settingsOf(c.env).hasSandbox)
    throw new RouterError("not_found", "No such admin endpoint. GET /openapi.json lists them.");
  const { key } = await readJson(c, DemoRequest, BODY_LIMITS.admin);
  const record = await withControl(c.env.CONTROL_PLANE, (control) => control.getKey(key));
  if (record === null) throw new RouterError("not_found", "There is no such key.", { param: "key" });
  const known = await listTraces(c.env.KEY_LEDGER, key, { limit: 1 });
  if (known.data.length > 0) return c.json({ added: 0 });
  const rows = demoRows({ keyId: key, env: record.env, now: Date.now() });
  const ledger = c.env.KEY_LEDGER.getByName(key);
  for (let at = 0; at < rows.length; at += ROWS_AT_A_TIME) await ledger.settle(rows.slice(at, at + ROWS_AT_A_TIME));
  return c.json({ added: rows.length });
});
