/** The policy as text: errors at their place, members that can be added, the difference, and who would answer now. */

import { useState } from "hono/jsx/dom";
import { parseJson } from "../../../lib/json.ts";
import { call, type Json, type JsonObject } from "../api.ts";
import { useAct, useLoad } from "../load.ts";
import { Badge } from "../parts/badge.tsx";
import { Area, Choice } from "../parts/field.tsx";
import { UNKNOWN, usd } from "../parts/figures.ts";
import { Failure } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";

const INDENT = 2;
const EDITOR_ROWS = 22;

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

interface Schema {
  readonly properties?: Readonly<Record<string, SchemaMember>>;
}

interface SchemaMember {
  readonly description?: string;
  readonly default?: Json;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, SchemaMember>>;
}

/** What a member may begin as: its default, else the emptiest value of its type. */
function firstValue({ default: preset, type, properties }: SchemaMember): Json {
  if (preset !== undefined) return preset;
  if (properties !== undefined) {
    const known = Object.entries(properties).filter(([, member]) => member.default !== undefined);
    return Object.fromEntries(known.map(([name, member]) => [name, member.default ?? null]));
  }
  const [first] = typeof type === "string" ? [type] : (type ?? []);
  return first === "array" ? [] : first === "object" ? {} : first === "boolean" ? false : first === "string" ? "" : 0;
}

interface Line {
  readonly sign: " " | "+" | "-";
  readonly text: string;
}

/** Lines that differ, by their longest common subsequence; policies have at most a few hundred lines. */
export function difference(before: readonly string[], after: readonly string[]): readonly Line[] {
  const lengths = Array.from({ length: before.length + 1 }, () => new Array<number>(after.length + 1).fill(0));
  const at = (row: number, column: number): number => lengths[row]?.[column] ?? 0;
  for (let row = before.length - 1; row >= 0; row--) {
    for (let column = after.length - 1; column >= 0; column--) {
      const isSame = before[row] === after[column];
      lengths[row]![column] = isSame ? at(row + 1, column + 1) + 1 : Math.max(at(row + 1, column), at(row, column + 1));
    }
  }
  const lines: Line[] = [];
  let [row, column] = [0, 0];
  while (row < before.length || column < after.length) {
    if (row < before.length && column < after.length && before[row] === after[column]) {
      lines.push({ sign: " ", text: before[row++] ?? "" });
      column++;
    } else if (column < after.length && (row === before.length || at(row, column + 1) >= at(row + 1, column))) {
      lines.push({ sign: "+", text: after[column++] ?? "" });
    } else lines.push({ sign: "-", text: before[row++] ?? "" });
  }
  return lines;
}

const pretty = (text: string): string => {
  const { policy } = parseDraft(text);
  return policy === null ? text : JSON.stringify(policy, null, INDENT);
};

export function Draft(props: {
  path: string;
  isEditable: boolean;
  text: string;
  published: string;
  onText: (text: string | null) => void;
}) {
  const { path, isEditable, text, published, onText } = props;
  const schema = useLoad("policy schema", async () => (await (await fetch("/policy.schema.json")).json()) as Schema);
  const draft = parseDraft(text);
  const members = Object.entries(schema.data?.properties ?? {}).filter(
    ([name]) => name !== "$schema" && (draft.policy === null || !(name in draft.policy)),
  );
  const add = (name: string): void => {
    const member = schema.data?.properties?.[name];
    if (member === undefined || draft.policy === null) return;
    onText(JSON.stringify({ ...draft.policy, [name]: firstValue(member) }, null, INDENT));
  };
  const isChanged = pretty(text) !== pretty(published);
  if (!isEditable) {
    return (
      <section>
        <h2>Policy</h2>
        <pre class="snippet">{published}</pre>
      </section>
    );
  }
  return (
    <section>
      <Area
        label="Policy"
        value={text}
        onValue={onText}
        rows={EDITOR_ROWS}
        isCode
        error={draft.message === "" ? undefined : draft.message}
      />
      <div class="row">
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
        {isChanged ? (
          <button type="button" onClick={() => onText(null)}>
            Discard draft
          </button>
        ) : null}
      </div>
      {isChanged ? (
        <details open>
          <summary>Difference</summary>
          <pre class="diff">
            {difference(pretty(published).split("\n"), pretty(text).split("\n")).map(({ sign, text: line }) => (
              <span class={sign === "+" ? "added" : sign === "-" ? "removed" : ""}>
                {sign} {line}
                {"\n"}
              </span>
            ))}
          </pre>
        </details>
      ) : null}
      <Explain path={path} draft={draft} isChanged={isChanged} />
    </section>
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
      {act.error === null ? null : <Failure error={act.error} />}
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
              { name: "Target", show: ({ provider, model }) => `${provider}/${model}` },
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
