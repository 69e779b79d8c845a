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
  const address = withQuery("/admin/approvals", { status, limit: 200 });
  const list = useLoad(address, () => call<List<Approval>>(address), EVERY_MS);
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
      <Table
        caption="Approvals"
        rows={rows}
        keyOf={idOf}
        empty={
          status === "pending"
            ? "No tool call waits. One waits when a policy has tools.require_approval and no rule decides."
            : `No call is ${status}.`
        }
        columns={[
          { name: "Tool", show: ({ name }) => <strong>{name}</strong>, by: ({ name }) => name },
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
                    {approval.decided_by ?? ""} {approval.reason ?? ""}
                  </small>
                </>
              ),
          },
          {
            name: "Asked by",
            show: (approval) => (
              <>
                {approval.app} <small>{approval.env}</small>
                <br />
                <a href={`/console/traces/${approval.trace_id}`}>{approval.route}</a>
              </>
            ),
          },
          {
            name: "Arguments",
            show: (approval) =>
              approval.arguments === null ? (
                <span class="hint">Your role does not show them.</span>
              ) : (
                <Tree text={approval.arguments} />
              ),
          },
          { name: "Age", show: ({ created_at }) => relative(created_at), by: ({ created_at }) => created_at },
          { name: "Time left", show: ({ expires_at }) => relative(expires_at), by: ({ expires_at }) => expires_at },
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
      {act.error === null ? null : <Failure error={act.error} />}
    </div>
  );
}
