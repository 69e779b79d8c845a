/**
 * Prices that operators set, and the tags whose spend is summed: what every isolate needs to know of money.
 *
 * Rows of a model are in the order in which they begin. A new one takes the place of those that begin no earlier and
 * have begun already, so that the price set last is the one in force; those that are still to come stay.
 */

import { parseJson } from "../../lib/json.ts";
import { type BookRow, MONEY_KEY, type MoneyRecord, rowAt } from "../../prices/book.ts";
import { type PriceRequest, toPrice } from "../../prices/request.ts";
import type { Journal, Publication } from "../journal.ts";
import { digestOf } from "../rows.ts";
import type { PriceChange, PriceEntry, PutPriceResult, PutSettingsResult, Settings } from "../types.ts";

/** All of them are in one record of KV, which every isolate parses. */
const MAX_MODELS = 1_000;
/** Rows per model; the oldest are deleted first. */
const MAX_ROWS = 50;

type Row = {
  seq: number;
  provider: string;
  model: string;
  valid_from_ms: number;
  valid_until_ms: number | null;
  record: string;
  updated_by: string;
  updated_at_ms: number;
};

export class PriceTable {
  readonly #sql: SqlStorage;
  readonly #journal: Journal;
  readonly #publication: Publication;

  constructor(sql: SqlStorage, journal: Journal, publication: Publication) {
    this.#sql = sql;
    this.#journal = journal;
    this.#publication = publication;
  }

