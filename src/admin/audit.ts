/** `/admin/audit`: who changed what, newest first. No line holds a secret, so it can be shown to every operator. */
import { Hono } from "hono/tiny";
import { withControl } from "../control/client.ts";
import { listBody, readTime } from "../http/pagination.ts";
import { listParameters, matching, readQuery } from "../http/query.ts";
import type { AdminEnv } from "./access/authorize.ts";

const FILTERS = ["actor", "action", "object", "since", "until"] as const;
const TEXT = /^[^\p{Cc}]{1,300}$/u;

export const auditApp = new Hono<AdminEnv>();

auditApp.get("/", async (c) => {
  const { actor, action, object, since, until } = readQuery(c, [...FILTERS, "limit", "cursor"]);
  const query = {
    ...listParameters(c, FILTERS),
    actor: matching("actor", actor, TEXT, "must be the name of an operator"),
    action: matching("action", action, TEXT, "must be an action such as `key.update`, or `key` for all of keys"),
    object: matching("object", object, TEXT, "must be an object such as `route production/fast`"),
    since: readTime("since", since),
    until: readTime("until", until),
  };
  const page = await withControl(c.env.CONTROL_PLANE, (control) => control.listAudit(query));
  return c.json(listBody(page, (entry) => entry));
});
