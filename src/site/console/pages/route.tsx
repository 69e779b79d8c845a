/** One route: its policy as a draft, who would answer, publishing, evidence, promotion, the way back. */
import { useEffect, useState } from "hono/jsx/dom";
import { parseJson } from "../../../lib/json.ts";
import { ApiError, call, EMPTY_LIST, type List, withQuery } from "../api.ts";
import { addressOf, type PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Badge } from "../parts/badge.tsx";
import { Choice, Field, submit } from "../parts/field.tsx";
import { relative } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { setValues } from "../place.ts";
import { DRAFTS, keep, kept, may, type Person } from "../session.ts";
import type { Route } from "../types.ts";
import { Draft, parseDraft, Review } from "./route-draft.tsx";
import { Release } from "./route-release.tsx";

const FIRST_DRAFT = `{
  "targets": [
    { "provider": "sandbox", "model": "sandbox-1" }
  ]
}`;

interface Version extends Route {
  readonly origin?: { readonly kind: string; readonly reason?: string | null } | null;
}

/** A route that does not exist yet is a draft without a version. */
async function readRoute(path: string): Promise<Route | null> {
  try {
    return await call<Route>(path);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

export function RoutePage({ place, person, env, routeEnv, name }: PageProps & { routeEnv: string; name: string }) {
  const path = `/admin/routes/${encodeURIComponent(routeEnv)}/${encodeURIComponent(name)}`;
  const loaded = useLoad(path, async () => ({ route: await readRoute(path) }));
  const versions = useLoad(`${path} versions`, async () =>
    call<List<Version>>(`${path}/versions?limit=50`).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return EMPTY_LIST;
      throw error;
    }),
  );
  const [draft, setDraft] = useDraft(path);
  const [reason, setReason] = useState("");
  const route = loaded.data?.route ?? null;
  const published = route === null ? FIRST_DRAFT : JSON.stringify(route.policy, null, 2);
  const reload = (): void => {
    setDraft(null);
    if (place.query.has("add")) setValues(place, { add: "" });
    setReason("");
    loaded.reload();
    versions.reload();
  };
  const shown = draft?.text ?? withTarget(published, place.query.get("add"));
  const isChanged = shown !== published;
  const base = draft === null ? (route?.version ?? null) : draft.base;
  const edit = (text: string | null): void => {
    setDraft(text === null ? null : { text, base });
    if (text === null && place.query.has("add")) setValues(place, { add: "" });
  };
  useUnsavedWarning(isChanged);
  return (
    <section>
      <p class="crumbs">
        <a href={addressOf("routes", env)}>Routes</a> / {routeEnv}
      </p>
      <header class="row">
        <h1>flow/{name}</h1>
        {route === null ? null : (
          <p>
            version {route.version}, published {relative(route.created_at)} by {route.actor}
          </p>
        )}
      </header>
      <State of={loaded} />
      {loaded.data === null ? null : (
        <>
          <div class="workbench">
            <div>
              {may(person, "release") ? (
                <>
                  <Draft text={shown} published={published} onText={edit} />
                  {isChanged ? (
                    <p class="hint">Not published. This tab keeps the draft, also while you look around.</p>
                  ) : null}
                  <Publish
                    path={path}
                    text={shown}
                    version={base}
                    reason={reason}
                    onReason={setReason}
                    onDone={reload}
                  />
                </>
              ) : (
                <>
                  <h2>Policy</h2>
                  <pre class="snippet">{published}</pre>
                </>
              )}
            </div>
            <div>
              {may(person, "release") ? <Review path={path} text={shown} published={published} /> : null}
              {route === null ? null : (
                <Release
                  path={path}
                  routeEnv={routeEnv}
                  name={name}
                  promotion={route.policy["promotion"]}
                  person={person}
                  reason={reason}
                  onDone={reload}
                />
              )}
            </div>
          </div>
          <History path={path} list={versions} person={person} reason={reason} onDone={reload} />
        </>
      )}
    </section>
  );
}

/** The policy with one more target behind the others, as the model directory asks for it: `provider/model`. */
function withTarget(published: string, added: string | null): string {
  const [provider = "", ...model] = (added ?? "").split("/");
  const policy = parseJson(published) as { readonly targets?: readonly object[] };
  if (model.length === 0 || !Array.isArray(policy.targets)) return published;
  return JSON.stringify({ ...policy, targets: [...policy.targets, { provider, model: model.join("/") }] }, null, 2);
}

interface DraftText {
  readonly text: string;
  /** The version that it was made from: what is published meanwhile is never overwritten unseen. */
  readonly base: number | null;
}

/** What somebody types, kept by the tab while they look at other pages or load this one again. */
function useDraft(path: string): readonly [DraftText | null, (draft: DraftText | null) => void] {
  const name = `${DRAFTS}${path}`;
  const [draft, setDraft] = useState<DraftText | null>(() => parseJson(kept(name) ?? "null") as DraftText | null);
  const set = (next: DraftText | null): void => {
    setDraft(next);
    keep(name, next === null ? null : JSON.stringify(next));
  };
  return [draft, set];
}

