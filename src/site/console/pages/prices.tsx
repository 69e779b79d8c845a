/** Prices: what an attempt costs, whose price it is, and putting the past right. */
import { useEffect, useState } from "hono/jsx/dom";
import { call, type List, withQuery } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Badge } from "../parts/badge.tsx";
import { Dialog, Field, Submit, submit } from "../parts/field.tsx";
import { count, relative, UNKNOWN, usd } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { Pairs } from "../parts/pairs.tsx";
import { Table } from "../parts/table.tsx";
import { setValues } from "../place.ts";
import { may, type Person } from "../session.ts";

interface Price {
  readonly provider: string;
  readonly model: string;
  readonly input?: number | null;
  readonly output?: number | null;
  readonly cache_read?: number | null;
  readonly source?: string;
  readonly updated_by?: string | null;
  readonly updated_at?: string | null;
  readonly valid_until?: string | null;
  readonly reason?: string;
}

const pathOf = ({ provider, model }: Pick<Price, "provider" | "model">): string =>
  `/admin/prices/${encodeURIComponent(provider)}/${model.split("/").map(encodeURIComponent).join("/")}`;

const nameOf = ({ provider, model }: Pick<Price, "provider" | "model">): string => `${provider}/${model}`;

interface CatalogueRow {
  readonly provider: string;
  readonly id: string;
  readonly input: number | null;
  readonly output: number | null;
  readonly cached: number | null;
}

/** What the catalogue says holds wherever no operator has set a price. */
async function readCatalogue(): Promise<readonly Price[]> {
  const rows = await call<readonly CatalogueRow[]>("/models.json");
  return rows.map(({ provider, id, input, output, cached }) => ({
    ...{ provider, model: id, input, output, cache_read: cached, source: "catalogue" },
  }));
}

export function PricesPage({ place, person }: PageProps) {
  const isWatched = place.query.get("watch") === "1";
  const sought = place.query.get("q") ?? "";
  const address = withQuery("/admin/prices", isWatched ? { watch: "true" } : { limit: 1000 });
  const list = useLoad(address, () => call<List<Price>>(address));
  const catalogue = useLoad("catalogue", readCatalogue);
  const [editing, setEditing] = useState<Price | null>(null);
  const [repricing, setRepricing] = useState<Price | null>(null);
  const act = useAct();
  const remove = (price: Price) => (): void => {
    void act.run(() => call(pathOf(price), { method: "DELETE" })).then(list.reload);
  };
  const own = list.data?.data ?? [];
  const ownNames = new Set(own.map(nameOf));
  const others = isWatched ? [] : (catalogue.data ?? []).filter((price) => !ownNames.has(nameOf(price)));
  const words = sought.toLowerCase().split(/\s+/);
  const rows = [...own, ...others].filter((price) => words.every((word) => nameOf(price).toLowerCase().includes(word)));
  const close = (): void => {
    setEditing(null);
    setRepricing(null);
    list.reload();
  };
  return (
    <section>
      <header class="row">
        <h1>Prices</h1>
        <div class="row">
          <label class="check">
            <input
              type="checkbox"
              checked={isWatched}
              onChange={() => setValues(place, { watch: isWatched ? "" : "1" })}
            />
            Ending soon or missing
          </label>
          {may(person, "release") ? (
            <button type="button" class="primary" onClick={() => setEditing({ provider: "", model: "" })}>
              Set price
            </button>
          ) : null}
        </div>
      </header>
      <div class="fields">
        <Field label="Model" type="search" value={sought} onValue={(q) => setValues(place, { q })} />
      </div>
      <State of={list} />
      <Failure error={act.error} />
      <Table
        caption="Prices"
        rows={rows}
        of={list}
        isDense
        keyOf={nameOf}
        empty={
          isWatched
            ? "No price ends within 14 days, and no target is without one."
            : "No price fits. Set one for a model that the catalogue does not know."
        }
        columns={[
          {
            name: "Model",
            show: nameOf,
            by: nameOf,
            isCode: true,
          },
          { name: "Input", show: ({ input }) => usd(input), by: ({ input }) => input ?? null, numeric: true },
          { name: "Output", show: ({ output }) => usd(output), by: ({ output }) => output ?? null, numeric: true },
          { name: "Cache read", show: ({ cache_read }) => usd(cache_read), numeric: true },
          {
            name: "Source",
            show: ({ source }) => (source == null ? UNKNOWN : <Badge word={source} />),
            by: ({ source }) => source ?? "",
          },
          {
            name: "Ends",
            show: ({ valid_until, reason }) => reason ?? (valid_until == null ? "" : relative(valid_until)),
          },
          {
            name: "Set",
            show: ({ updated_by, updated_at }) =>
              updated_by == null ? "" : `${relative(updated_at)} by ${updated_by}`,
          },
          {
            name: "",
            show: (price) =>
              may(person, "release") ? (
                <div class="row">
                  <button type="button" class="quiet" onClick={() => setEditing(price)}>
                    Change
                  </button>
                  <button type="button" class="quiet" onClick={() => setRepricing(price)}>
                    Reprice
                  </button>
                  {price.source === "operator" ? (
                    <button type="button" class="quiet" onClick={remove(price)}>
                      Remove
                    </button>
                  ) : null}
                </div>
              ) : null,
          },
        ]}
      />
      <p class="hint">
        USD for a million tokens. A price counts from the next attempt on; what is booked is moved by Reprice only.
      </p>
      {editing === null ? null : <SetPrice price={editing} onClose={close} />}
      {repricing === null ? null : <Reprice price={repricing} person={person} onClose={close} />}
    </section>
  );
}

