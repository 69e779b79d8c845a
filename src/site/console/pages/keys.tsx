/** Keys: who may call, how much is spent, what ends soon. */
import { useState } from "hono/jsx/dom";
import { call, type List } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Badge, Bar } from "../parts/badge.tsx";
import { curlText } from "../parts/curl.ts";
import { Choice, Copy, Dialog, Field, Submit, submit } from "../parts/field.tsx";
import { relative, usd } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { FIRST_ENVS } from "../place.ts";
import { may } from "../session.ts";
import type { Key } from "../types.ts";

const SOON_MS = 14 * 86_400_000;

function endsSoon({ expires_at, status }: Key): boolean {
  return status === "active" && expires_at !== null && Date.parse(expires_at) - Date.now() < SOON_MS;
}

export function KeysPage({ person, env }: PageProps) {
  const list = useLoad("keys", () => call<List<Key>>("/admin/keys?with=spend&limit=1000"));
  const [isCreating, setCreating] = useState(false);
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const rows = (list.data?.data ?? []).filter((key) => env === "" || key.env === env);
  return (
    <section>
      <header class="row">
        <h1>Keys</h1>
        {may(person, "admin") ? (
          <button type="button" class="primary" onClick={() => setCreating(true)}>
            Create key
          </button>
        ) : null}
      </header>
      <State of={list} />
      <Several
        keys={rows.filter(({ id }) => chosen.includes(id))}
        onDone={() => {
          setChosen([]);
          list.reload();
        }}
      />
      <Table
        caption="Keys"
        rows={rows}
        of={list}
        keyOf={({ id }) => id}
        empty="There are no keys here. An application needs one to call the data plane."
        columns={[
          { name: "Name", show: (key) => <a href={`/console/keys/${key.id}`}>{key.name}</a>, by: ({ name }) => name },
          { name: "Env", show: (key) => key.env, by: (key) => key.env },
          { name: "Status", show: ({ status }) => <Badge word={status} />, by: ({ status }) => status },
          { name: "Kind", show: ({ kind }) => kind ?? "" },
          { name: "Apps", show: ({ apps }) => (apps ?? []).join(", ") || "any" },
          {
            name: "Spent",
            show: ({ spend }) => usd(spend?.spent_usd),
            by: ({ spend }) => spend?.spent_usd ?? null,
            numeric: true,
          },
          {
            name: "Budget",
            show: ({ budget, spend, name }) =>
              budget === null ? (
                "none"
              ) : (
                <>
                  {usd(budget.limit_usd)} {budget.period === "total" ? "in total" : `a ${budget.period}`}
                  <Bar part={spend?.spent_usd ?? 0} whole={budget.limit_usd} name={`Budget of ${name}`} />
                </>
              ),
          },
          {
            name: "Expires",
            show: (key) => (
              <span class={endsSoon(key) ? "slow" : ""}>
                {key.expires_at === null ? "never" : relative(key.expires_at)}
              </span>
            ),
            by: ({ expires_at }) => expires_at,
          },
          ...(may(person, "admin")
            ? [
                {
                  name: "Select",
                  show: (key: Key) =>
                    key.status === "revoked" ? null : (
                      <input
                        type="checkbox"
                        aria-label={`Select ${rows.indexOf(key) + 1}`}
                        checked={chosen.includes(key.id)}
                        onChange={() =>
                          setChosen(
                            chosen.includes(key.id) ? chosen.filter((id) => id !== key.id) : [...chosen, key.id],
                          )
                        }
                      />
                    ),
                },
              ]
            : []),
        ]}
      />
      {isCreating ? (
        <CreateKey
          env={env}
          onClose={() => {
            setCreating(false);
            list.reload();
          }}
        />
      ) : null}
    </section>
  );
}

/** What can be done with several keys at once, one after the other: the first refusal ends it and is shown. */
function Several({ keys, onDone }: { keys: readonly Key[]; onDone: () => void }) {
  const [isRevoking, setRevoking] = useState(false);
  const act = useAct();
  const each = async (change: (path: string) => Promise<unknown>): Promise<void> => {
    const isDone = await act.run(async () => {
      for (const { id } of keys) await change(`/admin/keys/${encodeURIComponent(id)}`);
    });
    if (!isDone) return;
    setRevoking(false);
    onDone();
  };
  const setStatus = (status: string) => () => each((path) => call(path, { method: "PATCH", body: { status } }));
  if (keys.length === 0) return null;
  return (
    <div class="row several">
      <small>
        {keys.length} selected: {keys.map(({ name }) => name).join(", ")}
      </small>
      <button type="button" onClick={setStatus("paused")} disabled={act.isBusy}>
        Pause selected
      </button>
      <button type="button" onClick={setStatus("active")} disabled={act.isBusy}>
        Resume selected
      </button>
      <button type="button" class="danger" onClick={() => setRevoking(true)} disabled={act.isBusy}>
        Revoke selected
      </button>
      <Failure error={isRevoking ? null : act.error} />
      {isRevoking ? (
        <Dialog title={`Revoke ${keys.length} keys`} onClose={() => setRevoking(false)}>
          <form onSubmit={submit(() => each((path) => call(path, { method: "DELETE" })))}>
            <p>Every request with one of these keys fails from now on. This cannot be undone.</p>
            <ul>
              {keys.map(({ id, name, env }) => (
                <li>
                  {name} ({env}, <code>{id}</code>)
                </li>
              ))}
            </ul>
            <Submit act={act} kind="danger">
              Revoke {keys.length} keys
            </Submit>
          </form>
        </Dialog>
      ) : null}
    </div>
  );
}

