/**
 * Webhooks of the deployment and what is on its way to them: tables of the control plane.
 *
 * An event is written in the transaction that it is about, once for each webhook that wants it, and sent by the alarm
 * until its receiver has it, or its tries are over. So it outlives the object's memory, and arrives at least once.
 */

import { parseJson } from "../lib/json.ts";
import { log } from "../lib/log.ts";
import { randomBase62 } from "../lib/text/base62.ts";
import { newWebhookSecret, signedHeaders } from "./signing.ts";
import {
  type Delivery,
  type EventData,
  type EventType,
  TEST_EVENT,
  type Webhook,
  type WebhookRequest,
} from "./types.ts";

const DAY_MS = 86_400_000;
/** After the first try, and after each further one. */
const RETRY_MS = [5_000, 60_000, 600_000, 3_600_000, 6 * 3_600_000, DAY_MS];
const TRY_LIMIT_MS = 10_000;
const SENT_AT_A_TIME = 6;
const DISABLED_AFTER_MS = 5 * DAY_MS;
const KEPT_MS = 7 * DAY_MS;
const PREVIOUS_SECRET_MS = DAY_MS;
const MAX_WEBHOOKS = 50;
/** Waiting for one receiver: what is beyond it is lost, and the log says so. */
const MAX_WAITING = 10_000;
/** When the alarm looks again while it is sending. */
const GUARD_MS = 15_000;
/** Once-only events are remembered for longer than any period but the endless one. */
const REMEMBERED_MS = 400 * DAY_MS;

type HookRow = {
  id: string;
  url: string;
  events: string;
  secret: string;
  previous_secret: string | null;
  previous_until_ms: number | null;
  created_at_ms: number;
  disabled_at_ms: number | null;
  failing_since_ms: number | null;
};

type DeliveryRow = {
  seq: number;
  webhook_id: string;
  message_id: string;
  type: string;
  body: string;
  created_at_ms: number;
  status: "waiting" | "delivered" | "failed";
  tries: number;
  next_at_ms: number | null;
  last_at_ms: number | null;
  last_status: number | null;
};

const INSERT = `
  INSERT INTO delivery (webhook_id, message_id, type, body, created_at_ms, status, tries, next_at_ms)
  VALUES (?, ?, ?, ?, ?, 'waiting', 0, ?) RETURNING seq`;
const SELECT_DUE = `
  SELECT delivery.* FROM delivery JOIN webhook ON webhook.id = webhook_id
  WHERE status = 'waiting' AND next_at_ms <= ? AND disabled_at_ms IS NULL ORDER BY next_at_ms LIMIT ?`;
const SELECT_NEXT = `
  SELECT min(next_at_ms) AS at FROM delivery JOIN webhook ON webhook.id = webhook_id
  WHERE status = 'waiting' AND disabled_at_ms IS NULL`;

/** Writes the audit line of a webhook that was switched off. Part of the caller's transaction. */
type OnDisabled = (id: string, since: number) => void;

export class Notices {
  readonly #storage: Pick<DurableObjectStorage, "sql" | "transactionSync">;
  readonly #onDisabled: OnDisabled;
  readonly #fetch: typeof fetch;
  #isSending = false;

  constructor(
    storage: Pick<DurableObjectStorage, "sql" | "transactionSync">,
    onDisabled: OnDisabled,
    send: typeof fetch = (input, init) => fetch(input, init),
  ) {
    this.#storage = storage;
    this.#onDisabled = onDisabled;
    this.#fetch = send;
  }

