/** The trail: every request, with the filters of the list in the address. */

import { useState } from "hono/jsx/dom";
import { parseJson } from "../../../lib/json.ts";
import { call, type List, withQuery } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Badge } from "../parts/badge.tsx";
import { Choice, Field } from "../parts/field.tsx";
import { clock, count, duration, relative, usd } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { type Column, Table } from "../parts/table.tsx";
import { setValues } from "../place.ts";
import { saveCsv } from "../save.ts";
import type { Trace } from "../types.ts";

const PAGE_SIZE = 100;
const LIVE_EVERY_MS = 3_000;
const CSV_ROWS = 1_000;

/** Name in the address and in the API, label. */
const TEXT_FILTERS = [
  ["route", "Route"],
  ["app", "App"],
  ["key", "Key"],
  ["provider", "Provider"],
  ["model", "Model"],
  ["error_code", "Error code"],
  ["tag", "Tag (name:value)"],
  ["session", "Session"],
  ["client_request_id", "Client request id"],
  ["min_cost_usd", "Cost from (USD)"],
  ["min_total_ms", "Slower than (ms)"],
  ["since", "Since (UTC)"],
  ["until", "Until (UTC)"],
] as const;
const STATUSES = ["ok", "error", "cancelled", "denied", "refused"];
const APIS = ["chat", "messages", "responses", "embeddings"];
const options = (values: readonly string[]): (readonly [string, string])[] => [
  ["", "Any"],
  ...values.map((value) => [value, value] as const),
];