function SetPrice({ price, onClose }: { price: Price; onClose: () => void }) {
  const [provider, setProvider] = useState(price.provider);
  const [model, setModel] = useState(price.model);
  const [input, setInput] = useState(String(price.input ?? ""));
  const [output, setOutput] = useState(String(price.output ?? ""));
  const [cacheRead, setCacheRead] = useState(String(price.cache_read ?? ""));
  const act = useAct();
  const save = async (): Promise<void> => {
    const body = {
      input: Number(input),
      output: Number(output),
      ...(cacheRead === "" ? {} : { cache_read: Number(cacheRead) }),
    };
    if (await act.run(() => call(pathOf({ provider, model }), { method: "PUT", body }))) onClose();
  };
  return (
    <Dialog title="Set price" onClose={onClose}>
      <form onSubmit={submit(save)}>
        <p>It replaces the catalogue's price whole, everywhere within a minute.</p>
        <Field label="Provider" value={provider} onValue={setProvider} required />
        <Field label="Model id" value={model} onValue={setModel} required />
        <Field label="Input (USD a million)" type="number" step="any" value={input} onValue={setInput} required />
        <Field label="Output (USD a million)" type="number" step="any" value={output} onValue={setOutput} required />
        <Field
          label="Cache read (USD a million)"
          type="number"
          step="any"
          value={cacheRead}
          onValue={setCacheRead}
          hint="Empty: as input."
        />
        <Submit act={act}>Set price</Submit>
      </form>
    </Dialog>
  );
}

interface Run {
  readonly id: string;
  readonly status: string;
  readonly dry_run: boolean;
  readonly charges: number;
  readonly keys: number;
  readonly before_usd: number;
  readonly after_usd: number;
  readonly difference_usd: number;
  readonly exact: boolean;
}

const POLL_MS = 1_000;

/** First a dry run, with its figures; then the same permanently. */
function Reprice({ price, person, onClose }: { price: Price; person: Person; onClose: () => void }) {
  const [since, setSince] = useState(`${new Date().toISOString().slice(0, 7)}-01`);
  const [until, setUntil] = useState("");
  const [id, setId] = useState<string | null>(null);
  const act = useAct();
  const look = useLoad(`reprice ${id}`, () =>
    id === null ? Promise.resolve(null) : call<Run>(`/admin/spend/reprice/${encodeURIComponent(id)}`),
  );
  const run = look.data;
  useEffect(() => {
    if (run?.status !== "running") return;
    const timer = setTimeout(look.reload, POLL_MS);
    return () => clearTimeout(timer);
  }, [look.at]);
  const start = (isDry: boolean) => async (): Promise<void> => {
    await act.run(async () => {
      const body = {
        provider: price.provider,
        model: price.model,
        since: `${since}T00:00:00Z`,
        ...(until === "" ? {} : { until: `${until}T00:00:00Z` }),
        dry_run: isDry,
      };
      setId((await call<{ id: string }>("/admin/spend/reprice", { body })).id);
    });
  };
  return (
    <Dialog title={`Reprice ${price.provider}/${price.model}`} onClose={onClose}>
      <form onSubmit={submit(start(true))}>
        <p>Books what past requests cost by the price in force now. Try it first: a dry run changes nothing.</p>
        <Field label="Since" type="date" value={since} onValue={setSince} required />
        <Field label="Until" type="date" value={until} onValue={setUntil} hint="Not included. Empty: now." />
        <Failure error={act.error} />
        <Failure error={look.error} retry={look.reload} />
        {run === null ? null : (
          <Pairs
            kind="facts"
            of={[
              ["State", `${run.status}${run.dry_run ? ", dry run" : ""}`],
              ["Charges", count(run.charges)],
              ["Keys", count(run.keys)],
              ["Before", usd(run.before_usd)],
              ["After", usd(run.after_usd)],
              ["Difference", usd(run.difference_usd)],
              ["Exact", run.exact ? "yes" : "within a nano-dollar a request"],
            ]}
          />
        )}
        <div class="row">
          <button type="submit" disabled={act.isBusy}>
            Dry run
          </button>
          {run?.status === "done" && run.dry_run && may(person, "admin") ? (
            <button type="button" class="danger" disabled={act.isBusy} onClick={start(false)}>
              Reprice
            </button>
          ) : null}
        </div>
      </form>
    </Dialog>
  );
}
