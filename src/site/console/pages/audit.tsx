/** Who changed what, and from what to what. */
import { call, type Json, type List, withQuery } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useLoad } from "../load.ts";
import { Difference } from "../parts/difference.tsx";
import { Field } from "../parts/field.tsx";
import { dayStart, relative } from "../parts/figures.ts";
import { State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { setValues } from "../place.ts";

interface Entry {
  readonly seq?: number;
  readonly id?: string | number;
  readonly at?: string;
  readonly created_at?: string;
  readonly actor: string;
  readonly action: string;
  readonly object?: string;
  readonly reason?: string | null;
  readonly before?: Json;
  readonly after?: Json;
  readonly detail?: Json;
}

const FILTERS = [
  ["actor", "Actor"],
  ["action", "Action"],
  ["object", "Object"],
  ["since", "Since"],
  ["until", "Until"],
] as const;

const timeOf = ({ at, created_at }: Entry): string => at ?? created_at ?? "";

const linesOf = (value: Json | undefined): readonly string[] =>
  value == null ? [] : JSON.stringify(value, null, 2).split("\n");

/** What was there before and after, line by line. */
function Changes({ entry: { before, after, detail } }: { entry: Entry }) {
  if (before == null && after == null && detail == null) return null;
  return (
    <details>
      <summary>{before == null ? "What was made" : after == null ? "What was there" : "Difference"}</summary>
      {before == null && after == null ? null : <Difference before={linesOf(before)} after={linesOf(after)} />}
      {detail == null ? null : <pre class="snippet">{JSON.stringify(detail, null, 2)}</pre>}
    </details>
  );
}

export function AuditPage({ place }: PageProps) {
  const { query } = place;
  const valueIn = (name: string): string => query.get(name) ?? "";
  const address = withQuery("/admin/audit", {
    ...Object.fromEntries(FILTERS.map(([name]) => [name, valueIn(name)])),
    since: dayStart(valueIn("since")),
    until: dayStart(valueIn("until")),
    cursor: valueIn("cursor"),
    limit: 100,
  });
  const list = useLoad(address, () => call<List<Entry>>(address));
  const next = list.data?.next_cursor ?? null;
  return (
    <section>
      <header class="row">
        <h1>Audit</h1>
      </header>
      <div class="fields">
        {FILTERS.map(([name, label]) => (
          <Field
            label={label}
            type={name === "since" || name === "until" ? "date" : "text"}
            value={valueIn(name)}
            onValue={(value) => setValues(place, { [name]: value, cursor: "" })}
          />
        ))}
      </div>
      <State of={list} />
      <Table
        caption="Audit"
        rows={list.data?.data ?? []}
        of={list}
        keyOf={(entry) => String(entry.seq ?? entry.id ?? timeOf(entry) + entry.action)}
        empty="Nothing was changed in this range."
        columns={[
          {
            name: "Time (UTC)",
            show: (entry) => (
              <span class="mono nowrap" title={relative(timeOf(entry))}>
                {timeOf(entry).slice(5, 19).replace("T", " ")}
              </span>
            ),
            by: timeOf,
          },
          { name: "Actor", show: ({ actor }) => actor },
          { name: "Action", show: ({ action }) => action, isCode: true },
          { name: "Object", show: ({ object }) => object ?? "" },
          { name: "Reason", show: ({ reason }) => reason ?? "" },
          { name: "Change", show: (entry) => <Changes entry={entry} /> },
        ]}
      />
      {next === null ? null : (
        <button type="button" onClick={() => setValues(place, { cursor: next })}>
          Older
        </button>
      )}
    </section>
  );
}
