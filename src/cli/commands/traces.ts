/** `traces`: the log trail across keys, routes and providers, and one trace of it. */
import { isJsonObject } from "../../lib/json.ts";
import { type Client, type Json, listAll, listPage, rowsOf } from "../client.ts";
import { type CommandInput, encode } from "../input.ts";
import { type Colour, type Column, record, table } from "../table.ts";
import { CommandError, EXIT_OK } from "../terminal.ts";
import { jsonText } from "../text.ts";

export const TRACE_FILTERS = [
  ...["env", "app", "route", "provider", "status", "key", "api", "model", "error-code", "fallback", "tag", "session"],
  ...["client-request-id", "min-cost-usd", "min-total-ms", "since", "until"],
] as const;
/** The trail is at most 5 s behind: what came late is asked for again, and shown once. */
const FOLLOW_MS = 2_000;
const FOLLOW_BACK_MS = 15_000;
const MAX_SEEN = 5_000;

const COLUMNS: readonly Column<Json>[] = [
  { title: "ID", value: ({ id }) => id, whole: true },
  { title: "TIME", value: ({ created_at }) => created_at, as: "time" },
  { title: "STATUS", value: statusOf, colour: ({ status }) => colourOf(status) },
  { title: "ROUTE", value: ({ route }) => String(route).replace(/^flow\//, "") },
  { title: "MODEL", value: modelOf, spare: 1 },
  { title: "AFTER", value: fallbackOf, spare: 3 },
  { title: "TOTAL", value: ({ latency }) => member(latency, "total_ms"), as: "ms", spare: 2 },
  { title: "COST", value: ({ cost_usd }) => cost_usd, as: "usd", spare: 4 },
  { title: "ENV", value: ({ env }) => env, spare: 5 },
  { title: "APP", value: ({ app }) => app, spare: 6 },
  { title: "KEY", value: ({ key_id }) => key_id, spare: 7 },
];

const colourOf = (status: unknown): Colour | null =>
  status === "ok" ? "green" : status === "error" ? "red" : "yellow";

export async function showTraces(input: CommandInput): Promise<number> {
  const [id] = input.words;
  const filters = input.filters([...TRACE_FILTERS]);
  const page = input.filters(["limit", "cursor"]);
  const client = input.client();
  if (id !== undefined) {
    if (filters.length + page.length > 0) {
      throw new CommandError("One trace has no filters. Leave out the id or the filters.");
    }
    const trace = await client.call("GET", `/admin/traces/${encode(id)}`);
    input.print(trace, () => traceText(input, trace));
    return EXIT_OK;
  }
  if (input.has("follow")) return follow(input, client, filters);
  if (input.has("all")) {
    input.printRows(COLUMNS, await listAll(client, "/admin/traces", filters), "There are no traces.");
    return EXIT_OK;
  }
  const { rows, cursor } = await listPage(client, "/admin/traces", new URLSearchParams([...filters, ...page]));
  input.printRows(COLUMNS, rows, "There are no traces.", cursor);
  return EXIT_OK;
}

/** Until it is interrupted: one line per trace, or one JSON object per line. */
async function follow(input: CommandInput, client: Client, filters: readonly [string, string][]): Promise<number> {
  const seen = new Set<string>();
  const rest = filters.filter(([name]) => name !== "since");
  let since = filters.find(([name]) => name === "since")?.[1] ?? new Date(Date.now() - 1_000).toISOString();
  for (;;) {
    const found = await listAll(client, "/admin/traces", [...rest, ["since", since]]);
    const fresh = found.filter(({ id }) => typeof id === "string" && !seen.has(id)).reverse();
    for (const trace of fresh) seen.add(String(trace["id"]));
    if (seen.size > MAX_SEEN) for (const id of [...seen].slice(0, seen.size - MAX_SEEN)) seen.delete(id);
    if (input.isJson) for (const trace of fresh) input.terminal.write(`${jsonText(trace).replaceAll(/\n\s*/g, "")}\n`);
    else if (fresh.length > 0)
      input.terminal.write(withoutTitles(table(COLUMNS, fresh, "", { ...input.look, now: Date.now() })));
    const from = new Date(Date.now() - FOLLOW_BACK_MS).toISOString();
    if (from > since) since = from;
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
  }
}

const withoutTitles = (text: string): string => text.slice(text.indexOf("\n") + 1);

const member = (value: unknown, name: string): unknown => (isJsonObject(value) ? value[name] : undefined);

function statusOf({ status, http_status, error_code }: Json): string {
  return [status, http_status, error_code].filter((part) => part !== undefined).join(" ");
}

function modelOf({ provider, model }: Json): string | null {
  return typeof provider === "string" ? `${provider}/${String(model)}` : null;
}

/** Why the first target was left. */
function fallbackOf(trace: Json): string | null {
  if (trace["fallback"] !== true) return null;
  if (typeof trace["fallback_reason"] === "string") return trace["fallback_reason"];
  const failed = rowsOf({ data: trace["attempts"] }).find(({ outcome }) => outcome !== "ok");
  return failed === undefined ? "yes" : String(failed["outcome"]);
}

function traceText(input: CommandInput, trace: Json): string {
  const { id, created_at, api, key_id, env, app, route, route_version, stream, fallback } = trace;
  const { latency, usage, cost_usd, tool_calls, tags, session_id, client_request_id, error_code } = trace;
  const members = {
    ...{ id, created_at, api, key_id, env, app, route, route_version, stream, status: statusOf(trace) },
    ...{ error_code, model: modelOf(trace), fallback: fallback === true ? (fallbackOf(trace) ?? true) : fallback },
    ...{ latency, usage, cost_usd, tool_calls, tags, session_id, client_request_id },
  };
  const columns: readonly Column<Json>[] = [
    { title: "ATTEMPT", value: modelOf },
    { title: "OUTCOME", value: ({ outcome, winner }) => `${String(outcome)}${winner === true ? " *" : ""}` },
    { title: "STATUS", value: ({ status }) => status },
    { title: "START", value: ({ started_ms }) => started_ms, as: "ms", spare: 2 },
    { title: "FIRST TOKEN", value: ({ first_token_ms }) => first_token_ms, as: "ms", spare: 1 },
    { title: "TOOK", value: ({ duration_ms }) => duration_ms, as: "ms" },
    { title: "COST", value: (row) => row["cost_usd"], as: "usd", spare: 3 },
    { title: "SAID", value: ({ provider_message }) => provider_message, spare: 4 },
  ];
  const rows = rowsOf({ data: trace["attempts"] });
  const skipped = rowsOf({ data: trace["skipped"] }).map(
    (row) => `skipped ${String(modelOf(row))}: ${String(row["reason"])}\n`,
  );
  return `${record(Object.entries(members))}\n${table(columns, rows, "No provider was called.", input.look)}${skipped.join("")}`;
}
