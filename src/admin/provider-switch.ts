/**
 * `PATCH /admin/providers/{id}[/{model}]`: takes a provider, or one target, out of every plan, and puts it back.
 *
 * In force everywhere within 60 s: isolates read the list from KV as they read policies.
 */
import type { Context } from "hono";
import * as z from "zod/mini";
import { withControl } from "../control/client.ts";
import type { DisabledTarget } from "../control/types.ts";
import { BODY_LIMITS } from "../http/body.ts";
import { RouterError } from "../http/errors.ts";
import { readJson } from "../http/json-body.ts";
import { badParameter, refuseQuery } from "../http/query.ts";
import { forgetDisabled } from "../policy/store.ts";
import { isKnownProvider } from "../providers/index.ts";
import type { AdminEnv } from "./access/authorize.ts";
import { MAX_REASON_LENGTH } from "./options.ts";

/** As a policy may name it. */
const MODEL = /^[\x21-\x7e]{1,256}$/;
const PREFIX = "/admin/providers/";

/** Body of the call. */
export const SwitchRequest = z.strictObject({
  disabled: z.boolean(),
  /** Why. Required to disable; kept in the audit log. */
  reason: z._default(z.string().check(z.trim(), z.maxLength(MAX_REASON_LENGTH)), ""),
  /** ISO 8601. When it is back by itself. */
  until: z.optional(z.nullable(z.iso.datetime({ offset: true }))),
});

export async function patchProvider(c: Context<AdminEnv>): Promise<Response> {
  refuseQuery(c);
  const { disabled, reason, until = null } = await readJson(c, SwitchRequest, BODY_LIMITS.admin);
  const { id, model } = readTarget(c);
  const untilMs = until === null ? null : Date.parse(until);
  if (disabled && reason === "") throw badParameter("reason", "must be given to disable a provider or target");
  if (untilMs !== null && untilMs <= Date.now()) throw badParameter("until", "must be a time that is still to come");
  if (!disabled && until !== null) throw badParameter("until", "goes with `disabled: true` only");
  const known = isKnownProvider(id) || (await isOwn(c, id));
  if (!known) throw new RouterError("not_found", "No provider with this id exists. GET /admin/providers lists them.");
  const name = model === null ? id : `${id}/${model}`;
  const change = { name, disabled: disabled ? { reason, until: untilMs } : null, ...(reason === "" ? {} : { reason }) };
  const result = await withControl(c.env.CONTROL_PLANE, (control) => control.setDisabled(change, c.get("actor")));
  if (result === "too_many") {
    throw new RouterError(
      "invalid_request",
      "1000 providers and targets are disabled already. Enable some of them first.",
    );
  }
  forgetDisabled();
  return c.json({ id, ...(model === null ? {} : { model }), disabled: toDisabled(result ?? undefined) });
}

/** As lists show it; `null`: it is not disabled. */
export function toDisabled(entry: DisabledTarget | undefined) {
  if (entry === undefined) return null;
  const { reason, until, by, at } = entry;
  return { reason, until: until === null ? null : new Date(until).toISOString(), by, at: new Date(at).toISOString() };
}

async function isOwn(c: Context<AdminEnv>, id: string): Promise<boolean> {
  const records = await withControl(c.env.CONTROL_PLANE, (control) => control.listProviders());
  return records.some((record) => record.id === id);
}

/** The model is the rest of the path, encoded or not. */
function readTarget(c: Context<AdminEnv>): { readonly id: string; readonly model: string | null } {
  const { pathname } = new URL(c.req.url);
  const [, id = "", rest] = /^([^/]*)(?:\/(.*))?$/.exec(pathname.slice(PREFIX.length)) ?? [];
  if (rest === undefined) return { id, model: null };
  let model = "";
  try {
    model = decodeURIComponent(rest);
  } catch {
    // Left empty, which no model is.
  }
  if (MODEL.test(model)) return { id, model };
  throw badParameter("model", "in the path must be the id of a model, 1 to 256 printable characters without spaces");
}
