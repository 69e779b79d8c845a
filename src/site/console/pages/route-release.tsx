/** Evidence of what runs, in plain words, and promotion to another environment. */
import { useState } from "hono/jsx/dom";
import { call } from "../api.ts";
import { useAct, useLoad } from "../load.ts";
import { Badge } from "../parts/badge.tsx";
import { Choice, submit } from "../parts/field.tsx";
import { count, duration, usd } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { FIRST_ENVS } from "../place.ts";
import { may, type Person } from "../session.ts";
import type { Gate } from "../types.ts";

interface Evidence {
  readonly version: number;
  readonly requests: number;
  readonly success_rate: number | null;
  readonly success_lower_bound: number | null;
  readonly fallback_rate: number | null;
  readonly hedge_rate: number | null;
  readonly first_token_ms: { readonly p50: number | null; readonly p95: number | null };
  readonly total_ms: { readonly p50: number | null; readonly p95: number | null };
  readonly cost_usd_per_request: number | null;
  readonly errors: readonly { readonly class: string; readonly provider: string; readonly count: number }[];
  readonly as_of?: string;
}

const percent = (value: number | null): string => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);

function figure(name: string, value: number | null): string {
  if (value === null) return "not measured";
  if (name.endsWith("_ms")) return duration(value);
  if (name.includes("usd")) return usd(value);
  return name.includes("success") ? percent(value) : count(value);
}

function inWords({ requests, success_rate, success_lower_bound, fallback_rate, total_ms }: Evidence): string {
  if (requests === 0) return "No request has used this version yet, so nothing is proven.";
  return [
    `${count(requests)} ${requests === 1 ? "request" : "requests"}, ${percent(success_rate)} succeeded;`,
    `with so many requests the true share is at least ${percent(success_lower_bound)}.`,
    `${percent(fallback_rate)} fell back. Half took less than ${duration(total_ms.p50)}, one in twenty more than ${duration(total_ms.p95)}.`,
  ].join(" ");
}

const NEXT: Readonly<Record<string, string>> = { development: "staging", staging: "production", production: "staging" };

interface Rule {
  readonly words: string;
  readonly measure: (evidence: Evidence) => number | null;
}

/** The gates that a policy can set, as the control plane measures them when it promotes. */
const RULES: Readonly<Record<string, Rule>> = {
  min_requests: { words: "Enough requests", measure: ({ requests }) => requests },
  min_success_rate: { words: "Share of successes", measure: ({ success_rate }) => success_rate },
  min_success_lower_bound: {
    words: "Success that these few requests prove (lower bound, 95 %)",
    measure: ({ success_lower_bound }) => success_lower_bound,
  },
  max_p95_latency_ms: { words: "Slowest twentieth (p95)", measure: ({ total_ms }) => total_ms.p95 },
  max_cost_usd_per_request: {
    words: "Cost of a request",
    measure: ({ cost_usd_per_request }) => cost_usd_per_request,
  },
};

/** Whether the gate's figure is the most that may be; otherwise the least. */
const isMost = (gate: string): boolean => gate.startsWith("max");

/** How the evidence stands against the gates of the policy, before anybody promotes. */
function standing(evidence: Evidence, promotion: unknown): readonly Gate[] {
  const set = (typeof promotion === "object" && promotion !== null ? promotion : {}) as Record<string, unknown>;
  return Object.entries(RULES).flatMap(([name, { measure }]) => {
    const wanted = set[name];
    if (typeof wanted !== "number") return [];
    const measured = measure(evidence);
    const passed = measured !== null && (isMost(name) ? measured <= wanted : measured >= wanted);
    return [{ name, wanted, measured, passed }];
  });
}

/** Each gate as a sentence. */
function Gates({ gates }: { gates: readonly Gate[] }) {
  return (
    <ul class="gates">
      {gates.map(({ name, wanted, measured, passed }) => (
        <li>
          <Badge word={passed ? "passed" : "failed"} /> {RULES[name]?.words ?? name}: {figure(name, measured)}, wanted{" "}
          {isMost(name) ? "at most" : "at least"} {figure(name, wanted)}
        </li>
      ))}
    </ul>
  );
}

export function Release(props: {
  path: string;
  routeEnv: string;
  name: string;
  promotion: unknown;
  person: Person;
  reason: string;
  onDone: () => void;
}) {
  const { path, routeEnv, name, promotion, person, reason, onDone } = props;
  const evidence = useLoad(`${path} evidence`, () => call<Evidence>(`${path}/evidence`));
  return (
    <section aria-labelledby="evidence">
      <h2 id="evidence">Evidence</h2>
      <State of={evidence} asOf={evidence.data?.as_of} />
      {evidence.data === null ? null : (
        <>
          <p>{inWords(evidence.data)}</p>
          <Gates gates={standing(evidence.data, promotion)} />
          <p class="hint">The policy that is active where it goes to may ask for more; the stricter one counts.</p>
          {evidence.data.errors.length === 0 ? null : (
            <Table
              caption="Failures"
              isVisibleCaption
              rows={evidence.data.errors}
              keyOf={(each) => `${each.class}/${each.provider}`}
              empty=""
              columns={[
                { name: "Class", show: (each) => each.class },
                { name: "Provider", show: (each) => each.provider },
                { name: "Count", show: (each) => count(each.count), numeric: true },
              ]}
            />
          )}
        </>
      )}
      {may(person, "release") ? <Promote routeEnv={routeEnv} name={name} reason={reason} onDone={onDone} /> : null}
    </section>
  );
}

function Promote(props: { routeEnv: string; name: string; reason: string; onDone: () => void }) {
  const { routeEnv, name, reason, onDone } = props;
  const [to, setTo] = useState(NEXT[routeEnv] ?? "production");
  const [isForced, setForced] = useState(false);
  const [gates, setGates] = useState<readonly Gate[] | null>(null);
  const act = useAct();
  const promote = async (): Promise<void> => {
    const isDone = await act.run(async () => {
      const body = { from: routeEnv, to, ...(isForced ? { force: true } : {}), ...(reason === "" ? {} : { reason }) };
      const answer = await call<{ gates: readonly Gate[] }>(`/admin/routes/${encodeURIComponent(name)}/promote`, {
        body,
      });
      setGates(answer.gates);
    });
    if (isDone) onDone();
  };
  const blocked =
    act.error?.code === "promotion_blocked" ? (act.error.detail["gates"] as readonly Gate[] | undefined) : undefined;
  const shown = blocked ?? gates;
  return (
    <form class="inline-form" onSubmit={submit(promote)}>
      <Choice
        label="Promote to"
        value={to}
        onValue={setTo}
        options={FIRST_ENVS.filter((each) => each !== routeEnv).map((each) => [each, each] as const)}
      />
      <label class="check">
        <input type="checkbox" checked={isForced} onChange={() => setForced(!isForced)} />
        Even if a gate fails
      </label>
      <button type="submit" class="primary" disabled={act.isBusy || (isForced && reason === "")}>
        Promote
      </button>
      <Failure error={act.error} />
      {shown == null ? null : (
        <div>
          <h3>{blocked === undefined ? "Promoted. The gates:" : "Not promoted. The gates:"}</h3>
          {shown.length === 0 ? <p class="hint">The policy sets none.</p> : <Gates gates={shown} />}
        </div>
      )}
    </form>
  );
}
