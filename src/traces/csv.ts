/** Traces as rows of a table. Pure. */
import { type Cell, toCsv } from "../lib/text/csv.ts";
import type { Trace } from "./schema.ts";

const COLUMNS: readonly (readonly [name: string, value: (trace: Trace) => Cell])[] = [
  ["id", ({ id }) => id],
  ["created_at", ({ created_at }) => created_at],
  ["api", ({ api }) => api ?? "chat"],
  ["key_id", ({ key_id }) => key_id],
  ["env", ({ env }) => env],
  ["app", ({ app }) => app],
  ["route", ({ route }) => route],
  ["route_version", ({ route_version }) => route_version],
  ["stream", ({ stream }) => stream],
  ["status", ({ status }) => status],
  ["http_status", ({ http_status }) => http_status],
  ["error_code", ({ error_code }) => error_code],
  ["provider", ({ provider }) => provider],
  ["model", ({ model }) => model],
  ["fallback", ({ fallback }) => fallback],
  ["fallback_reason", ({ fallback_reason }) => fallback_reason],
  ["attempts", ({ attempts }) => attempts.length],
  ["first_token_ms", ({ latency }) => latency.first_token_ms],
  ["total_ms", ({ latency }) => latency.total_ms],
  ["prompt_tokens", ({ usage }) => usage.prompt_tokens],
  ["cached_tokens", ({ usage }) => usage.cached_tokens],
  ["completion_tokens", ({ usage }) => usage.completion_tokens],
  ["cost_usd", ({ cost_usd }) => cost_usd],
  ["session_id", ({ session_id }) => session_id],
  ["client_request_id", ({ client_request_id }) => client_request_id],
  [
    "tags",
    ({ tags }) =>
      Object.entries(tags)
        .map(([name, value]) => `${name}=${value}`)
        .join(";"),
  ],
];

export function tracesCsv(traces: readonly Trace[]): string {
  return toCsv(
    COLUMNS.map(([name]) => name),
    traces.map((trace) => COLUMNS.map(([, value]) => value(trace))),
  );
}
