/** Providers and targets that operators have taken out of every plan, until they put them back or a time is over. */
import { DISABLED_KEY, type DisabledIndex } from "../../policy/disabled.ts";
import type { Journal, Publication } from "../journal.ts";
import { digestOf } from "../rows.ts";
import type { DisableChange, DisabledTarget } from "../types.ts";

/** All of them are in one record of KV. */
const MAX_DISABLED = 1_000;

type Row = { name: string; reason: string; until_ms: number | null; actor: string; at_ms: number };

export class DisabledTable {
  readonly #sql: SqlStorage;
  readonly #journal: Journal;
  readonly #publication: Publication;

  constructor(sql: SqlStorage, journal: Journal, publication: Publication) {
    this.#sql = sql;
    this.#journal = journal;
    this.#publication = publication;
  }

  /** What holds of `change.name` from now on; `null`: it is not disabled. `"too_many"`: nothing was changed. */
  async change(change: DisableChange, actor: string): Promise<DisabledTarget | null | "too_many"> {
    const { name, disabled } = change;
    const digest = disabled === null ? null : await digestOf(JSON.stringify(disabled));
    const now = Date.now();
    const before = this.#rows(now).find((row) => row.name === name);
    const isSame =
      disabled === null
        ? before === undefined
        : before !== undefined && before.reason === disabled.reason && before.until_ms === disabled.until;
    if (isSame) {
      await this.#journal.publishAgain();
      return before === undefined ? null : toEntry(before);
    }
    if (disabled !== null && before === undefined && this.#rows(now).length >= MAX_DISABLED) return "too_many";
    const isTarget = name.includes("/");
    this.#journal.commit(
      {
        ...{ actor, action: disabled === null ? "provider.enable" : "provider.disable" },
        ...{ object: `${isTarget ? "target" : "provider"} ${name}`, before: null, after: digest },
        reason: disabled?.reason ?? change.reason,
        documents: [
          shown(before),
          shown(disabled === null ? undefined : { reason: disabled.reason, until_ms: disabled.until }),
        ],
      },
      (seq) => {
        this.#sql.exec("DELETE FROM disabled WHERE name = ? OR until_ms <= ?", name, now);
        if (disabled !== null) {
          const insert = "INSERT INTO disabled (name, reason, until_ms, actor, at_ms) VALUES (?, ?, ?, ?, ?)";
          this.#sql.exec(insert, name, disabled.reason, disabled.until, actor, now);
        }
        this.#publication.add(DISABLED_KEY, JSON.stringify(this.#index(now)), seq);
      },
    );
    await this.#journal.publish();
    return this.list().find((entry) => entry.name === name) ?? null;
  }

  list(): DisabledTarget[] {
    return this.#rows(Date.now()).map(toEntry);
  }

  /** Sends the list to KV again. */
  republish(seq: number): void {
    this.#publication.add(DISABLED_KEY, JSON.stringify(this.#index(Date.now())), seq);
  }

  #index(now: number): DisabledIndex {
    return Object.fromEntries(this.#rows(now).map(({ name, until_ms }) => [name, { until: until_ms }]));
  }

  #rows(now: number): Row[] {
    const query = `
      SELECT name, reason, until_ms, actor, at_ms FROM disabled WHERE until_ms IS NULL OR until_ms > ? ORDER BY name`;
    return this.#sql.exec<Row>(query, now).toArray();
  }
}

function toEntry({ name, reason, until_ms, actor, at_ms }: Row): DisabledTarget {
  return { name, reason, until: until_ms, by: actor, at: at_ms };
}

function shown(row: Pick<Row, "reason" | "until_ms"> | undefined): object {
  if (row === undefined) return { disabled: false };
  const until = row.until_ms === null ? null : new Date(row.until_ms).toISOString();
  return { disabled: true, reason: row.reason, until };
}
