/** `/admin/webhooks`: which receivers get which events, with which signature, and what became of it. */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import * as z from "zod/mini";
import { settingsOf } from "../config.ts";
import { controlPlane, withControl } from "../control/client.ts";
import { BODY_LIMITS } from "../http/body.ts";
import { RouterError } from "../http/errors.ts";
import { readJson } from "../http/json-body.ts";
import { badCursor, listBody, readLimit, toList } from "../http/pagination.ts";
import { badParameter, listParameters, readQuery, refuseQuery } from "../http/query.ts";
import { RESOURCE_NAME } from "../lib/text/name-patterns.ts";
import { upstreamUrl } from "../lib/upstream-url.ts";
import { EVENT_TYPES } from "../notices/types.ts";
import type { AdminEnv } from "./access/authorize.ts";

const MAX_URL_LENGTH = 2_048;
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/** Body of `PUT /admin/webhooks/{id}`. */
export const WebhookBody = z.strictObject({
  url: z.string().check(z.minLength(1), z.maxLength(MAX_URL_LENGTH)),
  events: z.array(z.enum(EVENT_TYPES)).check(z.minLength(1), z.maxLength(EVENT_TYPES.length)),
});

export const webhooksApp = new Hono<AdminEnv>();

webhooksApp.get("/", async (c) => {
  const query = readQuery(c, ["limit", "cursor"]);
  const limit = readLimit(query.limit);
  const all = await withControl(c.env.CONTROL_PLANE, (control) => control.listWebhooks());
  const start = query.cursor === undefined ? 0 : all.findIndex(({ id }) => id === query.cursor) + 1;
  if (query.cursor !== undefined && start === 0) throw badCursor();
  const page = all.slice(start, start + limit);
  return c.json(toList(page, start + limit < all.length ? (page.at(-1)?.id ?? null) : null));
});

webhooksApp.put("/:id", async (c) => {
  refuseQuery(c);
  const id = c.req.param("id");
  if (!RESOURCE_NAME.test(id)) throw badParameter("id", `in the path must match ${RESOURCE_NAME.source}`);
  const { url: text, events } = await readJson(c, WebhookBody, BODY_LIMITS.admin);
  const url = receiverUrl(text, settingsOf(c.env).allowsPrivateUpstreams);
  if (url === null) throw badParameter("url", "must be an https address of a public host, without user and fragment");
  const request = { url, events: [...new Set(events)] };
  const result = await controlPlane(c.env.CONTROL_PLANE).putWebhook(id, request, c.get("actor"));
  if (result === "too_many") throw new RouterError("invalid_request", "Webhook limit (50) reached. Delete one first.");
  const { webhook, secret } = result;
  return secret === null ? c.json(webhook) : c.json({ ...webhook, secret }, 201);
});

webhooksApp.get("/:id", async (c) => {
  refuseQuery(c);
  return c.json(await found(c));
});

webhooksApp.delete("/:id", async (c) => {
  refuseQuery(c);
  await found(c);
  await withControl(c.env.CONTROL_PLANE, (control) => control.deleteWebhook(c.req.param("id"), c.get("actor")));
  return c.body(null, 204);
});

webhooksApp.post("/:id/rotate", async (c) => {
  refuseQuery(c);
  const id = c.req.param("id");
  const rotated = await controlPlane(c.env.CONTROL_PLANE).rotateWebhook(id, c.get("actor"));
  if (rotated === null) throw noSuchWebhook();
  return c.json({ id, secret: rotated.secret, previous_expires_at: new Date(rotated.previousUntil).toISOString() });
});

webhooksApp.post("/:id/test", async (c) => {
  refuseQuery(c);
  const delivery = await controlPlane(c.env.CONTROL_PLANE).testWebhook(c.req.param("id"));
  if (delivery === null) throw noSuchWebhook();
  return c.json(delivery);
});

webhooksApp.get("/:id/deliveries", async (c) => {
  const { limit, before } = listParameters(c);
  await found(c);
  const id = c.req.param("id");
  const page = await withControl(c.env.CONTROL_PLANE, (control) => control.listDeliveries(id, limit, before));
  return c.json(listBody(page, (delivery) => delivery));
});

async function found(c: Context<AdminEnv>) {
  const id = c.req.param("id") ?? "";
  const webhooks = await withControl(c.env.CONTROL_PLANE, (control) => control.listWebhooks());
  const webhook = webhooks.find((each) => each.id === id);
  if (webhook === undefined) throw noSuchWebhook();
  return webhook;
}

const noSuchWebhook = (): RouterError => new RouterError("not_found", "There is no webhook with this id.");

/** The address as it is called; `null` where it must not be. Loopback is for local work only. */
function receiverUrl(text: string, allowsLoopback: boolean): string | null {
  const url = URL.parse(text);
  if (url === null || url.hash !== "" || url.username !== "" || url.password !== "") return null;
  const isLocal = allowsLoopback && LOOPBACK.test(url.hostname);
  const checked = upstreamUrl(url.origin + url.pathname, isLocal ? "any" : "public");
  return checked === null ? null : url.href;
}
