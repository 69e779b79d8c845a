/** Providers: which are configured, what is missing, how their targets fare, and taking one out. */
import { useState } from "hono/jsx/dom";
import { call, type List } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Badge } from "../parts/badge.tsx";
import { Copy, Dialog, Field, Submit, submit } from "../parts/field.tsx";
import { count, duration, relative, UNKNOWN } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { setValues } from "../place.ts";
import { may } from "../session.ts";

interface Target {
  readonly model: string;
  readonly state?: string;
  readonly open_until?: string | null;
  readonly routes?: readonly string[];
  readonly requests?: number;
  readonly error_rate?: number | null;
  readonly first_token_ms?: { readonly p50: number | null; readonly p95: number | null };
  readonly total_ms?: { readonly p50: number | null; readonly p95: number | null };
  readonly last_failure?: { readonly class?: string; readonly message?: string; readonly at?: string } | null;
  readonly openings?: readonly { readonly at: string; readonly class?: string; readonly until?: string }[];
  readonly disabled?: { readonly reason: string; readonly until?: string | null } | null;
}

interface Provider {
  readonly id: string;
  readonly kind?: string;
  readonly base_url?: string;
  readonly configured: boolean;
  readonly missing?: readonly string[];
  readonly credentials?: readonly { readonly number: number; readonly rests_until?: string | null }[];
  readonly disabled?: { readonly reason: string; readonly until?: string | null } | null;
  readonly targets?: readonly Target[];
}

const EVERY_MS = 10_000;
const stateOf = ({ state, disabled }: Target): string => (disabled != null ? "disabled" : (state ?? "closed"));
const pair = (times: Target["first_token_ms"]): string =>
  times == null ? UNKNOWN : `${duration(times.p50)} · ${duration(times.p95)}`;

export function ProvidersPage({ place, person }: PageProps) {
  const isAll = place.query.get("all") === "1";
  const address = isAll ? "/admin/providers" : "/admin/providers?configured=true";
  const list = useLoad(address, () => call<List<Provider>>(address), EVERY_MS);
  const [disabling, setDisabling] = useState<string | null>(null);
  const [isAdding, setAdding] = useState(false);
  const rows = (list.data?.data ?? []).toSorted((left, right) => Number(right.configured) - Number(left.configured));
  const targets = rows.flatMap((provider) =>
    (provider.targets ?? []).map((target) => ({ ...target, provider: provider.id })),
  );
  const act = useAct();
  const enable = (path: string) => (): void => {
    void act
      .run(() => call(`/admin/providers/${path}`, { method: "PATCH", body: { disabled: false } }))
      .then(list.reload);
  };
  const close = (): void => {
    setDisabling(null);
    setAdding(false);
    list.reload();
  };
  return (
    <section>
      <header class="row">
        <h1>Providers</h1>
        <div class="row">
          <label class="check">
            <input type="checkbox" checked={isAll} onChange={() => setValues(place, { all: isAll ? "" : "1" })} />
            Also those without a secret
          </label>
          {may(person, "admin") ? (
            <button type="button" onClick={() => setAdding(true)}>
              Add endpoint
            </button>
          ) : null}
        </div>
      </header>
      <State of={list} />
      <Failure error={act.error} />
      <Table
        caption="Providers"
        rows={rows}
        of={list}
        keyOf={({ id }) => id}
        empty="No provider is configured. Set a secret, such as OPENAI_API_KEY, and deploy or start again."
        columns={[
          { name: "Provider", show: ({ id }) => <strong>{id}</strong>, by: ({ id }) => id },
          {
            name: "State",
            show: ({ configured, disabled }) => (
              <>
                <Badge word={disabled != null ? "disabled" : configured ? "configured" : "not configured"} />{" "}
                <small>{disabled?.reason ?? ""}</small>
              </>
            ),
          },
          {
            name: "Missing",
            show: (provider) =>
              (provider.missing ?? []).map((name) => (
                <div class="row">
                  <code>npx wrangler secret put {name}</code>
                  <Copy text={`npx wrangler secret put ${name}`} />
                </div>
              )),
          },
          {
            name: "Credentials",
            show: ({ credentials = [] }) =>
              credentials.map(({ number, rests_until }) => (
                <div>
                  {number}:{" "}
                  {rests_until == null ? "free" : <span class="slow">rests, free {relative(rests_until)}</span>}
                </div>
              )),
          },
          { name: "Address", show: ({ base_url }) => <small>{base_url ?? ""}</small> },
          {
            name: "",
            show: ({ id, disabled }) =>
              !may(person, "admin") ? null : disabled != null ? (
                <button type="button" class="quiet" onClick={enable(encodeURIComponent(id))}>
                  Enable
                </button>
              ) : (
                <button type="button" class="quiet" onClick={() => setDisabling(encodeURIComponent(id))}>
                  Disable
                </button>
              ),
          },
        ]}
      />
      <Table
        caption="Targets"
        rows={targets}
        of={list}
        isVisibleCaption
        keyOf={({ provider, model }) => `${provider}/${model}`}
        empty="No target was called lately."
        columns={[
          {
            name: "Target",
            show: ({ provider, model }) => `${provider}/${model}`,
            by: ({ provider, model }) => `${provider}/${model}`,
            isCode: true,
          },
          {
            name: "Breaker",
            show: (target) => (
              <>
                <Badge word={stateOf(target)} />{" "}
                <small>
                  {target.disabled?.reason ?? (target.open_until == null ? "" : `until ${relative(target.open_until)}`)}
                </small>
              </>
            ),
            by: stateOf,
          },
          {
            name: "Routes",
            show: ({ routes = [] }) => count(routes.length),
            by: ({ routes = [] }) => routes.length,
            numeric: true,
          },
          {
            name: "Requests (1 min)",
            show: ({ requests }) => count(requests),
            by: ({ requests }) => requests ?? null,
            numeric: true,
          },
          {
            name: "Openings (24 h)",
            show: ({ openings = [] }) => <Openings times={openings.map(({ at }) => Date.parse(at))} />,
            by: ({ openings = [] }) => openings.length,
          },
          {
            name: "Errors",
            show: ({ error_rate }) => (error_rate == null ? UNKNOWN : `${(100 * error_rate).toFixed(1)} %`),
            by: ({ error_rate }) => error_rate ?? null,
            numeric: true,
          },
          {
            name: "First token p50 · p95",
            show: ({ first_token_ms }) => pair(first_token_ms),
            numeric: true,
          },
          {
            name: "Last failure",
            show: ({ last_failure }) =>
              last_failure == null ? (
                ""
              ) : (
                <>
                  <Badge word={last_failure.class ?? "failed"} /> {last_failure.message ?? ""}{" "}
                  <small>{relative(last_failure.at)}</small>
                </>
              ),
          },
          {
            name: "",
            show: ({ provider, model, disabled }) =>
              !may(person, "admin") ? null : disabled == null ? (
                <button
                  type="button"
                  class="quiet"
                  onClick={() => setDisabling(`${encodeURIComponent(provider)}/${encodeURIComponent(model)}`)}
                >
                  Disable
                </button>
              ) : (
                <button
                  type="button"
                  class="quiet"
                  onClick={enable(`${encodeURIComponent(provider)}/${encodeURIComponent(model)}`)}
                >
                  Enable
                </button>
              ),
          },
        ]}
      />
      {disabling === null ? null : <Disable path={disabling} onClose={close} />}
      {isAdding ? <AddEndpoint onClose={close} /> : null}
    </section>
  );
}

