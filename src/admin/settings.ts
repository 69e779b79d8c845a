/** `/admin/settings`: what operators change while the deployment runs. */
import { Hono } from "hono/tiny";
import * as z from "zod/mini";
import { withControl } from "../control/client.ts";
import { BODY_LIMITS } from "../http/body.ts";
import { readJson } from "../http/json-body.ts";
import { refuseQuery } from "../http/query.ts";
import { forgetPrices } from "../prices/store.ts";
import type { AdminEnv } from "./access/authorize.ts";

const MAX_SPEND_TAGS = 4;
/** As clients may name a tag, without what a list of them or a CSV would need to escape. */
const TagName = z
  .string()
  .check(
    z.regex(/^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}$/, "must be the name of a tag: letters, digits, _ . : -, at most 64"),
  );

export const SettingsRequest = z.strictObject({
  /** Tags whose spend is summed, at most four. A value counts from the time its name is on the list. */
  spend_tags: z.array(TagName).check(
    z.maxLength(MAX_SPEND_TAGS),
    z.refine((names) => new Set(names).size === names.length, "must not repeat one"),
  ),
});

export const settingsApp = new Hono<AdminEnv>();

settingsApp.get("/", async (c) => {
  refuseQuery(c);
  return c.json(await withControl(c.env.CONTROL_PLANE, (control) => control.settings()));
});

settingsApp.put("/", async (c) => {
  refuseQuery(c);
  const settings = await readJson(c, SettingsRequest, BODY_LIMITS.admin);
  const kept = await withControl(c.env.CONTROL_PLANE, (control) => control.putSettings(settings, c.get("actor")));
  forgetPrices();
  return c.json(kept);
});
