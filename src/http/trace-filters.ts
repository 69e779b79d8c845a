/** Query parameters that every list of traces takes, and what they mean. */
import { badParameter, matching, oneOf } from "./query.ts";

/** Parameters by the names that clients write. */
export const TRACE_FILTERS = [
  ...(["api", "model", "error_code", "fallback", "tag", "session", "client_request_id"] as const),
  ...(["min_cost_usd", "min_total_ms", "facets", "format"] as const),
] as const;

export type TraceFilterQuery = { readonly [Name in (typeof TRACE_FILTERS)[number]]?: string };

const APIS = ["chat", "responses", "messages", "embeddings"] as const;
const TEXT = /^[^\p{Cc}]{1,256}$/u;
const MUST_BE_TEXT = "must be a text of 1 to 256 characters";
const NUMBER = /^\d{1,12}(?:\.\d{1,9})?$/;
const TAG = /^([^:]{1,64}):([^\p{Cc}]{0,256})$/u;

/** Throws 400 for a value that its parameter does not take. */
export function readTraceFilters(query: TraceFilterQuery) {
  return {
    api: oneOf("api", query.api, APIS),
    model: matching("model", query.model, TEXT, MUST_BE_TEXT),
    errorCode: matching(
      "error_code",
      query.error_code,
      /^[a-z_]{1,64}$/,
      "must be an error code such as `upstream_failed`",
    ),
    fallback: readBoolean("fallback", query.fallback),
    tag: readTag(query.tag),
    session: matching("session", query.session, TEXT, MUST_BE_TEXT),
    clientRequestId: matching("client_request_id", query.client_request_id, TEXT, MUST_BE_TEXT),
    minCostUsd: readNumber("min_cost_usd", query.min_cost_usd),
    minTotalMs: readNumber("min_total_ms", query.min_total_ms),
  };
}

export function readFormat(query: TraceFilterQuery): "json" | "csv" {
  return oneOf("format", query.format, ["json", "csv"] as const) ?? "json";
}

export function wantsFacets(query: TraceFilterQuery): boolean {
  return readBoolean("facets", query.facets) ?? false;
}

function readBoolean(name: string, text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : oneOf(name, text.toLowerCase(), ["true", "false"] as const) === "true";
}

function readNumber(name: string, text: string | undefined): number | undefined {
  const found = matching(name, text, NUMBER, "must be a number of 0 or more");
  return found === undefined ? undefined : Number(found);
}

function readTag(text: string | undefined): { readonly name: string; readonly value: string } | undefined {
  if (text === undefined) return undefined;
  const [, name, value] = TAG.exec(text) ?? [];
  if (name === undefined || value === undefined) throw badParameter("tag", "must be `<name>:<value>`");
  return { name, value };
}