export const PERIODS = ["day", "week", "month", "total"] as const;

/** What a key may do in a minute and at once, and until when; what is empty is left out. */
export interface LimitTexts {
  readonly requests_per_minute: string;
  readonly tokens_per_minute: string;
  readonly concurrency: string;
  readonly expires: string;
}

export const NO_LIMITS: LimitTexts = { requests_per_minute: "", tokens_per_minute: "", concurrency: "", expires: "" };

/** `limits` and `expires_at` of a key's body, each as a whole: `null` where nothing is limited. */
export function limitMembers({ expires, ...limits }: LimitTexts) {
  const set = Object.entries(limits).filter(([, text]) => text !== "");
  return {
    limits: set.length === 0 ? null : Object.fromEntries(set.map(([name, text]) => [name, Number(text)])),
    expires_at: expires === "" ? null : `${expires}T00:00:00Z`,
  };
}

export function LimitFields({ limits, onLimits }: { limits: LimitTexts; onLimits: (limits: LimitTexts) => void }) {
  const field = (label: string, name: keyof LimitTexts, type: "number" | "date", hint?: string) => (
    <Field
      label={label}
      type={type}
      value={limits[name]}
      onValue={(value) => onLimits({ ...limits, [name]: value })}
      {...(hint === undefined ? {} : { hint })}
    />
  );
  return (
    <div class="fields">
      {field("Requests per minute", "requests_per_minute", "number")}
      {field("Tokens per minute", "tokens_per_minute", "number")}
      {field("Concurrency", "concurrency", "number")}
      {field("Expires", "expires", "date", "At the beginning of the day, UTC.")}
    </div>
  );
}

const listOf = (text: string): string[] =>
  text
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");

function CreateKey({ env, onClose }: { env: string; onClose: () => void }) {
  const [name, setName] = useState("");
  const [of, setOf] = useState(env === "" ? "staging" : env);
  const [apps, setApps] = useState("");
  const [budget, setBudget] = useState("");
  const [period, setPeriod] = useState("month");
  const [limits, setLimits] = useState(NO_LIMITS);
  const [secret, setSecret] = useState<string | null>(null);
  const act = useAct();
  const create = (): Promise<boolean> =>
    act.run(async () => {
      const body = {
        name,
        env: of,
        ...(listOf(apps).length === 0 ? {} : { apps: listOf(apps) }),
        ...(budget === "" ? {} : { budget: { limit_usd: Number(budget), period } }),
        ...Object.fromEntries(Object.entries(limitMembers(limits)).filter(([, value]) => value !== null)),
      };
      const { key } = await call<Key & { key: string }>("/admin/keys", { body });
      setSecret(key);
    });
  return (
    <Dialog title={secret === null ? "Create key" : "Key created"} onClose={onClose}>
      {secret === null ? (
        <form onSubmit={submit(create)}>
          <Field
            label="Name"
            value={name}
            onValue={setName}
            required
            hint="Who will use it, for whom you look later."
          />
          <Choice
            label="Environment"
            value={of}
            onValue={setOf}
            options={[...new Set([...FIRST_ENVS, of])].map((each) => [each, each] as const)}
          />
          <Field label="App" value={apps} onValue={setApps} hint="One, or several with commas. Empty: all." />
          <Field
            label="Budget (USD)"
            type="number"
            step="0.01"
            value={budget}
            onValue={setBudget}
            hint="Empty: none."
          />
          <Choice
            label="Budget period"
            value={period}
            onValue={setPeriod}
            options={PERIODS.map((each) => [each, each] as const)}
          />
          <LimitFields limits={limits} onLimits={setLimits} />
          <Submit act={act}>Create key</Submit>
        </form>
      ) : (
        <Secret secret={secret} />
      )}
    </Dialog>
  );
}

/** The secret, which is shown once, and a request that uses it. */
export function Secret({ secret }: { secret: string }) {
  const snippet = [
    `export FLOW_LAYER_API_KEY=${secret}`,
    curlText("/v1/chat/completions", `{"model":"flow/best-reasoning","messages":[{"role":"user","content":"Hello"}]}`),
  ].join("\n");
  return (
    <div>
      <p>Copy the key now: it is not kept anywhere, and not shown again.</p>
      <div class="field">
        <label for="api-key">API key</label>
        <output id="api-key" class="secret">
          {secret}
        </output>
        <Copy text={secret} />
      </div>
      <pre class="snippet">{snippet}</pre>
      <Copy text={snippet} />
    </div>
  );
}
