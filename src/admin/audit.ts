/** `/admin/audit`: who changed what, newest first. Digests instead of documents, so it can be shown to anyone. */
import { Hono } from "hono";
import { withControl } from "../control/client.ts";
import { listBody } from "../http/pagination.ts";
import { listParameters } from "../http/query.ts";
import type { AdminEnv } from "./authorize.ts";

export const auditApp = new Hono<AdminEnv>();

auditApp.get("/", async (c) => {
  const { limit, before } = listParameters(c);
  const page = await withControl(c.env.CONTROL_PLANE, (control) => control.listAudit(limit, before));
  return c.json(listBody(page, (entry) => entry));
});
