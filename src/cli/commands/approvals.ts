/** `approvals`: the tool calls that wait for a decision, and the decision. */
import { type Client, type Json, listAll, listPage } from "../client.ts";
import { type CommandInput, encode } from "../input.ts";
import { type Column, record } from "../table.ts";
import { CommandError, EXIT_OK } from "../terminal.ts";
import { safe } from "../text.ts";

const WATCH_MS = 1_000;

const COLUMNS: readonly Column<Json>[] = [
  { title: "ID", value: ({ tool_call_id }) => tool_call_id, whole: true },
  { title: "TOOL", value: ({ name }) => name },
  { title: "ARGUMENTS", value: (row) => row["arguments"] },
  { title: "STATUS", value: ({ status }) => status, spare: 2 },
  { title: "EXPIRES", value: ({ expires_at }) => expires_at, as: "time", spare: 1 },
  { title: "ROUTE", value: ({ route }) => route, spare: 3 },
  { title: "APP", value: ({ app }) => app, spare: 4 },
  { title: "ENV", value: ({ env }) => env, spare: 5 },
  { title: "KEY", value: ({ key_id }) => key_id, spare: 6 },
];

/** Those that are pending, unless another status was asked for. */
export async function listApprovals(input: CommandInput): Promise<number> {
  if (input.has("watch")) return watch(input, input.client());
  const query = new URLSearchParams([["status", "pending"], ...input.filters(["key", "limit", "cursor"])]);
  const status = input.text("status");
  if (status !== undefined) query.set("status", status);
  if (status === "all") query.delete("status");
  const { rows, cursor } = await listPage(input.client(), "/admin/approvals", query);
  input.printRows(COLUMNS, rows, "There are no such tool calls.", cursor);
  return EXIT_OK;
}

/** Shows each call as it comes in and asks what to do with it, until it is interrupted. */
async function watch(input: CommandInput, client: Client): Promise<number> {
  const { terminal } = input;
  if (!terminal.isInteractive) throw new CommandError("--watch asks at a terminal, and there is none.");
  const skipped = new Set<string>();
  terminal.writeError(`Waiting for tool calls on ${client.origin}. Ctrl-C ends.\n`);
  for (;;) {
    const pending = await listAll(client, "/admin/approvals", [["status", "pending"]]);
    for (const approval of pending) {
      const { tool_call_id: id, name, route, app, expires_at, key_id } = approval;
      if (typeof id !== "string" || skipped.has(id)) continue;
      const members = { tool_call_id: id, tool: name, arguments: approval["arguments"], route, app, expires_at };
      terminal.write(`\n${record(Object.entries(members))}`);
      const answer = (await terminal.ask("approve, deny or skip? [a/d/S] ")).trim().toLowerCase();
      if (answer !== "a" && answer !== "d") {
        skipped.add(id);
        continue;
      }
      const decision = answer === "a" ? "approve" : "deny";
      const decided = await client.call("POST", `/admin/approvals/${encode(id)}?key=${encode(String(key_id))}`, {
        body: JSON.stringify({ decision }),
      });
      terminal.write(`${safe(String(decided["status"]))}: ${safe(id)}\n`);
    }
    await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
  }
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
  const { trace_id: trace } = approval;
  if (typeof trace === "string") {
    const resume = `{"resume": "${safe(trace)}"}`;
    input.terminal.writeError(`A request that gave up waiting is sent again with "route": ${resume}.\n`);
  }
  return EXIT_OK;
}
