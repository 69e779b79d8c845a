/**
 * Which role a call of the control plane takes: every change is listed, and what is not listed takes `admin`.
 *
 * A call whose body decides (a repricing is free to try and dear to do) asks again with `requireRole`.
 */
import { RouterError } from "../../http/errors.ts";
import { includesRole, type Role } from "../../keys/operators.ts";

const ROUTE = "/admin/routes/[^/]+/[^/]+";

/** Methods, path, role. */
const CALLS: readonly (readonly [methods: string, path: RegExp, role: Role])[] = [
  ["POST", /^\/admin\/approvals\/[^/]+$/, "approve"],
  ["PUT DELETE", new RegExp(`^${ROUTE}$`), "release"],
  ["POST", new RegExp(`^${ROUTE}/(?:rollback|explain)$`), "release"],
  ["POST", /^\/admin\/routes\/[^/]+\/promote$/, "release"],
  ["PUT DELETE", /^\/admin\/prices\/.+$/, "release"],
  // Without `dry_run` it takes `admin`: its handler looks.
  ["POST", /^\/admin\/spend\/reprice$/, "release"],
  ["POST", /^\/console\/run$/, "release"],
  ["GET HEAD", /^\/admin\/export$/, "admin"],
  ["GET HEAD", /^\/admin(?:\/.*)?$/, "read"],
];

/** `path` as the router reads it, decoded. */
export function roleOfCall(method: string, path: string): Role {
  const listed = CALLS.find(([methods, pattern]) => methods.split(" ").includes(method) && pattern.test(path));
  return listed?.[2] ?? "admin";
}

/** Throws 403 unless `held` includes `needed`. */
export function requireRole(held: Role, needed: Role): void {
  if (includesRole(held, needed)) return;
  const message = `This takes the role \`${needed}\`, and yours is \`${held}\`. Ask an operator who has it, or change the role in FLOW_ADMIN_TOKENS.`;
  throw new RouterError("role_required", message, { details: { role: needed } });
}