  async put({ provider, model, request, validFrom, validUntil }: PriceChange, actor: string): Promise<PutPriceResult> {
    const now = Date.now();
    const from = validFrom ?? now;
    const { valid_from: _, valid_until: __, ...members } = request;
    const record = JSON.stringify(members);
    const rows = this.#rows(provider, model);
    const current = rows.findLast((row) => row.valid_from_ms <= now);
    const isSame = current?.record === record && current.valid_until_ms === validUntil;
    // The same request repeated: the row is in force already.
    if (isSame && (validFrom === null || validFrom === current.valid_from_ms)) {
      await this.#journal.publishAgain();
      return { ok: true, entry: toEntry(current) };
    }
    const count = this.#sql
      .exec<{ n: number }>("SELECT count(DISTINCT provider || '/' || model) AS n FROM price")
      .one().n;
    if (rows.length === 0 && count >= MAX_MODELS) return { ok: false, reason: "too_many_models", most: MAX_MODELS };
    const before = current === undefined ? null : documentOf(current);
    const after = { ...members, ...timesOf(from, validUntil) };
    const digests = [
      before === null ? null : await digestOf(JSON.stringify(before)),
      await digestOf(JSON.stringify(after)),
    ];
    let made = 0;
    this.#journal.commit(
      {
        ...{ actor, action: "price.put", object: `price ${provider}/${model}` },
        ...{ before: digests[0] ?? null, after: digests[1] ?? null, documents: [before, after] },
      },
      (seq) => {
        made = seq;
        this.#sql.exec(
          "DELETE FROM price WHERE provider = ? AND model = ? AND (valid_from_ms = ? OR valid_from_ms BETWEEN ? AND ?)",
          ...[provider, model, from, from, now],
        );
        this.#sql.exec(
          `DELETE FROM price WHERE seq IN (SELECT seq FROM price WHERE provider = ?1 AND model = ?2
             ORDER BY valid_from_ms DESC LIMIT -1 OFFSET ?3)`,
          ...[provider, model, MAX_ROWS - 1],
        );
        this.#sql.exec(
          `INSERT INTO price (seq, provider, model, valid_from_ms, valid_until_ms, record, updated_by, updated_at_ms)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
          ...[seq, provider, model, from, validUntil, record, actor, now],
        );
        this.#note(seq, now);
      },
    );
    await this.#journal.publish();
    const entry = this.list(provider, model).find(({ seq }) => seq === made);
    if (entry === undefined) throw new Error("A price that was just written is not there.");
    return { ok: true, entry };
  }

  /** The catalogue's price is back. False where no operator had set one. */
  async delete(provider: string, model: string, actor: string): Promise<boolean> {
    const now = Date.now();
    const rows = this.#rows(provider, model);
    const current = rowInForce(rows, now) ?? rows.at(-1);
    if (current === undefined) {
      await this.#journal.publishAgain();
      return false;
    }
    const document = documentOf(current);
    const before = await digestOf(JSON.stringify(document));
    const change = { actor, action: "price.delete", object: `price ${provider}/${model}`, before, after: null };
    this.#journal.commit({ ...change, documents: [document, null] }, (seq) => {
      this.#sql.exec("DELETE FROM price WHERE provider = ? AND model = ?", provider, model);
      this.#note(seq, now);
    });
    await this.#journal.publish();
    return true;
  }

  /** All rows of one model, by the time they begin; without a model those of all, by provider and model. */
  list(provider?: string, model?: string): PriceEntry[] {
    const rows = provider === undefined || model === undefined ? this.#all() : this.#rows(provider, model);
    return rows.map(toEntry);
  }

  settings(): Settings {
    const [row] = this.#sql.exec<{ record: string }>("SELECT record FROM setting WHERE name = 'spend_tags'").toArray();
    // Written by `putSettings` only.
    return { spend_tags: row === undefined ? [] : (parseJson(row.record) as string[]) };
  }

  usageKeptSince(): number {
    const query = "SELECT record FROM setting WHERE name = 'usage_kept_since'";
    const [row] = this.#sql.exec<{ record: string }>(query).toArray();
    return row === undefined ? 0 : Number(row.record);
  }

  async putSettings({ spend_tags: tags }: Settings, actor: string): Promise<PutSettingsResult> {
    const before = this.settings();
    const after = { spend_tags: tags };
    if (JSON.stringify(before) === JSON.stringify(after)) {
      await this.#journal.publishAgain();
      return after;
    }
    const digests = [await digestOf(JSON.stringify(before)), await digestOf(JSON.stringify(after))];
    this.#journal.commit(
      {
        ...{ actor, action: "settings.put", object: "settings", documents: [before, after] },
        ...{ before: digests[0] ?? null, after: digests[1] ?? null },
      },
      (seq) => {
        const now = Date.now();
        this.#sql.exec(
          "INSERT OR REPLACE INTO setting (name, record, updated_by, updated_at_ms) VALUES ('spend_tags', ?, ?, ?)",
          ...[JSON.stringify(tags), actor, now],
        );
        this.#note(seq, now);
      },
    );
    await this.#journal.publish();
    return after;
  }

  /** What KV must hold: rows that are over by now decide nothing any more. */
  /** Sends prices and settings to KV again. */
  republish(seq: number): void {
    this.#note(seq, Date.now());
  }

  #note(seq: number, now: number): void {
    const prices: Record<string, BookRow[]> = {};
    for (const [name, rows] of Map.groupBy(this.#all(), ({ provider, model }) => `${provider}/${model}`)) {
      const current = rows.findLast((row) => row.valid_from_ms <= now);
      const kept = rows.filter((row) => row === current || row.valid_from_ms > now);
      if (kept.length > 0) prices[name] = kept.map(toBookRow);
    }
    const record: MoneyRecord = { prices, spend_tags: [...this.settings().spend_tags] };
    this.#publication.add(MONEY_KEY, JSON.stringify(record), seq);
  }

  #rows(provider: string, model: string): Row[] {
    const query = "SELECT * FROM price WHERE provider = ? AND model = ? ORDER BY valid_from_ms, seq";
    return this.#sql.exec<Row>(query, provider, model).toArray();
  }

  #all(): Row[] {
    return this.#sql.exec<Row>("SELECT * FROM price ORDER BY provider, model, valid_from_ms, seq").toArray();
  }
}

const rowInForce = (rows: readonly Row[], at: number): Row | undefined => {
  const found = rowAt(
    rows.map((row) => ({ from: row.valid_from_ms, until: row.valid_until_ms, row })),
    at,
  );
  return found?.row;
};

/** Written by `put` from a request that was checked. */
const membersOf = ({ record }: Row): PriceRequest => parseJson(record) as PriceRequest;

function timesOf(from: number, until: number | null) {
  return {
    valid_from: new Date(from).toISOString(),
    valid_until: until === null ? null : new Date(until).toISOString(),
  };
}

const documentOf = (row: Row): object => ({ ...membersOf(row), ...timesOf(row.valid_from_ms, row.valid_until_ms) });

function toBookRow(row: Row): BookRow {
  const price = toPrice(membersOf(row));
  return { id: rowId(row.seq), from: row.valid_from_ms, until: row.valid_until_ms, price };
}

const rowId = (seq: number): string => `pr_${seq}`;

function toEntry(row: Row): PriceEntry {
  const { seq, provider, model } = row;
  return {
    ...{ seq, provider, model, members: membersOf(row), row: toBookRow(row) },
    ...{ updatedBy: row.updated_by, updatedAt: new Date(row.updated_at_ms).toISOString() },
  };
}
