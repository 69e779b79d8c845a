/** Webhooks: who gets which event, and whether it arrived. */
import { useState } from "hono/jsx/dom";
import { call, type List } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Badge } from "../parts/badge.tsx";
import { Copy, Dialog, Field, Submit, submit } from "../parts/field.tsx";
import { relative, UNKNOWN } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { may } from "../session.ts";

interface Webhook {
  readonly id: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly status?: string;
  readonly disabled?: boolean;
}

interface Delivery {
  readonly id: string;
  readonly type: string;
  readonly created_at?: string;
  readonly status?: string;
  readonly delivered_at?: string | null;
  readonly attempts?: number | readonly unknown[];
  readonly last_status?: number | null;
  readonly last_error?: string | null;
  readonly next_attempt_at?: string | null;
}

const EVENTS = [
  ...["approval.pending", "budget.threshold", "breaker.opened", "breaker.closed", "route.published"],
  ...["route.promoted", "key.expiring", "price.ending"],
];

const pathOf = (id: string): string => `/admin/webhooks/${encodeURIComponent(id)}`;

export function WebhooksPage({ person }: PageProps) {
  const list = useLoad("webhooks", () => call<List<Webhook>>("/admin/webhooks"));
  const [isNew, setNew] = useState(false);
  const [shown, setShown] = useState<string | null>(null);
  const [secret, setSecret] = useState<string | null>(null);
  const act = useAct();
  const test = (id: string) => (): void => {
    void act.run(() => call(`${pathOf(id)}/test`, { method: "POST" })).then(() => setShown(id));
  };
  const rotate = (id: string) => (): void => {
    void act.run(async () => {
      setSecret((await call<{ secret: string }>(`${pathOf(id)}/rotate`, { method: "POST" })).secret);
    });
  };
  const remove = (id: string) => (): void => {
    void act.run(() => call(pathOf(id), { method: "DELETE" })).then(list.reload);
  };
  return (
    <section>
      <header class="row">
        <h1>Webhooks</h1>
        {may(person, "admin") ? (
          <button type="button" class="primary" onClick={() => setNew(true)}>
            New webhook
          </button>
        ) : null}
      </header>
      <State of={list} />
      <Failure error={act.error} />
      <Table
        caption="Webhooks"
        rows={list.data?.data ?? []}
        of={list}
        keyOf={({ id }) => id}
        empty="There is no webhook yet. A webhook receives pending approvals, budgets near their limit, breakers and releases."
        columns={[
          { name: "Name", show: ({ id }) => <strong>{id}</strong> },
          { name: "Address", show: ({ url }) => url },
          { name: "Events", show: ({ events }) => events.join(", ") },
          {
            name: "State",
            show: ({ status, disabled }) => <Badge word={status ?? (disabled === true ? "disabled" : "active")} />,
          },
          {
            name: "",
            show: ({ id }) => (
              <div class="row">
                <button type="button" class="quiet" onClick={() => setShown(shown === id ? null : id)}>
                  Deliveries
                </button>
                {may(person, "admin") ? (
                  <>
                    <button type="button" class="quiet" onClick={test(id)} disabled={act.isBusy}>
                      Test
                    </button>
                    <button type="button" class="quiet" onClick={rotate(id)} disabled={act.isBusy}>
                      Rotate secret
                    </button>
                    <button type="button" class="quiet" onClick={remove(id)} disabled={act.isBusy}>
                      Delete
                    </button>
                  </>
                ) : null}
              </div>
            ),
          },
        ]}
      />
      {shown === null ? null : <Deliveries id={shown} />}
      {isNew ? (
        <NewWebhook
          onSecret={(text) => {
            setNew(false);
            setSecret(text);
            list.reload();
          }}
          onClose={() => setNew(false)}
        />
      ) : null}
      {secret === null ? null : (
        <Dialog title="Signing secret" onClose={() => setSecret(null)}>
          <p>Copy it now: it is not shown again. Check each delivery's signature with it.</p>
          <div class="field">
            <label for="webhook-secret">Signing secret</label>
            <output id="webhook-secret" class="secret">
              {secret}
            </output>
          </div>
          <Copy text={secret} />
        </Dialog>
      )}
    </section>
  );
}

const EVERY_MS = 5_000;

function Deliveries({ id }: { id: string }) {
  const list = useLoad(`deliveries ${id}`, () => call<List<Delivery>>(`${pathOf(id)}/deliveries`), EVERY_MS);
  return (
    <section>
      <h2>Deliveries to {id}</h2>
      <State of={list} />
      <Table
        caption={`Deliveries to ${id}`}
        rows={list.data?.data ?? []}
        of={list}
        keyOf={(delivery) => delivery.id}
        empty="Nothing in the last seven days."
        columns={[
          { name: "Event", show: ({ type }) => type },
          { name: "Made", show: ({ created_at }) => relative(created_at) },
          {
            name: "State",
            show: ({ status, delivered_at }) => (
              <Badge word={status ?? (delivered_at == null ? "pending" : "delivered")} />
            ),
          },
          {
            name: "Tries",
            show: ({ attempts }) => (typeof attempts === "number" ? attempts : (attempts?.length ?? UNKNOWN)),
            numeric: true,
          },
          { name: "Last answer", show: ({ last_status, last_error }) => `${last_status ?? ""} ${last_error ?? ""}` },
          {
            name: "Next try",
            show: ({ next_attempt_at }) => (next_attempt_at == null ? "" : relative(next_attempt_at)),
          },
        ]}
      />
    </section>
  );
}

function NewWebhook({ onSecret, onClose }: { onSecret: (secret: string) => void; onClose: () => void }) {
  const [name, setName] = useState("");
  const [address, setAddress] = useState("https://");
  const [events, setEvents] = useState<readonly string[]>(EVENTS);
  const act = useAct();
  const toggle = (event: string): void =>
    setEvents(events.includes(event) ? events.filter((each) => each !== event) : [...events, event]);
  const create = (): Promise<boolean> =>
    act.run(async () => {
      const made = await call<{ secret: string }>(pathOf(name), { method: "PUT", body: { url: address, events } });
      onSecret(made.secret);
    });
  return (
    <Dialog title="New webhook" onClose={onClose}>
      <form onSubmit={submit(create)}>
        <Field label="Name" value={name} onValue={setName} required />
        <Field
          label="Address"
          type="url"
          value={address}
          onValue={setAddress}
          required
          hint="https, and reachable from outside."
        />
        <fieldset class="checks">
          <legend>Events</legend>
          {EVENTS.map((event) => (
            <label class="check">
              <input type="checkbox" checked={events.includes(event)} onChange={() => toggle(event)} />
              {event}
            </label>
          ))}
        </fieldset>
        <Submit act={act}>Save</Submit>
      </form>
    </Dialog>
  );
}
