/** Budgets above the key: what a team, an app or the whole deployment may spend. */
import { useState } from "hono/jsx/dom";
import { call, type List } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Bar } from "../parts/badge.tsx";
import { Choice, Dialog, Field, Submit, submit } from "../parts/field.tsx";
import { relative, UNKNOWN, usd } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { may } from "../session.ts";

interface Budget {
  readonly id: string;
  readonly scope: {
    readonly env?: string;
    readonly app?: string;
    readonly keys?: readonly string[];
    readonly tag?: { readonly name: string; readonly value: string };
  };
  readonly limit_usd: number;
  readonly period: string;
  readonly time_zone?: string;
  readonly on_exceeded?: string;
  readonly status?: {
    readonly resets_at?: string | null;
    readonly spent_usd: number;
    readonly leased_usd?: number;
    readonly remaining_usd: number;
  };
}

interface Settings {
  readonly spend_tags?: readonly string[];
}

const EVERY_MS = 10_000;
const PERIODS = ["day", "week", "month", "total"] as const;

function scopeText({ env, app, keys, tag }: Budget["scope"]): string {
  const parts = [
    env === undefined ? "" : `environment ${env}`,
    app === undefined ? "" : `app ${app}`,
    keys === undefined ? "" : `keys ${keys.join(", ")}`,
    tag === undefined ? "" : `tag ${tag.name}=${tag.value}`,
  ].filter((part) => part !== "");
  return parts.length === 0 ? "the whole deployment" : parts.join(", ");
}

export function BudgetsPage({ person }: PageProps) {
  const list = useLoad("budgets", () => call<List<Budget>>("/admin/budgets?limit=1000"), EVERY_MS);
  const [editing, setEditing] = useState<Budget | "new" | null>(null);
  const act = useAct();
  const remove = (id: string) => (): void => {
    void act.run(() => call(`/admin/budgets/${encodeURIComponent(id)}`, { method: "DELETE" })).then(list.reload);
  };
  return (
    <section>
      <header class="row">
        <h1>Budgets</h1>
        {may(person, "admin") ? (
          <button type="button" class="primary" onClick={() => setEditing("new")}>
            New budget
          </button>
        ) : null}
      </header>
      <State of={list} />
      <Failure error={act.error} />
      <Table
        caption="Budgets"
        rows={list.data?.data ?? []}
        of={list}
        keyOf={({ id }) => id}
        empty="No budget above the keys. A key has its own; these hold for an environment, an app, several keys or a tag."
        columns={[
          { name: "Name", show: ({ id }) => <strong>{id}</strong>, by: ({ id }) => id },
          { name: "For", show: ({ scope }) => scopeText(scope) },
          {
            name: "Limit",
            show: ({ limit_usd, period }) => `${usd(limit_usd)} a ${period}`,
            by: ({ limit_usd }) => limit_usd,
          },
          {
            name: "Spent",
            show: ({ id, status, limit_usd }) =>
              status === undefined ? (
                UNKNOWN
              ) : (
                <>
                  {usd(status.spent_usd)}
                  <Bar part={status.spent_usd} whole={limit_usd} name={`Budget ${id}`} />
                </>
              ),
          },
          { name: "Lent to keys", show: ({ status }) => usd(status?.leased_usd), numeric: true },
          { name: "Left", show: ({ status }) => usd(status?.remaining_usd), numeric: true },
          {
            name: "Resets",
            show: ({ status }) => (status?.resets_at == null ? "never" : relative(status.resets_at)),
          },
          { name: "When it is over", show: ({ on_exceeded }) => (on_exceeded === "notify" ? "notify" : "refuse") },
          {
            name: "",
            show: (budget) =>
              may(person, "admin") ? (
                <div class="row">
                  <button type="button" class="quiet" onClick={() => setEditing(budget)}>
                    Change
                  </button>
                  <button type="button" class="quiet" onClick={remove(budget.id)}>
                    Delete
                  </button>
                </div>
              ) : null,
          },
        ]}
      />
      {editing === null ? null : (
        <EditBudget
          budget={editing === "new" ? null : editing}
          onClose={() => {
            setEditing(null);
            list.reload();
          }}
        />
      )}
    </section>
  );
}

