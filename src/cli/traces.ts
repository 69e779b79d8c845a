/** `flow traces`: the log trail across keys, routes and providers, and one trace of it. */
import { isJsonObject } from "../lib/json.ts";
import { type Json, rowsOf } from "./client.ts";
import { type CommandInput, encode } from "./options.ts";
import { CommandError, EXIT_OK, record, table } from "./terminal.ts";

export const TRACE_FILTERS = [
  "env",
  "app",
  "route",
  "provider",
  "status",
  "key",
  "since",
  "until",
  "limit",
  "cursor",
] as const;

export async function showTraces(input: CommandInput): Promise<number> {
  const [id] = input.words;
  const filters = TRACE_FILTERS.flatMap((name) => {
    const value = input.text(name);
    return value === undefined ? [] : [[name, value]];
  });
  if (id === undefined) return listTraces(input, new URLSearchParams(filters));
  if (filters.length > 0) throw new CommandError("One trace has no filters. Leave out the id or the filters.");
  const trace = await input.client().call("GET", `/admin/traces/${encode(id)}`);
  input.print(trace, () => traceText(trace));
  return EXIT_OK;
}

async function listTraces(input: CommandInput, filters: URLSearchParams): Promise<number> {
  const query = filters.size === 0 ? "" : `?${filters}`;
  const page = await input.client().call("GET", `/admin/traces${query}`);
  const titles = ["ID", "TIME", "ENV", "ROUTE", "STATUS", "MODEL", "TOTAL_MS", "COST_USD"];
  const row = (trace: Json): unknown[] => {
    const { id, created_at, env, route, cost_usd } = trace;
    return [
      id,
      created_at,
      env,
      route,
      statusOf(trace),
      modelOf(trace),
      member(trace["latency"], "total_ms"),
      cost_usd,
    ];
  };
  const cursor = page["next_cursor"];
  const more = typeof cursor === "string" ? `More: --cursor ${cursor}\n` : "";
  input.print(page, () => `${table(titles, rowsOf(page).map(row), "There are no traces.")}${more}`);
  return EXIT_OK;
}

const member = (value: unknown, name: string): unknown => (isJsonObject(value) ? value[name] : undefined);

const statusOf = ({ status, http_status, error_code }: Json): string =>
  [status, http_status, error_code].filter((part) => part !== undefined).join(" ");

const modelOf = ({ provider, model }: Json): string | null =>
  typeof provider === "string" ? `${provider}/${String(model)}` : null;

function traceText(trace: Json): string {
  const { id, created_at, key_id, env, app, route, route_version, stream, fallback, cost_usd, tool_calls, tags } =
    trace;
  const { latency, usage, client_request_id } = trace;
  const attempts = rowsOf({ data: trace["attempts"] });
  const members = {
    ...{
      id,
      created_at,
      key_id,
      env,
      app,
      route,
      route_version,
      stream,
      status: statusOf(trace),
      model: modelOf(trace),
    },
    ...{ fallback, latency, usage, cost_usd, tool_calls, tags, client_request_id },
  };
  const titles = ["ATTEMPT", "OUTCOME", "STATUS", "STARTED_MS", "FIRST_TOKEN_MS", "DURATION_MS", "WINNER", "COST_USD"];
  const rows = attempts.map((attempt) => {
    const { outcome, status, started_ms, first_token_ms, duration_ms, winner } = attempt;
    return [modelOf(attempt), outcome, status, started_ms, first_token_ms, duration_ms, winner, attempt["cost_usd"]];
  });
  return `${record(Object.entries(members))}\n${table(titles, rows, "No provider was called.")}`;
}
