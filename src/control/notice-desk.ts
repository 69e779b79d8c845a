/** Webhooks as operators change them, audited, and the events that nothing but the clock brings about. */
import { type EndingKey, type EndingPrice, tellEnds } from "../notices/ends.ts";
import { Notices } from "../notices/notices.ts";
import type { Webhook, WebhookRequest } from "../notices/types.ts";
import type { Journal } from "./journal.ts";

const DAY_MS = 86_400_000;

/** What may end. */
interface Ending {
  keys(now: number): readonly EndingKey[];
  prices(now: number): readonly EndingPrice[];
}

export class NoticeDesk {
  readonly notices: Notices;
  readonly #storage: Pick<DurableObjectStorage, "sql" | "transactionSync">;
  readonly #journal: () => Journal;
  readonly #ending: Ending;
  /** When it is to be looked for keys and prices that end, epoch ms; 0: at once. */
  #endsLookedAt = 0;

  /** `journal`: asked for when there is something to write; it announces its changes here. */
  constructor(storage: Pick<DurableObjectStorage, "sql" | "transactionSync">, journal: () => Journal, ending: Ending) {
    this.#storage = storage;
    this.#journal = journal;
    this.#ending = ending;
    this.notices = new Notices(storage, (id, since) => {
      const detail = { failing_since: new Date(since).toISOString() };
      journal().note({ actor: "router", action: "webhook.disable", object: `webhook ${id}`, detail });
    });
  }

  /** A key or a price may have another end now. */
  lookAgain(): void {
    this.#endsLookedAt = 0;
  }

  dueAt(now: number): number | null {
    const dueAt = this.notices.dueAt(now);
    if (!this.notices.hasWebhooks) return dueAt;
    return Math.min(dueAt ?? Number.POSITIVE_INFINITY, this.#endsLookedAt === 0 ? now : this.#endsLookedAt);
  }

  /** Looks for ends once a day at least and when the next one begins to be near, and sends what is due. Never rejects. */
  async run(now: number): Promise<void> {
    if (this.notices.hasWebhooks && now >= this.#endsLookedAt) {
      this.#storage.transactionSync(() => {
        const next = tellEnds(this.notices, this.#ending.keys(now), this.#ending.prices(now), now);
        this.#endsLookedAt = Math.min(next ?? Number.POSITIVE_INFINITY, now + DAY_MS);
      });
    }
    await this.notices.run(now);
  }

  put(
    id: string,
    request: WebhookRequest,
    actor: string,
  ): { readonly webhook: Webhook; readonly secret: string | null } | "too_many" {
    const before = this.notices.get(id);
    const result = this.#storage.transactionSync(() => {
      const made = this.notices.put(id, request, Date.now());
      const documents = [before, this.notices.get(id)] as const;
      if (made !== "too_many")
        this.#journal().note({ actor, action: "webhook.put", object: `webhook ${id}`, documents });
      return made;
    });
    this.lookAgain();
    const webhook = this.notices.get(id);
    return result === "too_many" || webhook === null ? "too_many" : { webhook, secret: result.secret };
  }

  rotate(id: string, actor: string): { readonly secret: string; readonly previousUntil: number } | null {
    return this.#storage.transactionSync(() => {
      const rotated = this.notices.rotate(id, Date.now());
      if (rotated !== null) this.#journal().note({ actor, action: "webhook.rotate", object: `webhook ${id}` });
      return rotated;
    });
  }

  remove(id: string, actor: string): void {
    this.#storage.transactionSync(() => {
      const before = this.notices.get(id);
      if (before === null) return;
      this.notices.remove(id);
      this.#journal().note({ actor, action: "webhook.delete", object: `webhook ${id}`, documents: [before, null] });
    });
  }
}
