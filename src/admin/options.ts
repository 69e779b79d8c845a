/** Query parameters that change what an admin call may do: reasons, and leave to go past a check. */
import type { Context } from "hono";
import { badParameter } from "../http/query.ts";
import type { AdminEnv } from "./authorize.ts";

export const MAX_REASON_LENGTH = 500;

/** The reason in the parameter `name`, as member `as`. An empty one is none. Throws 400 for one that is too long. */
export function readReason<As extends string>(
  c: Context<AdminEnv>,
  name: "force" | "reason",
  as: As,
): { readonly [Member in As]?: string } {
  const reason = c.req.query(name)?.trim() ?? "";
  if (reason.length > MAX_REASON_LENGTH) {
    throw badParameter(name, `must be a reason of at most ${MAX_REASON_LENGTH} characters`);
  }
  // The one member that the type allows, or none.
  return (reason === "" ? {} : { [as]: reason }) as { readonly [Member in As]?: string };
}

/** A switch that is off unless it is set. Throws 400 for anything but `true` and `false`. */
export function readFlag(c: Context<AdminEnv>, name: string): boolean {
  const text = c.req.query(name)?.toLowerCase();
  if (text === undefined || text === "false" || text === "0") return false;
  if (text === "true" || text === "1") return true;
  throw badParameter(name, "must be `true` or `false`");
}
