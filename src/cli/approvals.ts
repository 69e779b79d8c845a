/** `flow approvals`: the tool calls that wait for a decision, and the decision. */
import { type Json, rowsOf } from "./client.ts";
import { type CommandInput, encode } from "./options.ts";
import { EXIT_OK, record, table } from "./terminal.ts";

const FILTERS = ["status", "key", "limit", "cursor"] as const;

/** Those that are pending, unless another status was asked for. */
export async function listApprovals(input: CommandInput): Promise<number> {
  const query = new URLSearchParams({ status: "pending" });
  for (const name of FILTERS) {
    const value = input.text(name);
    if (value !== undefined) query.set(name, value);
  }
  if (query.get("status") === "all") query.delete("status");
  const page = await input.client().call("GET", `/admin/approvals?${query}`);
  const titles = ["ID", "TOOL", "ARGUMENTS", "STATUS", "KEY", "ENV", "APP", "ROUTE", "EXPIRES"];
  const row = (approval: Json): unknown[] => {
    const { tool_call_id, name, arguments: text, status, key_id, env, app, route, expires_at } = approval;
    return [tool_call_id, name, text, status, key_id, env, app, route, expires_at];
  };
  const cursor = page["next_cursor"];
  const more = typeof cursor === "string" ? `More: --cursor ${cursor}\n` : "";
  input.print(page, () => `${table(titles, rowsOf(page).map(row), "There are no such tool calls.")}${more}`);
  return EXIT_OK;
}

export const approve = (input: CommandInput): Promise<number> => decide(input, "approve");
export const deny = (input: CommandInput): Promise<number> => decide(input, "deny");

async function decide(input: CommandInput, decision: "approve" | "deny"): Promise<number> {
  const [id = ""] = input.words;
  const key = input.text("key");
  const query = key === undefined ? "" : `?key=${encodeURIComponent(key)}`;
  const body = JSON.stringify({ decision, reason: input.text("reason") });
  const approval = await input.client().call("POST", `/admin/approvals/${encode(id)}${query}`, { body });
  const { tool_call_id, name, status, key_id, decided_by, decided_at, reason } = approval;
  input.print(approval, () =>
    record(Object.entries({ tool_call_id, name, status, key_id, decided_by, decided_at, reason })),
  );
  return EXIT_OK;
}
