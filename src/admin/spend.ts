/** `/admin/spend`: what the deployment has spent, in groups, from the same traces that the ledgers keep. */
import { Hono } from "hono";
import { readTime } from "../http/pagination.ts";
import { badParameter, oneOf, readQuery } from "../http/query.ts";
import { monthStart } from "../trace-index/calendar.ts";
import { findSpend, SPEND_GROUPS } from "../trace-index/client.ts";
import type { AdminEnv } from "./authorize.ts";
import { environments } from "./traces.ts";

export const spendApp = new Hono<AdminEnv>();

/** Without `since`: from the start of this month, UTC. Without `until`: all there is. */
spendApp.get("/", async (c) => {
  const query = readQuery(c, ["group_by", "since", "until"]);
  const groupBy = oneOf("group_by", query.group_by, SPEND_GROUPS);
  if (groupBy === undefined) throw badParameter("group_by", `is required: one of ${SPEND_GROUPS.join(", ")}`);
  const now = Date.now();
  const spend = await findSpend(c.env.TRAIL_INDEX, {
    groupBy,
    since: readTime("since", query.since) ?? monthStart(now),
    until: readTime("until", query.until),
    envs: await environments(c),
    now,
  });
  return c.json({ object: "spend", group_by: groupBy, ...spend });
});