const DAY_MS = 86_400_000;

/** When a breaker opened, over the last day. */
function Openings({ times }: { times: readonly number[] }) {
  const start = Date.now() - DAY_MS;
  return (
    <svg class="timeline" viewBox="0 0 240 12" role="img" aria-label={`${times.length} openings in the last day`}>
      <rect class="track" y="5" width="240" height="2" />
      {times.map((time) => (
        <rect class="failed" x={Math.max(0, (240 * (time - start)) / DAY_MS)} width="2" height="12" />
      ))}
    </svg>
  );
}

function Disable({ path, onClose }: { path: string; onClose: () => void }) {
  const [reason, setReason] = useState("");
  const act = useAct();
  const disable = async (): Promise<void> => {
    const body = { disabled: true, reason };
    if (await act.run(() => call(`/admin/providers/${path}`, { method: "PATCH", body }))) onClose();
  };
  return (
    <Dialog title={`Disable ${decodeURIComponent(path)}`} onClose={onClose}>
      <form onSubmit={submit(disable)}>
        <p>It leaves every plan within a minute, also where it is a route's only target.</p>
        <Field label="Reason" value={reason} onValue={setReason} required />
        <Submit act={act} kind="danger">
          Disable
        </Submit>
      </form>
    </Dialog>
  );
}

function AddEndpoint({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [address, setAddress] = useState("https://");
  const [secret, setSecret] = useState("");
  const act = useAct();
  const add = async (): Promise<void> => {
    const body = { protocol: "openai", base_url: address, ...(secret === "" ? {} : { secret }) };
    if (await act.run(() => call(`/admin/providers/${encodeURIComponent(name)}`, { method: "PUT", body }))) onClose();
  };
  return (
    <Dialog title="Add endpoint" onClose={onClose}>
      <form onSubmit={submit(add)}>
        <Field label="Name" value={name} onValue={setName} required hint="The provider's id in policies." />
        <Field
          label="Base URL"
          type="url"
          value={address}
          onValue={setAddress}
          required
          hint="OpenAI-compatible, with its version path."
        />
        <Field
          label="Secret"
          value={secret}
          onValue={setSecret}
          hint="The name of a Worker secret, such as UPSTREAM_MY_KEY. Empty: none."
        />
        <Submit act={act}>Add</Submit>
      </form>
    </Dialog>
  );
}
