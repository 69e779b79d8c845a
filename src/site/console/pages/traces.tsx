/** The trail: every request, with the filters of the list in the address. */

import { useState } from "hono/jsx/dom";
import { parseJson } from "../../../lib/json.ts";
import { call, EMPTY_LIST, type List, withQuery } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Badge } from "../parts/badge.tsx";
import { Choice, Field } from "../parts/field.tsx";
import { clock, count, dayStart, duration, relative, usd } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { type Column, Table } from "../parts/table.tsx";
import { type Place, setValues } from "../place.ts";
import { saveCsv, saveLines } from "../save.ts";
import type { Key, Trace } from "../types.ts";
import { Views } from "./trace-views.tsx";

const PAGE_SIZE = 100;
/** Older ones come in larger pages: a reader who scrolls on wants many. */
const OLDER_SIZE = 500;
const LIVE_EVERY_MS = 3_000;
const SAVED_AT_ONCE = 1_000;

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
/** As the address names them. */
const FILTER_NAMES: readonly string[] = ["status", "api", "fallback", ...TEXT_FILTERS.map(([name]) => name)];
const MAX_FACET_VALUES = 6;
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
  /^\d{4}-\d\d-\d\d$/.test(text) ? dayStart(text) : text === "" || text.endsWith("Z") ? text : `${text}Z`;

export const TRACE_COLUMNS: readonly Column<Trace>[] = [
  {
    name: "Time (UTC)",
    show: ({ id, created_at }) => (
      <a class="mono" href={`/console/traces/${id}`} title={`${created_at}, ${relative(created_at)}`}>
        {created_at.slice(5, 10)} {clock(created_at)}
      </a>
    ),
    by: ({ created_at }) => created_at,
  },
  { name: "Status", show: ({ status }) => <Badge word={status} />, by: ({ status }) => status },
  { name: "Code", show: ({ error_code, http_status }) => error_code ?? http_status },
  {
    name: "Route",
    show: ({ route, route_version }) =>
      route === null ? "–" : `${route.replace(/^flow\//, "")}${route_version === null ? "" : `@${route_version}`}`,
    by: ({ route }) => route,
    isCode: true,
  },
  { name: "Env", show: ({ env }) => env },
  { name: "App", show: ({ app }) => app },
  {
    name: "Answered by",
    show: ({ provider, model }) => (provider === null ? "–" : `${provider}/${model}`),
    by: ({ provider, model }) => `${provider}/${model}`,
    isCode: true,
  },
  {
    name: "Fallback",
    show: ({ fallback, fallback_reason }) =>
      fallback ? <span class="slow">{(fallback_reason ?? "yes").replaceAll("_", " ")}</span> : "",
  },
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
  {
    name: "Tags",
    show: ({ tags }) =>
      Object.entries(tags ?? {})
        .map(([name, value]) => `${name}: ${value}`)
        .join(", "),
  },
];

const KEY = "Key";
/** Not shown until somebody asks for them: a screen has room for the others. */
const FIRST_HIDDEN = [KEY, "Tags"];

/** Keys by their names, which no trace holds: a key can be renamed. */
function useKeyColumn(isShown: boolean): Column<Trace> {
  const keys = useLoad(`key names ${isShown}`, () =>
    isShown ? call<List<Key>>("/admin/keys?limit=1000") : Promise.resolve(EMPTY_LIST),
  );
  const names = new Map((keys.data?.data ?? []).map(({ id, name }) => [id, name]));
  const nameOf = ({ key_id }: Trace): string => names.get(key_id) ?? key_id;
  return {
    name: KEY,
    show: (trace) => <a href={`/console/keys/${trace.key_id}`}>{nameOf(trace)}</a>,
    by: nameOf,
  };
}

const HIDDEN_KEY = "flow-layer-trace-columns";