  /** One event for every webhook that wants it, in the caller's transaction. `once`: an event of the same name is sent once only. */
  add(type: EventType, data: EventData, now: number, once?: string): void {
    const wanted = this.#hooks().filter(({ disabled_at_ms, events }) => {
      return disabled_at_ms === null && (parseJson(events) as readonly string[]).includes(type);
    });
    if (wanted.length === 0 || (once !== undefined && !this.#isFirst(once, now))) return;
    for (const { id } of wanted) this.#enqueue(id, type, data, now);
  }

  #isFirst(name: string, now: number): boolean {
    const { sql } = this.#storage;
    sql.exec("DELETE FROM told_once WHERE at_ms < ?", now - REMEMBERED_MS);
    const insert = "INSERT INTO told_once (name, at_ms) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING 1";
    return sql.exec(insert, name, now).toArray().length > 0;
  }

  #enqueue(webhookId: string, type: string, data: EventData, now: number, nextAt: number | null = now): number | null {
    const { sql } = this.#storage;
    const query = "SELECT count(*) AS count FROM delivery WHERE webhook_id = ? AND status = 'waiting'";
    if (sql.exec<{ count: number }>(query, webhookId).one().count >= MAX_WAITING) {
      log({ event: "notice_lost", webhook: webhookId, type, waiting: MAX_WAITING });
      return null;
    }
    const body = JSON.stringify({ type, timestamp: new Date(now).toISOString(), data });
    return sql.exec<{ seq: number }>(INSERT, webhookId, `msg_${randomBase62(24)}`, type, body, now, nextAt).one().seq;
  }

  get hasWebhooks(): boolean {
    return this.#hooks().some(({ disabled_at_ms }) => disabled_at_ms === null);
  }

  /** When something is to be sent, epoch ms; `null`: nothing waits. */
  dueAt(now: number): number | null {
    const { at } = this.#storage.sql.exec<{ at: number | null }>(SELECT_NEXT).one();
    return at === null || !this.#isSending ? at : Math.max(at, now + GUARD_MS);
  }

  /** Sends what is due. One sender at a time. Never rejects. */
  async run(now: number): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      for (;;) {
        const due = this.#storage.sql.exec<DeliveryRow>(SELECT_DUE, Date.now(), SENT_AT_A_TIME).toArray();
        if (due.length === 0) break;
        await Promise.all(due.map((row) => this.#try(row)));
      }
      this.#storage.sql.exec("DELETE FROM delivery WHERE created_at_ms < ? AND status <> 'waiting'", now - KEPT_MS);
    } catch {
      // Storage that fails may work again later; what waits still waits.
    } finally {
      this.#isSending = false;
    }
  }

  async #try(row: DeliveryRow): Promise<void> {
    const hook = this.#hook(row.webhook_id);
    if (hook === null) return;
    const at = Date.now();
    const status = await this.#send(hook, row, at);
    this.#storage.transactionSync(() => this.#note(row, hook, status, at));
  }

  /** The HTTP status of the answer; `null`: there was none. */
  async #send(hook: HookRow, { message_id, body }: DeliveryRow, at: number): Promise<number | null> {
    const previous = (hook.previous_until_ms ?? 0) > at ? hook.previous_secret : null;
    const secrets = previous === null ? [hook.secret] : [hook.secret, previous];
    try {
      const headers = await signedHeaders(secrets, message_id, at, body);
      const signal = AbortSignal.timeout(TRY_LIMIT_MS);
      // A redirect would carry the event to a host that was not named.
      const response = await this.#fetch(hook.url, { method: "POST", headers, body, redirect: "manual", signal });
      await response.body?.cancel();
      return response.status;
    } catch {
      return null;
    }
  }

  #note(row: DeliveryRow, hook: HookRow, status: number | null, at: number): void {
    const { sql } = this.#storage;
    const tries = row.tries + 1;
    const isDelivered = status !== null && status >= 200 && status < 300;
    const pauseMs = RETRY_MS[row.tries];
    const state = isDelivered ? "delivered" : pauseMs === undefined || row.type === TEST_EVENT ? "failed" : "waiting";
    const next = state === "waiting" ? Date.now() + (pauseMs ?? 0) : null;
    sql.exec(
      "UPDATE delivery SET status = ?, tries = ?, next_at_ms = ?, last_at_ms = ?, last_status = ? WHERE seq = ?",
      ...[state, tries, next, at, status, row.seq],
    );
    if (isDelivered) {
      sql.exec("UPDATE webhook SET failing_since_ms = NULL WHERE id = ?", hook.id);
      return;
    }
    const since = hook.failing_since_ms ?? at;
    const isOver = at - since >= DISABLED_AFTER_MS && hook.disabled_at_ms === null;
    const update = "UPDATE webhook SET failing_since_ms = ?, disabled_at_ms = coalesce(disabled_at_ms, ?) WHERE id = ?";
    sql.exec(update, since, isOver ? at : null, hook.id);
    if (isOver) this.#onDisabled(hook.id, since);
  }

  /** `secret`: for a new one, shown this once. An old one keeps its secret, and is switched on again. */
  put(id: string, { url, events }: WebhookRequest, now: number): { readonly secret: string | null } | "too_many" {
    const { sql } = this.#storage;
    const list = JSON.stringify(events);
    if (this.#hook(id) !== null) {
      const update =
        "UPDATE webhook SET url = ?, events = ?, disabled_at_ms = NULL, failing_since_ms = NULL WHERE id = ?";
      sql.exec(update, url, list, id);
      return { secret: null };
    }
    if (this.#hooks().length >= MAX_WEBHOOKS) return "too_many";
    const secret = newWebhookSecret();
    sql.exec(
      "INSERT INTO webhook (id, url, events, secret, created_at_ms) VALUES (?, ?, ?, ?, ?)",
      ...[id, url, list, secret, now],
    );
    return { secret };
  }

  /** A new secret; the one before signs as well for a day. `null`: there is no such webhook. */
  rotate(id: string, now: number): { readonly secret: string; readonly previousUntil: number } | null {
    if (this.#hook(id) === null) return null;
    const secret = newWebhookSecret();
    const previousUntil = now + PREVIOUS_SECRET_MS;
    const update = "UPDATE webhook SET previous_secret = secret, previous_until_ms = ?, secret = ? WHERE id = ?";
    this.#storage.sql.exec(update, previousUntil, secret, id);
    return { secret, previousUntil };
  }

  /** Sends a test now, once. `null`: there is no such webhook. */
  async test(id: string, now: number): Promise<Delivery | null> {
    if (this.#hook(id) === null) return null;
    const { sql, transactionSync } = this.#storage;
    const seq = transactionSync.call(this.#storage, () => this.#enqueue(id, TEST_EVENT, { webhook: id }, now, null));
    const find = () => sql.exec<DeliveryRow>("SELECT * FROM delivery WHERE seq = ?", seq).toArray()[0];
    const row = find();
    if (row === undefined) return null;
    await this.#try(row);
    const after = find();
    return after === undefined ? null : toDelivery(after);
  }

  remove(id: string): void {
    this.#storage.sql.exec("DELETE FROM delivery WHERE webhook_id = ?", id);
    this.#storage.sql.exec("DELETE FROM webhook WHERE id = ?", id);
  }

  get(id: string): Webhook | null {
    const row = this.#hook(id);
    return row === null ? null : toWebhook(row);
  }

  list(): Webhook[] {
    return this.#hooks().map(toWebhook);
  }

  /** Those of the last seven days, newest first. */
  deliveries(id: string, limit: number, before: number | null, now: number): { seq: number; delivery: Delivery }[] {
    const query = `
      SELECT * FROM delivery WHERE webhook_id = ? AND seq < ? AND created_at_ms >= ? ORDER BY seq DESC LIMIT ?`;
    return this.#storage.sql
      .exec<DeliveryRow>(query, id, before ?? Number.MAX_SAFE_INTEGER, now - KEPT_MS, limit)
      .toArray()
      .map((row) => ({ seq: row.seq, delivery: toDelivery(row) }));
  }

  #hooks(): HookRow[] {
    return this.#storage.sql.exec<HookRow>("SELECT * FROM webhook ORDER BY id").toArray();
  }

  #hook(id: string): HookRow | null {
    return this.#storage.sql.exec<HookRow>("SELECT * FROM webhook WHERE id = ?", id).toArray()[0] ?? null;
  }
}

const iso = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

function toWebhook({ id, url, events, created_at_ms, disabled_at_ms, previous_until_ms }: HookRow): Webhook {
  return {
    ...{
      id,
      url,
      events: parseJson(events) as readonly EventType[],
      created_at: new Date(created_at_ms).toISOString(),
    },
    ...{ disabled_at: iso(disabled_at_ms), previous_secret_until: iso(previous_until_ms) },
  };
}

function toDelivery(row: DeliveryRow): Delivery {
  return {
    ...{ message_id: row.message_id, type: row.type, created_at: new Date(row.created_at_ms).toISOString() },
    ...{ status: row.status, tries: row.tries, last_tried_at: iso(row.last_at_ms), last_status: row.last_status },
    next_try_at: iso(row.next_at_ms),
  };
}