function useUnsavedWarning(isUnsaved: boolean): void {
  useEffect(() => {
    const leaving = (event: BeforeUnloadEvent): void => event.preventDefault();
    if (isUnsaved) addEventListener("beforeunload", leaving);
    return () => removeEventListener("beforeunload", leaving);
  }, [isUnsaved]);
}

function Publish(props: {
  path: string;
  text: string;
  version: number | null;
  reason: string;
  onReason: (reason: string) => void;
  onDone: () => void;
}) {
  const { path, text, version, reason, onReason, onDone } = props;
  const [warnings, setWarnings] = useState<Route["warnings"]>([]);
  const act = useAct();
  const draft = parseDraft(text);
  const publish = async (over = version): Promise<void> => {
    const isDone = await act.run(async () => {
      if (draft.policy === null) throw new ApiError(0, { message: draft.message });
      const headers = over === null ? {} : { "if-match": `"${over}"` };
      const query = over === null ? { reason, new_env: "true" } : { reason };
      const published = await call<Route>(withQuery(path, query), { method: "PUT", body: draft.policy, headers });
      setWarnings(published.warnings ?? []);
    });
    if (isDone) onDone();
  };
  return (
    <form class="publish" onSubmit={submit(() => publish())}>
      <Field
        label="Reason"
        value={reason}
        onValue={onReason}
        hint="For Publish, Promote and Roll back; the audit keeps it."
      />
      <button type="submit" class="primary" disabled={act.isBusy || draft.policy === null}>
        Publish
      </button>
      <Failure error={act.error} />
      {act.error?.code === "version_mismatch" ? (
        <Conflict path={path} text={text} onMine={publish} onTheirs={onDone} />
      ) : null}
      {(warnings ?? []).map((warning) => (
        <p class="slow">{typeof warning === "string" ? warning : warning.message}</p>
      ))}
    </form>
  );
}

/** Somebody else published meanwhile: both versions, so that nothing is overwritten unseen. */
function Conflict(props: { path: string; text: string; onMine: (version: number) => void; onTheirs: () => void }) {
  const { path, text, onMine, onTheirs } = props;
  const theirs = useLoad(`${path} theirs`, () => call<Route>(path));
  const version = theirs.data?.version ?? null;
  return (
    <>
      <State of={theirs} />
      {version === null ? null : (
        <p class="row">
          <button type="button" onClick={() => onMine(version)}>
            Replace version {version} with the draft
          </button>
          <button type="button" onClick={onTheirs}>
            Take version {version} instead
          </button>
        </p>
      )}
      <div class="two conflict">
        <div>
          <h3>Published meanwhile{version === null ? "" : `: version ${version}`}</h3>
          <pre class="snippet">{theirs.data === null ? "" : JSON.stringify(theirs.data.policy, null, 2)}</pre>
        </div>
        <div>
          <h3>Your draft</h3>
          <pre class="snippet">{text}</pre>
        </div>
      </div>
    </>
  );
}

function History(props: {
  path: string;
  list: ReturnType<typeof useLoad<List<Version>>>;
  person: Person;
  reason: string;
  onDone: () => void;
}) {
  const { path, list, person, reason, onDone } = props;
  const [version, setVersion] = useState("");
  const act = useAct();
  const rollBack = async (): Promise<void> => {
    const body = { ...(version === "" ? {} : { version: Number(version) }), ...(reason === "" ? {} : { reason }) };
    if (await act.run(() => call(`${path}/rollback`, { body }))) onDone();
  };
  const rows = list.data?.data ?? [];
  return (
    <section aria-labelledby="history">
      <h2 id="history">History</h2>
      {may(person, "release") && rows.length > 1 ? (
        <form class="inline-form" onSubmit={submit(rollBack)}>
          <Choice
            label="Version"
            value={version}
            onValue={setVersion}
            options={[
              ["", "The one before"],
              ...rows
                .filter(({ active }) => !active)
                .map((each) => [String(each.version), `Version ${each.version}`] as const),
            ]}
          />
          <button type="submit" disabled={act.isBusy}>
            Roll back
          </button>
          <Failure error={act.error} />
        </form>
      ) : null}
      <Table
        caption="History"
        rows={rows}
        keyOf={(each) => String(each.version)}
        empty="Nothing was published yet."
        columns={[
          { name: "Version", show: (each) => each.version, numeric: true },
          { name: "State", show: ({ active }) => (active ? <Badge word="active" /> : "") },
          { name: "Published", show: ({ created_at }) => relative(created_at) },
          { name: "By", show: ({ actor }) => actor },
          { name: "How", show: ({ origin }) => origin?.kind ?? "published" },
          { name: "Reason", show: ({ origin }) => origin?.reason ?? "" },
          {
            name: "Policy",
            show: ({ policy }) => (
              <details>
                <summary>Show</summary>
                <pre class="snippet">{JSON.stringify(policy, null, 2)}</pre>
              </details>
            ),
          },
        ]}
      />
    </section>
  );
}