function hiddenColumns(): readonly string[] {
  try {
    return parseJson(localStorage.getItem(HIDDEN_KEY) ?? JSON.stringify(FIRST_HIDDEN)) as string[];
  } catch {
    return FIRST_HIDDEN;
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
  const fresh = list.data?.data ?? [];
  const freshIds = new Set(fresh.map(({ id }) => id));
  // Live rows push older ones on: what was read stays, as long as the two still touch.
  const isJoined = older.key === address && older.rows.some(({ id }) => freshIds.has(id));
  const rows = isJoined ? [...fresh, ...older.rows.filter(({ id }) => !freshIds.has(id))] : fresh;
  const cursor = isJoined ? older.cursor : (list.data?.next_cursor ?? null);
  const loadMore = (): void => {
    if (cursor === null) return;
    void act.run(async () => {
      const page = await call<TraceList>(withQuery("/admin/traces", { ...filters, limit: OLDER_SIZE, cursor }));
      setOlder({ key: address, rows: [...rows, ...page.data], cursor: page.next_cursor });
    });
  };
  const hasMore = cursor !== null;
  const save = (format: "csv" | "jsonl") => (): void => {
    const query = { ...filters, limit: SAVED_AT_ONCE };
    void act.run(() =>
      format === "csv"
        ? saveCsv("/admin/traces", "traces.csv", { ...query, format })
        : saveLines("/admin/traces", "traces.jsonl", query),
    );
  };
  const columns = [...TRACE_COLUMNS, useKeyColumn(!hidden.includes(KEY))];
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
          <button type="button" onClick={save("csv")} disabled={act.isBusy}>
            Save CSV
          </button>
          <button type="button" onClick={save("jsonl")} disabled={act.isBusy}>
            Save JSONL
          </button>
        </div>
      </header>
      <Chosen place={place} />
      <Views place={place} />
      <details class="trace-filters" open={FILTER_NAMES.some((name) => query.has(name))}>
        <summary>Filters and columns</summary>
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
          {columns.map(({ name }) => (
            <label class="check">
              <input type="checkbox" checked={!hidden.includes(name)} onChange={() => toggle(name)} />
              {name}
            </label>
          ))}
        </fieldset>
      </details>
      <Facets facets={list.data?.facets} onPick={(name, value) => setValues(place, { [name]: value })} />
      <State of={list} asOf={list.data?.as_of} />
      <Failure error={act.error} />
      <Table
        caption="Traces"
        columns={columns.filter(({ name }) => !hidden.includes(name))}
        rows={rows}
        of={list}
        isDense
        keyOf={({ id }) => id}
        empty="No request fits these filters. A request is here at most five seconds after its end."
        onEnd={hasMore && act.error === null ? loadMore : undefined}
      />
      {list.data === null ? null : (
        <p class="row">
          <small>
            {count(rows.length)} {rows.length === 1 ? "trace" : "traces"} shown
            {hasMore ? "; older ones come as you scroll." : ", and no more."}
          </small>
          {hasMore ? (
            <button type="button" onClick={loadMore} disabled={act.isBusy}>
              Older
            </button>
          ) : null}
        </p>
      )}
    </section>
  );
}

/** The filters that hold, each with a button that takes it away. */
function Chosen({ place }: { place: Place }) {
  const chosen = FILTER_NAMES.filter((name) => place.query.has(name));
  if (chosen.length === 0) return null;
  return (
    <p class="row chosen">
      {chosen.map((name) => (
        <button type="button" class="chip" onClick={() => setValues(place, { [name]: "" })}>
          {name.replaceAll("_", " ")} {place.query.get(name)}
          <span aria-hidden="true"> ✕</span>
          <span class="hidden">, take this filter away</span>
        </button>
      ))}
      <button
        type="button"
        class="quiet"
        onClick={() => setValues(place, Object.fromEntries(FILTER_NAMES.map((name) => [name, ""])))}
      >
        Clear all
      </button>
    </p>
  );
}

/** What the traces at hand have in common: values with their counts, each a filter. */
function Facets(props: { facets: TraceList["facets"]; onPick: (name: string, value: string) => void }) {
  const { facets, onPick } = props;
  if (facets === undefined) return null;
  const groups = Object.entries(facets)
    .map(([name, values]) => [name, Object.entries(values).filter(([value]) => value !== "")] as const)
    .filter(([, values]) => values.length > 1);
  return (
    <div class="facets">
      {groups.map(([name, values]) => (
        <div>
          <span class="name">{name.replaceAll("_", " ")}</span>
          {values.slice(0, MAX_FACET_VALUES).map(([value, requests]) => (
            <button type="button" class="quiet" onClick={() => onPick(name, value.replace(/^flow\//, ""))}>
              {name === "route" ? value.replace(/^flow\//, "") : value.replaceAll("_", " ")}{" "}
              <small>{count(requests)}</small>
            </button>
          ))}
          {values.length > MAX_FACET_VALUES ? <small>and {values.length - MAX_FACET_VALUES} more</small> : null}
        </div>
      ))}
    </div>
  );
}