/** Only a tag whose spend is summed can have a budget. */
function tagHint(name: string, settings: Settings | null): string {
  const summed = settings?.spend_tags ?? [];
  const list = summed.length === 0 ? "none yet" : summed.join(", ");
  if (name === "") return `Empty: all. Summed so far: ${list}.`;
  if (settings === null || summed.includes(name)) return "";
  return `Spend by this tag is not summed yet (${list}; four at most). Save begins to.`;
}

function EditBudget({ budget, onClose }: { budget: Budget | null; onClose: () => void }) {
  const [name, setName] = useState(budget?.id ?? "");
  const [env, setEnv] = useState(budget?.scope.env ?? "");
  const [app, setApp] = useState(budget?.scope.app ?? "");
  const [keys, setKeys] = useState((budget?.scope.keys ?? []).join(", "));
  const [tagName, setTagName] = useState(budget?.scope.tag?.name ?? "");
  const [tagValue, setTagValue] = useState(budget?.scope.tag?.value ?? "");
  const settings = useLoad("settings", () => call<Settings>("/admin/settings"));
  const summed = settings.data?.spend_tags ?? [];
  const [limit, setLimit] = useState(String(budget?.limit_usd ?? ""));
  const [period, setPeriod] = useState(budget?.period ?? "month");
  const [zone, setZone] = useState(budget?.time_zone ?? "");
  const [exceeded, setExceeded] = useState(budget?.on_exceeded ?? "deny");
  const act = useAct();
  const save = async (): Promise<void> => {
    const ids = keys.split(/[\s,]+/).filter((id) => id !== "");
    const body = {
      scope: {
        ...(env === "" ? {} : { env }),
        ...(app === "" ? {} : { app }),
        ...(ids.length === 0 ? {} : { keys: ids }),
        ...(tagName === "" ? {} : { tag: { name: tagName, value: tagValue } }),
      },
      limit_usd: Number(limit),
      period,
      ...(zone === "" ? {} : { time_zone: zone }),
      on_exceeded: exceeded,
    };
    const put = async (): Promise<void> => {
      if (tagName !== "" && !summed.includes(tagName)) {
        await call("/admin/settings", { method: "PUT", body: { spend_tags: [...summed, tagName] } });
      }
      await call(`/admin/budgets/${encodeURIComponent(name)}`, { method: "PUT", body });
    };
    if (await act.run(put)) onClose();
  };
  return (
    <Dialog title={budget === null ? "New budget" : `Budget ${budget.id}`} onClose={onClose}>
      <form onSubmit={submit(save)}>
        {budget === null ? <Field label="Name" value={name} onValue={setName} required /> : null}
        <Field label="Environment" value={env} onValue={setEnv} hint="Empty: all." />
        <Field label="App" value={app} onValue={setApp} hint="Empty: all." />
        <Field
          label="Keys"
          value={keys}
          onValue={setKeys}
          hint="Ids, as in a key's address, with commas. Empty: all."
        />
        <Field label="Tag" value={tagName} onValue={setTagName} hint={tagHint(tagName, settings.data)} />
        {tagName === "" ? null : <Field label="Value of the tag" value={tagValue} onValue={setTagValue} required />}
        <Field label="Budget (USD)" type="number" step="any" value={limit} onValue={setLimit} required />
        <Choice
          label="Period"
          value={period}
          onValue={setPeriod}
          options={PERIODS.map((each) => [each, each] as const)}
        />
        <Field
          label="Time zone"
          value={zone}
          onValue={setZone}
          hint="An IANA name, such as Europe/Berlin. Empty: UTC."
        />
        <Choice
          label="When it is over"
          value={exceeded}
          onValue={setExceeded}
          options={[
            ["deny", "refuse requests"],
            ["notify", "notify only"],
          ]}
        />
        <Submit act={act}>Save</Submit>
      </form>
    </Dialog>
  );
}
