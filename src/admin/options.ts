/** Query parameters that change what an admin call may do: reasons, and leave to go past a check. */
import { badParameter } from "../http/query.ts";

export const MAX_REASON_LENGTH = 500;

/** The reason in the parameter `name` of a query, as member `as`. An empty one is none. Throws 400 for one too long. */
export function readReason<Name extends "force" | "reason", As extends string>(
  query: { readonly [Parameter in Name]?: string },
  name: Name,
  as: As,
): { readonly [Member in As]?: string } {
  const reason = query[name]?.trim() ?? "";
  if (reason.length > MAX_REASON_LENGTH) {
    throw badParameter(name, `must be a reason of at most ${MAX_REASON_LENGTH} characters`);
  }
  // The one member that the type allows, or none.
  return (reason === "" ? {} : { [as]: reason }) as { readonly [Member in As]?: string };
}

/** A switch that is off unless it is set. Throws 400 for anything but `true` and `false`. */
export function readFlag<Name extends string>(query: { readonly [Parameter in Name]?: string }, name: Name): boolean {
  const text = query[name]?.toLowerCase();
  if (text === undefined || text === "false" || text === "0") return false;
  if (text === "true" || text === "1") return true;
  throw badParameter(name, "must be `true` or `false`");
}
