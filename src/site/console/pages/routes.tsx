/** Routes: the named workloads, who answers them, and how they fare. */
import { useState } from "hono/jsx/dom";
import { call, type List, withQuery } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useLoad } from "../load.ts";
import { Choice, Dialog, Field, submit } from "../parts/field.tsx";
import { count, duration, relative, share, usd } from "../parts/figures.ts";
import { State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { FIRST_ENVS, go } from "../place.ts";
import { may } from "../session.ts";
import type { Route, StatsRow } from "../types.ts";

const DAY_MS = 86_400_000;

export function RoutesPage({ person, env }: PageProps) {
  const list = useLoad("routes", () => call<List<Route>>("/admin/routes?limit=1000"));
  const since = new Date(Math.floor(Date.now() / 3_600_000) * 3_600_000 - DAY_MS).toISOString();
  const stats = useLoad(`route stats ${since}`, () =>
    call<{ data: readonly StatsRow[] }>(withQuery("/admin/stats", { since, bucket: "day", group_by: "env,route" })),
  );
  const [isNew, setNew] = useState(false);
  const rows = (list.data?.data ?? []).filter((route) => env === "" || route.env === env);
  const traffic = (route: Route) => {
    const mine = (stats.data?.data ?? []).filter(
      ({ group }) => group["env"] === route.env && group["route"] === `flow/${route.name}`,
    );
    const sum = (pick: (row: StatsRow) => number | null): number =>
      mine.reduce((all, row) => all + (pick(row) ?? 0), 0);
    return {
      requests: sum((row) => row.requests),
      errors: sum((row) => row.errors),
      cost: sum((row) => row.cost_usd),
      p95: mine.at(-1)?.total_ms.p95 ?? null,
    };
  };
  return (
    <section>
      <header class="row">
        <h1>Routes</h1>
        {may(person, "release") ? (
          <button type="button" class="primary" onClick={() => setNew(true)}>
            New route
          </button>
        ) : null}
      </header>
      <State of={list} />
      <Table
        caption="Routes"
        rows={rows}
        of={list}
        keyOf={(route) => `${route.env}/${route.name}`}
        empty="No route here. A route is a workload's name; its policy lists who may answer."
        columns={[
          {
            name: "Route",
            show: (route) => <a href={`/console/routes/${route.env}/${route.name}`}>flow/{route.name}</a>,
            by: ({ name }) => name,
            isCode: true,
          },
          { name: "Env", show: (route) => route.env, by: (route) => route.env },
          { name: "Version", show: ({ version }) => version, by: ({ version }) => version, numeric: true },
          {
            name: "Targets",
            show: ({ policy }) =>
              (policy.targets ?? []).map(({ provider, model }) => `${provider}/${model}`).join(", "),
            isCode: true,
          },
          {
            name: "Requests (24 h)",
            show: (route) => count(traffic(route).requests),
            by: (route) => traffic(route).requests,
            numeric: true,
          },
          {
            name: "Success",
            show: (route) => share(traffic(route).requests - traffic(route).errors, traffic(route).requests),
            numeric: true,
          },
          { name: "Total p95", show: (route) => duration(traffic(route).p95), numeric: true },
          {
            name: "Spend",
            show: (route) => usd(traffic(route).cost),
            by: (route) => traffic(route).cost,
            numeric: true,
          },
          {
            name: "Published",
            show: ({ created_at, actor }) => (
              <>
                {relative(created_at)} <small>by {actor}</small>
              </>
            ),
            by: ({ created_at }) => created_at,
          },
        ]}
      />
      {isNew ? <NewRoute env={env} onClose={() => setNew(false)} /> : null}
    </section>
  );
}

function NewRoute({ env, onClose }: { env: string; onClose: () => void }) {
  const [name, setName] = useState("");
  const [of, setOf] = useState(env === "" ? "staging" : env);
  return (
    <Dialog title="New route" onClose={onClose}>
      <form onSubmit={submit(() => go(`/console/routes/${of}/${encodeURIComponent(name.trim())}`))}>
        <Field
          label="Name"
          value={name}
          onValue={setName}
          required
          hint="Small letters, digits, dots and dashes. Clients call it flow/<name>."
        />
        <Choice
          label="Environment"
          value={of}
          onValue={setOf}
          options={[...new Set([...FIRST_ENVS, of])].map((each) => [each, each] as const)}
        />
        <button type="submit" class="primary">
          Write its policy
        </button>
      </form>
    </Dialog>
  );
}
