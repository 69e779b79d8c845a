/** One key: spend, limits, and what can be done with it. */
import { useEffect, useState } from "hono/jsx/dom";
import { call, withQuery } from "../api.ts";
import { addressOf, type PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Badge, Bar } from "../parts/badge.tsx";
import { Choice, Dialog, Field, Submit, submit } from "../parts/field.tsx";
import { relative, UNKNOWN, usd } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { type Pair, Pairs } from "../parts/pairs.tsx";
import { may } from "../session.ts";
import type { Key } from "../types.ts";
import { LimitFields, type LimitTexts, limitMembers, NO_LIMITS, PERIODS, Secret } from "./keys.tsx";

const DEFAULT_OVERLAP_SECONDS = "3600";

export function KeyPage({ id, person, env }: PageProps & { id: string }) {
  const loaded = useLoad(id, () => call<Key>(`/admin/keys/${encodeURIComponent(id)}`));
  const [open, setOpen] = useState<"" | "change" | "rotate" | "revoke">("");
  const act = useAct();
  const key = loaded.data;
  const path = `/admin/keys/${encodeURIComponent(id)}`;
  const setStatus = (status: string) => (): void => {
    void act.run(() => call(path, { method: "PATCH", body: { status } })).then(loaded.reload);
  };
  const close = (): void => {
    setOpen("");
    loaded.reload();
  };
  return (
    <section>
      <p class="crumbs">
        <a href={addressOf("keys", env)}>Keys</a>
      </p>
      <header class="row">
        <h1>{key?.name ?? id}</h1>
        {key === null || !may(person, "admin") || key.status === "revoked" ? null : (
          <div class="row">
            <button
              type="button"
              onClick={setStatus(key.status === "paused" ? "active" : "paused")}
              disabled={act.isBusy}
            >
              {key.status === "paused" ? "Resume key" : "Pause key"}
            </button>
            <button type="button" onClick={() => setOpen("change")}>
              Change limits
            </button>
            <button type="button" onClick={() => setOpen("rotate")}>
              Rotate key
            </button>
            <button type="button" class="danger" onClick={() => setOpen("revoke")}>
              Revoke key
            </button>
          </div>
        )}
      </header>
      <State of={loaded} />
      <Failure error={act.error} />
      {key === null ? null : <Facts of={key} />}
      {open === "change" && key !== null ? <ChangeLimits path={path} of={key} onClose={close} /> : null}
      {open === "rotate" ? <Rotate path={path} onClose={close} /> : null}
      {open === "revoke" && key !== null ? <Revoke path={path} name={key.name} onClose={close} /> : null}
    </section>
  );
}

