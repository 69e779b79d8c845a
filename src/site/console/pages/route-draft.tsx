/** The policy as text: errors at their place, members that can be added, the difference, and who would answer now. */

import { useState } from "hono/jsx/dom";
import { parseJson } from "../../../lib/json.ts";
import { call, type Json, type JsonObject, type List } from "../api.ts";
import { Editor } from "../editor/editor.tsx";
import { outline } from "../editor/json-text.ts";
import type { Known, KnownModel } from "../editor/proposals.ts";
import { faultsIn, firstText, type Schema } from "../editor/schema.ts";
import { useAct, useLoad } from "../load.ts";
import { Badge } from "../parts/badge.tsx";
import { Difference } from "../parts/difference.tsx";
import { Area, Choice } from "../parts/field.tsx";
import { UNKNOWN, usd } from "../parts/figures.ts";
import { Failure } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";

const INDENT = 2;

export interface ParsedDraft {
  readonly policy: JsonObject | null;
  /** Why it is no policy; empty where it is JSON. */
  readonly message: string;
}

export function parseDraft(text: string): ParsedDraft {
  try {
    const value = parseJson(text) as Json;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return { policy: value as JsonObject, message: "" };
    }
    return { policy: null, message: "A policy is a JSON object." };
  } catch (error) {
    return { policy: null, message: `No JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
}

interface Provider {
  readonly id: string;
}

/** What proposals are made from. Without it the text can be edited all the same. */
async function readKnown(): Promise<Known> {
  const [schema, models, providers] = await Promise.all([
    call<Schema>("/policy.schema.json"),
    call<readonly KnownModel[]>("/models.json"),
    call<List<Provider>>("/admin/providers?configured=true"),
  ]);
  return { schema, models, configured: providers.data.map(({ id }) => id) };
}

const pretty = (text: string): string => {
  const { policy } = parseDraft(text);
  return policy === null ? text : JSON.stringify(policy, null, INDENT);
};

export function Draft(props: { text: string; published: string; onText: (text: string | null) => void }) {
  const { text, published, onText } = props;
  const known = useLoad("policy schema", readKnown);
  const draft = parseDraft(text);
  const schema = known.data?.schema ?? null;
  const { offsets } = outline(text);
  const faults = (draft.policy === null || schema === null ? [] : faultsIn(draft.policy, schema)).map((fault) => ({
    ...fault,
    // What is missing is shown at what it is missing from.
    offset: offsets.get(fault.path) ?? offsets.get(fault.path.replace(/[.[][^.[]*$/, "")) ?? 0,
  }));
  const members = Object.entries(schema?.properties ?? {}).filter(
    ([name]) => name !== "$schema" && (draft.policy === null || !(name in draft.policy)),
  );
  const add = (name: string): void => {
    const member = schema?.properties?.[name];
    if (member === undefined || draft.policy === null) return;
    const first = parseJson(firstText(member).replace("|", "")) as Json;
    onText(JSON.stringify({ ...draft.policy, [name]: first }, null, INDENT));
  };
  return (
    <>
      <Editor
        value={text}
        onValue={onText}
        known={known.data}
        faults={faults}
        error={draft.message === "" ? undefined : draft.message}
      />
      <div class="row tools">
        <Choice
          label="Add member"
          value=""
          onValue={add}
          options={[
            ["", "Choose…"],
            ...members.map(([name, { description = "" }]) => [name, `${name}: ${description}`.slice(0, 90)] as const),
          ]}
        />
        <button type="button" disabled={draft.policy === null} onClick={() => onText(pretty(text))}>
          Format
        </button>
        {pretty(text) !== pretty(published) ? (
          <button type="button" onClick={() => onText(null)}>
            Discard draft
          </button>
        ) : null}
      </div>
    </>
  );
}

/** What the draft changes, and who would answer by it. */
export function Review({ path, text, published }: { path: string; text: string; published: string }) {
  const [before, after] = [pretty(published), pretty(text)];
  const isChanged = before !== after;
  return (
    <>
      {isChanged ? (
        <details open>
          <summary>Difference to what is published</summary>
          <Difference before={before.split("\n")} after={after.split("\n")} />
        </details>
      ) : null}
      <Explain path={path} draft={parseDraft(text)} isChanged={isChanged} />
    </>
  );
}

interface Explained {
  readonly targets: readonly {
    readonly provider: string;
    readonly model: string;
    readonly order: number | null;
    readonly state: string;
    readonly reasons: readonly { readonly code: string; readonly member?: string; readonly detail?: string }[];
    readonly lane?: string;
    readonly dropped?: readonly string[];
    readonly bound_usd?: number | null;
    readonly expected_usd?: number | null;
  }[];
  readonly admission: { readonly ok: boolean; readonly code?: string };
}

const REQUEST = `{
  "messages": [{ "role": "user", "content": "Hello" }]
}`;

/** Runs the plan on the draft; no provider is called and nothing is written. */
function Explain({ path, draft, isChanged }: { path: string; draft: ParsedDraft; isChanged: boolean }) {
  const [request, setRequest] = useState(REQUEST);
  const [answer, setAnswer] = useState<Explained | null>(null);
  const act = useAct();
  const explain = (): void => {
    void act.run(async () => {
      const asked = parseDraft(request);
      const body = {
        request: asked.policy ?? {},
        ...(isChanged && draft.policy !== null ? { policy: draft.policy } : {}),
      };
      setAnswer(await call<Explained>(`${path}/explain`, { body }));
    });
  };
  return (
    <details class="explain">
      <summary>Who would answer now, and why</summary>
      <Area label="Request" value={request} onValue={setRequest} rows={5} isCode />
      <button type="button" onClick={explain} disabled={act.isBusy || (isChanged && draft.policy === null)}>
        Explain
      </button>
      <Failure error={act.error} />
      {answer === null ? null : (
        <>
          <p>
            {answer.admission.ok
              ? "The request would be admitted."
              : `It would be refused: ${answer.admission.code ?? ""}.`}
          </p>
          <Table
            caption="Targets in order"
            isVisibleCaption
            rows={answer.targets}
            keyOf={({ provider, model }) => `${provider}/${model}`}
            empty="No target."
            columns={[
              { name: "Order", show: ({ order }) => order ?? UNKNOWN, numeric: true },
              { name: "Target", show: ({ provider, model }) => `${provider}/${model}`, isCode: true },
              { name: "State", show: ({ state }) => <Badge word={state} /> },
              {
                name: "Why",
                show: ({ reasons }) =>
                  reasons
                    .map(({ code, member, detail }) => [code, member, detail].filter(Boolean).join(": "))
                    .join("; "),
              },
              { name: "Lane", show: ({ lane }) => lane ?? UNKNOWN },
              { name: "Left out", show: ({ dropped }) => (dropped ?? []).join(", ") },
              { name: "Expected", show: ({ expected_usd }) => usd(expected_usd), numeric: true },
              { name: "At most", show: ({ bound_usd }) => usd(bound_usd), numeric: true },
            ]}
          />
        </>
      )}
    </details>
  );
}
