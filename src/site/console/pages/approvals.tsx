/** Tool calls that wait for a person: who asks, what for, how long there is. */
import { useEffect, useState } from "hono/jsx/dom";
import { call, type List, withQuery } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Badge } from "../parts/badge.tsx";
import { Choice, Field } from "../parts/field.tsx";
import { relative } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { Tree } from "../parts/tree.tsx";
import { setValues } from "../place.ts";
import { may } from "../session.ts";
import type { Approval } from "../types.ts";

const EVERY_MS = 3_000;
const STATUSES = ["pending", "approved", "denied", "expired"] as const;

const idOf = (approval: Approval): string => `${approval.key_id}/${approval.tool_call_id}`;

/** A short tone, where the reader asked for one. */
function ring(): void {
  const context = new AudioContext();
  const tone = context.createOscillator();
  tone.connect(context.destination);
  tone.start();
  tone.stop(context.currentTime + 0.12);
  tone.onended = () => void context.close();
}

export function ApprovalsPage({ place, person, env }: PageProps) {
  const status = STATUSES.find((each) => each === place.query.get("status")) ?? "pending";
  const brief = withQuery("/admin/approvals", { status, limit: 200, arguments: "false" });
  const list = useLoad(brief, () => call<List<Approval>>(brief), EVERY_MS);
  // Who reads arguments is in the audit, so they are read once for each set of calls and not by the clock.
  const set = (list.data?.data ?? []).map(idOf).join(" ");
  const full = useLoad(`${status} ${set}`, () =>
    set === "" || !may(person, "see_arguments")
      ? Promise.resolve(null)
      : call<List<Approval>>(withQuery("/admin/approvals", { status, limit: 200 })),
  );
  const argumentsOf = new Map((full.data?.data ?? []).map((each) => [idOf(each), each.arguments]));
  const [hasSound, setSound] = useState(false);
  const [known, setKnown] = useState<readonly string[]>([]);
  const rows = (list.data?.data ?? []).filter((approval) => env === "" || approval.env === env);
  const ids = rows.map(idOf);
  useEffect(() => {
    if (hasSound && status === "pending" && ids.some((id) => !known.includes(id))) ring();
    setKnown(ids);
  }, [ids.join(" ")]);
  return (
    <section>
      <header class="row">
        <h1>Approvals</h1>
        <div class="row">
          <Choice
            label="Status"
            value={status}
            options={STATUSES.map((each) => [each, each] as const)}
            onValue={(value) => setValues(place, { status: value })}
          />
          <label class="check">
            <input type="checkbox" checked={hasSound} onChange={() => setSound(!hasSound)} />
            Sound
          </label>
        </div>
      </header>
      <State of={list} />
      <Failure error={full.error} retry={full.reload} />
      <Table
        caption="Approvals"
        rows={rows}
        of={list}
        isStacked
        keyOf={idOf}
        empty={
          status === "pending"
            ? "No tool call waits. One waits when a policy has tools.require_approval and no rule decides."
            : `No call is ${status}.`
        }
        columns={[
          {
            name: "Tool",
            show: (approval) => (
              <>
                <strong class="mono">{approval.name}</strong>
                <br />
                <small>
                  for <a href={`/console/traces/${approval.trace_id}`}>{approval.route}</a>, {approval.app},{" "}
                  {approval.env}
                </small>
              </>
            ),
            by: ({ name }) => name,
          },
          {
            name: "Arguments",
            show: (approval) => {
              const text = argumentsOf.get(idOf(approval));
              if (!may(person, "see_arguments")) return <span class="hint">Your role does not show them.</span>;
              return text == null ? <span class="hint">Loading…</span> : <Tree text={text} />;
            },
          },
          {
            name: "Age",
            show: ({ created_at }) => <span title={created_at}>{relative(created_at)}</span>,
            by: ({ created_at }) => created_at,
          },
          {
            name: "Time left",
            show: ({ expires_at }) => <span title={expires_at}>{relative(expires_at)}</span>,
            by: ({ expires_at }) => expires_at,
          },
          {
            name: "Decision",
            show: (approval) =>
              approval.status === "pending" && may(person, "decide") ? (
                <Decision approval={approval} onDone={list.reload} />
              ) : (
                <>
                  <Badge word={approval.status} />
                  <br />
                  <small>
                    {approval.decided_by === undefined ? "" : `by ${approval.decided_by}`}
                    {approval.reason == null ? "" : `: ${approval.reason}`}
                  </small>
                </>
              ),
          },
        ]}
      />
    </section>
  );
}

function Decision({ approval, onDone }: { approval: Approval; onDone: () => void }) {
  const [reason, setReason] = useState("");
  const act = useAct();
  const decide = (decision: "approve" | "deny") => async (): Promise<void> => {
    const path = withQuery(`/admin/approvals/${encodeURIComponent(approval.tool_call_id)}`, { key: approval.key_id });
    const isDone = await act.run(() => call(path, { body: { decision, ...(reason === "" ? {} : { reason }) } }));
    if (isDone) onDone();
  };
  return (
    <div class="decision">
      <Field label="Reason" value={reason} onValue={setReason} />
      <div class="row">
        <button type="button" class="primary" disabled={act.isBusy} onClick={decide("approve")}>
          Approve
        </button>
        <button type="button" class="danger" disabled={act.isBusy} onClick={decide("deny")}>
          Deny
        </button>
      </div>
      <Failure error={act.error} />
    </div>
  );
}