function Facts({ of: key }: { of: Key }) {
  const { spend, budget } = key;
  const facts: readonly Pair[] = [
    ["Id", <code>{key.id}</code>],
    ["Status", <Badge word={key.status} />],
    ["Environment", key.env],
    ["Apps", (key.apps ?? []).join(", ") || "any"],
    ["Routes", key.routes == null ? "any" : key.routes.join(", ")],
    ["Scopes", key.scopes.join(", ")],
    ["Created", relative(key.created_at)],
    ["Expires", key.expires_at === null ? "never" : `${relative(key.expires_at)} (${key.expires_at})`],
    ["Budget", budget === null ? "none" : `${usd(budget.limit_usd)} a ${budget.period} ${budget.time_zone ?? ""}`],
    ["Spent", usd(spend?.spent_usd)],
    ["Held by running requests", usd(spend?.reserved_usd)],
    ["Left", usd(spend?.remaining_usd)],
    [
      "Limits",
      Object.entries(key.limits ?? {})
        .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`)
        .join(", ") || UNKNOWN,
    ],
  ];
  return (
    <>
      {budget === null ? null : <Bar part={spend?.spent_usd ?? 0} whole={budget.limit_usd} name="Budget" />}
      <Pairs kind="facts" of={facts} />
      <p>
        <a href={withQuery("/console/traces", { key: key.id })}>Traces of this key</a> ·{" "}
        <a href={withQuery("/console/audit", { object: key.id })}>Its audit</a>
      </p>
    </>
  );
}

/** Budget, limits and end of a key, each as a whole. */
function ChangeLimits({ path, of, onClose }: { path: string; of: Key; onClose: () => void }) {
  const [budget, setBudget] = useState(String(of.budget?.limit_usd ?? ""));
  const [period, setPeriod] = useState(of.budget?.period ?? "month");
  const [limits, setLimits] = useState<LimitTexts>({
    ...NO_LIMITS,
    ...Object.fromEntries(Object.entries(of.limits ?? {}).map(([name, value]) => [name, String(value)])),
    expires: of.expires_at?.slice(0, 10) ?? "",
  });
  const act = useAct();
  const save = async (): Promise<void> => {
    const zone = of.budget?.time_zone === undefined ? {} : { time_zone: of.budget.time_zone };
    const { limits: changed, expires_at } = limitMembers(limits);
    const body = {
      budget: budget === "" ? null : { limit_usd: Number(budget), period, ...zone },
      limits: changed,
      // The time of day is kept where the day was not changed.
      ...(limits.expires === (of.expires_at?.slice(0, 10) ?? "") ? {} : { expires_at }),
    };
    if (await act.run(() => call(path, { method: "PATCH", body }))) onClose();
  };
  return (
    <Dialog title="Change limits" onClose={onClose}>
      <form onSubmit={submit(save)}>
        <Field label="Budget (USD)" type="number" step="any" value={budget} onValue={setBudget} hint="Empty: none." />
        <Choice
          label="Budget period"
          value={period}
          onValue={setPeriod}
          options={PERIODS.map((each) => [each, each] as const)}
        />
        <LimitFields limits={limits} onLimits={setLimits} />
        <Submit act={act}>Save</Submit>
      </form>
    </Dialog>
  );
}

function Rotate({ path, onClose }: { path: string; onClose: () => void }) {
  const [overlap, setOverlap] = useState(DEFAULT_OVERLAP_SECONDS);
  const [rotated, setRotated] = useState<{ key: string; previous_expires_at: string } | null>(null);
  const act = useAct();
  const rotate = (): Promise<boolean> =>
    act.run(async () => {
      setRotated(await call(`${path}/rotate`, { body: { overlap_seconds: Number(overlap) } }));
    });
  return (
    <Dialog title="Rotate key" onClose={onClose}>
      {rotated === null ? (
        <form onSubmit={submit(rotate)}>
          <p>A new secret begins now. The old one goes on working for the overlap, so that nothing fails meanwhile.</p>
          <Field label="Overlap (seconds)" type="number" value={overlap} onValue={setOverlap} required />
          <Submit act={act}>Rotate key</Submit>
        </form>
      ) : (
        <>
          <p>
            The old secret ends <Countdown to={rotated.previous_expires_at} />.
          </p>
          <Secret secret={rotated.key} />
        </>
      )}
    </Dialog>
  );
}

/** How long the old secret still works, second by second. */
function Countdown({ to }: { to: string }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  const left = Math.max(0, Math.round((Date.parse(to) - now) / 1_000));
  const [hours, minutes] = [Math.floor(left / 3_600), Math.floor((left % 3_600) / 60)];
  const text = [hours, minutes, left % 60].map((each) => String(each).padStart(2, "0")).join(":");
  return (
    <>
      in <span class="mono">{text}</span>
    </>
  );
}

function Revoke({ path, name, onClose }: { path: string; name: string; onClose: () => void }) {
  const [typed, setTyped] = useState("");
  const act = useAct();
  const revoke = async (): Promise<void> => {
    if (await act.run(() => call(path, { method: "DELETE" }))) onClose();
  };
  return (
    <Dialog title="Revoke key" onClose={onClose}>
      <form onSubmit={submit(revoke)}>
        <p>
          Every request with <strong>{name}</strong> fails from now on. This cannot be undone.
        </p>
        <Field label="Name of the key" value={typed} onValue={setTyped} hint="Type it to go on." required />
        <Submit act={act} kind="danger" isBlocked={typed !== name}>
          Revoke key
        </Submit>
      </form>
    </Dialog>
  );
}