interface TraceList extends List<Trace> {
  readonly facets?: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** `2026-11-30` and `2026-11-30T12:00` are read as UTC, as everything here. */
const timeOf = (text: string): string =>
  text === "" ? "" : /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : /Z$/.test(text) ? text : `${text}Z`;

export const TRACE_COLUMNS: readonly Column<Trace>[] = [
  {
    name: "Time",
    show: ({ id, created_at }) => (
      <a class="nowrap" href={`/console/traces/${id}`} title={created_at}>
        {clock(created_at)} <small>{relative(created_at)}</small>
      </a>
    ),
    by: ({ created_at }) => created_at,
  },
  { name: "Status", show: ({ status }) => <Badge word={status} />, by: ({ status }) => status },
  { name: "Code", show: ({ error_code, http_status }) => error_code ?? http_status },
  {
    name: "Route",
    show: ({ route, route_version }) =>
      route === null ? "–" : `${route}${route_version === null ? "" : `@${route_version}`}`,
    by: ({ route }) => route,
  },
  { name: "Env", show: ({ env }) => env },
  { name: "App", show: ({ app }) => app },
  {
    name: "Answered by",
    show: ({ provider, model }) => (provider === null ? "–" : `${provider}/${model}`),
    by: ({ provider, model }) => `${provider}/${model}`,
  },
  { name: "Fallback", show: ({ fallback, fallback_reason }) => (fallback ? (fallback_reason ?? "yes") : "") },
  { name: "Attempts", show: ({ attempts }) => attempts.length, by: ({ attempts }) => attempts.length, numeric: true },
  {
    name: "First token",
    show: ({ latency }) => duration(latency.first_token_ms),
    by: ({ latency }) => latency.first_token_ms,
    numeric: true,
  },
  {
    name: "Total",
    show: ({ latency }) => duration(latency.total_ms),
    by: ({ latency }) => latency.total_ms,
    numeric: true,
  },
  {
    name: "Tokens",
    show: ({ usage }) => count(Number(usage["prompt_tokens"] ?? 0) + Number(usage["completion_tokens"] ?? 0)),
    numeric: true,
  },
  { name: "Cost", show: ({ cost_usd }) => usd(cost_usd), by: ({ cost_usd }) => cost_usd, numeric: true },
];

const HIDDEN_KEY = "flow-layer-trace-columns";

function hiddenColumns(): readonly string[] {
  try {
    return parseJson(localStorage.getItem(HIDDEN_KEY) ?? "[]") as string[];
  } catch {
    return [];
  }
}

export function TracesPage({ place, env }: PageProps) {
  const { query } = place;
  const valueIn = (name: string): string => query.get(name) ?? "";
  const [hidden, setHidden] = useState(hiddenColumns());
  const [older, setOlder] = useState<{ key: string; rows: readonly Trace[]; cursor: string | null }>({
    key: "",
    rows: [],
    cursor: null,
  });
  const act = useAct();
  const isLive = query.get("live") === "1";
  const filters = {
    env,
    ...Object.fromEntries(TEXT_FILTERS.map(([name]) => [name, valueIn(name)])),
    since: timeOf(valueIn("since")),
    until: timeOf(valueIn("until")),
    status: valueIn("status"),
    api: valueIn("api"),
    fallback: valueIn("fallback"),
  };
  const address = withQuery("/admin/traces", { ...filters, limit: PAGE_SIZE, facets: "true" });
  const list = useLoad(address, () => call<TraceList>(address), isLive ? LIVE_EVERY_MS : 0);
  const more = older.key === address ? older : { key: address, rows: [], cursor: list.data?.next_cursor ?? null };
  const rows = [...(list.data?.data ?? []), ...more.rows];
  const loadMore = (): void => {
    void act.run(async () => {
      const cursor = more.rows.length > 0 ? more.cursor : (list.data?.next_cursor ?? null);
      if (cursor === null) return;
      const page = await call<TraceList>(withQuery("/admin/traces", { ...filters, limit: PAGE_SIZE, cursor }));
      setOlder({ key: address, rows: [...more.rows, ...page.data], cursor: page.next_cursor });
    });
  };
  const hasMore = more.rows.length > 0 ? more.cursor !== null : (list.data?.has_more ?? false);
  const save = (): void => {
    const csv = withQuery("/admin/traces", { ...filters, limit: CSV_ROWS, format: "csv" });
    void act.run(() => saveCsv(csv, "traces.csv"));
  };
  const toggle = (name: string): void => {
    const next = hidden.includes(name) ? hidden.filter((each) => each !== name) : [...hidden, name];
    setHidden(next);
    try {
      localStorage.setItem(HIDDEN_KEY, JSON.stringify(next));
    } catch {
      // The choice lasts as long as the page.
    }
  };
  return (
    <section>
      <header class="row">
        <h1>Traces</h1>
        <div class="row">
          <label class="check">
            <input type="checkbox" checked={isLive} onChange={() => setValues(place, { live: isLive ? "" : "1" })} />
            Live
          </label>
          <button type="button" onClick={save} disabled={act.isBusy}>
            Save CSV
          </button>
        </div>
      </header>
      <details class="filters" open={[...query.keys()].some((name) => name !== "env" && name !== "live")}>
        <summary>Filters</summary>
        <div class="fields">
          <Choice
            label="Status"
            value={valueIn("status")}
            options={options(STATUSES)}
            onValue={(status) => setValues(place, { status })}
          />
          <Choice
            label="API"
            value={valueIn("api")}
            options={options(APIS)}
            onValue={(api) => setValues(place, { api })}
          />
          <Choice
            label="Fallback"
            value={valueIn("fallback")}
            options={[
              ["", "Any"],
              ["true", "Fell back"],
              ["false", "Did not"],
            ]}
            onValue={(fallback) => setValues(place, { fallback })}
          />
          {TEXT_FILTERS.map(([name, label]) => (
            <Field label={label} value={valueIn(name)} onValue={(value) => setValues(place, { [name]: value })} />
          ))}
        </div>
        <fieldset class="checks">
          <legend>Columns</legend>
          {TRACE_COLUMNS.map(({ name }) => (
            <label class="check">
              <input type="checkbox" checked={!hidden.includes(name)} onChange={() => toggle(name)} />
              {name}
            </label>
          ))}
        </fieldset>
      </details>
      <Facets facets={list.data?.facets} onPick={(name, value) => setValues(place, { [name]: value })} />
      <State of={list} asOf={list.data?.as_of} />
      {act.error === null ? null : <Failure error={act.error} />}
      <Table
        caption="Traces"
        columns={TRACE_COLUMNS.filter(({ name }) => !hidden.includes(name))}
        rows={rows}
        keyOf={({ id }) => id}
        empty="No request fits these filters. A request is here at most five seconds after its end."
      />
      {hasMore ? (
        <button type="button" onClick={loadMore} disabled={act.isBusy}>
          Older
        </button>
      ) : null}
    </section>
  );
}

function Facets(props: { facets: TraceList["facets"]; onPick: (name: string, value: string) => void }) {
  const { facets, onPick } = props;
  if (facets === undefined) return null;
  return (
    <div class="facets">
      {Object.entries(facets).map(([name, values]) => (
        <details>
          <summary>{name.replaceAll("_", " ")}</summary>
          {Object.entries(values).map(([value, requests]) => (
            <button type="button" class="quiet" onClick={() => onPick(name, value)}>
              {value} <small>{count(requests)}</small>
            </button>
          ))}
        </details>
      ))}
    </div>
  );
}
