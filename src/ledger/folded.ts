/**
 * What charges that are deleted used, by the hour: enough to work out again what they cost.
 *
 * A charge is folded in the transaction that deletes its trace. Times are those of the reservations, which choose the
 * periods that money is booked in.
 */
import type { Usage } from "../conversation/usage.ts";
import { isJsonObject, parseJson, tryParseJson } from "../lib/json.ts";
import { foldUsage, readBasis, type Shape, shapeOf } from "../pricing/fold.ts";

const HOUR_MS = 3_600_000;
const KEPT_MS = 400 * 86_400_000;
/** Beyond it requests are not told apart by their tags any more, which clients may choose as they please. */
const MAX_TAGGED_ROWS = 5_000;

const ROW = "hour = ? AND provider = ? AND model = ? AND place = ? AND shape = ?";

/** Where a request is counted besides its target. */
export interface Place {
  readonly env: string;
  readonly app: string;
  readonly route: string;
  readonly api: string;
  readonly status: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Hour of its arrival, where it is not that of its reservation. */
  readonly at?: number;
}

export interface FoldedRow {
  /** First ms of the hour. */
  readonly hour: number;
  readonly place: Place;
  readonly shape: Shape;
  readonly count: number;
  readonly nanoUsd: number;
  /** Requests that have no other charge of unknown cost. */
  readonly unpriced: number;
  readonly usage: Usage;
  /** What names the row. */
  readonly keys: readonly [hour: number, place: string, shape: string];
}

/** Requests of an app, or with a tag; of all where both are `null`. */
interface Scope {
  readonly app: string | null;
  readonly tag: { readonly name: string; readonly value: string } | null;
}

type Stored = {
  hour: number;
  place: string;
  shape: string;
  charges: number;
  nano_usd: number;
  unpriced_requests: number;
  usage: string;
};

type Deleted = {
  trace_id: string;
  provider: string;
  model: string;
  reserved_at: number;
  nano_usd: number | null;
  basis: string;
};

/** What the JSON of a trace says; `null`: it was erased. */
export function placeOf(body: string): Place | null {
  const trace = tryParseJson(body);
  if (!isJsonObject(trace)) return null;
  const text = (name: string): string => (typeof trace[name] === "string" ? String(trace[name]) : "");
  const tags = isJsonObject(trace["tags"]) ? trace["tags"] : {};
  const at = Date.parse(text("created_at"));
  return {
    ...{ env: text("env"), app: text("app"), route: text("route"), api: text("api") || "chat", status: text("status") },
    tags: sorted(tags),
    ...(Number.isFinite(at) ? { at: at - (at % HOUR_MS) } : {}),
  };
}

function sorted(tags: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const texts = Object.entries(tags).filter((tag): tag is [string, string] => typeof tag[1] === "string");
  return Object.fromEntries(texts.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

export class Folded {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /**
   * Keeps what the settled charges of traces used, and deletes those charges but for the ones in rows of requests, which
   * are to be deleted next. Answers what they cost.
   */
  fold(traces: readonly { readonly id: string; readonly body: string }[]): number {
    const bodies = new Map(traces.map(({ id, body }) => [id, body]));
    const ids = JSON.stringify([...bodies.keys()]);
    const deleted = this.#sql
      .exec<Deleted>(
        `SELECT trace_id, provider, model, reserved_at, nano_usd, basis FROM charge
         WHERE trace_id IN (SELECT value FROM json_each(?)) AND state = 'S'`,
        ids,
      )
      .toArray();
    this.#sql.exec("DELETE FROM charge_row WHERE trace_id IN (SELECT value FROM json_each(?)) AND state = 'S'", ids);
    const isTagged = this.#count() < MAX_TAGGED_ROWS;
    let nanoUsd = 0;
    for (const [id, charges] of Map.groupBy(deleted, (charge) => charge.trace_id)) {
      const place = placeOf(bodies.get(id) ?? "");
      const unknown = charges.filter((charge) => charge.nano_usd === null);
      for (const charge of charges) {
        nanoUsd += charge.nano_usd ?? 0;
        this.#add(charge, place, isTagged, unknown.length === 1 && unknown[0] === charge ? 1 : 0);
      }
    }
    return nanoUsd;
  }

  #add(charge: Deleted, place: Place | null, isTagged: boolean, unpriced: 0 | 1): void {
    const basis = readBasis(charge.basis);
    const shape = basis === null ? null : shapeOf(basis, charge.nano_usd === null);
    if (basis === null || shape === null) return;
    const hour = charge.reserved_at - (charge.reserved_at % HOUR_MS);
    const { at, tags, ...known } = place ?? { env: "", app: "", route: "", api: "chat", status: "ok", tags: {} };
    const where = { ...known, tags: isTagged ? tags : {}, ...(at === undefined || at === hour ? {} : { at }) };
    const keys = [hour, charge.provider, charge.model, JSON.stringify(where), JSON.stringify(shape)];
    const [row] = this.#sql.exec<{ usage: string }>(`SELECT usage FROM folded WHERE ${ROW}`, ...keys).toArray();
    const usage = foldUsage(row === undefined ? null : (parseJson(row.usage) as unknown as Usage), basis.usage);
    this.#sql.exec(
      `INSERT INTO folded (hour, provider, model, place, shape, charges, nano_usd, unpriced_requests, usage)
       VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?) ON CONFLICT DO UPDATE SET charges = charges + 1,
       nano_usd = nano_usd + excluded.nano_usd, unpriced_requests = unpriced_requests + excluded.unpriced_requests,
       usage = excluded.usage`,
      ...[...keys, charge.nano_usd ?? 0, unpriced, JSON.stringify(usage)],
    );
  }

  /**
   * What deleted charges of an app or with a tag cost, from the hour of `start` on and before `end`, epoch ms. Those whose
   * origin or tags are not known count too.
   */
  sumOfScope({ app, tag }: Scope, start: number, end: number): number {
    const query = `SELECT coalesce(sum(nano_usd), 0) AS nano_usd FROM folded WHERE hour >= ?1 AND hour < ?2
      AND (json_extract(place, '$.app') = '' OR (
        (?3 IS NULL OR json_extract(place, '$.app') = ?3) AND (?4 IS NULL OR (?6 = 1 AND json_extract(place, '$.tags') = '{}')
        OR EXISTS (SELECT 1 FROM json_each(place, '$.tags') AS tag WHERE tag.key = ?4 AND tag.value = ?5))
      ))`;
    const isFull = this.#count() >= MAX_TAGGED_ROWS ? 1 : 0;
    const values = [start - (start % HOUR_MS), end, app, tag?.name ?? null, tag?.value ?? null, isFull];
    return this.#sql.exec<{ nano_usd: number }>(query, ...values).one().nano_usd;
  }

  /** Up to `limit` rows of a target in a span of time that follow `after`. */
  rows(
    target: { readonly provider: string; readonly model: string; readonly since: number; readonly until: number },
    after: FoldedRow["keys"],
    limit: number,
  ): FoldedRow[] {
    const { provider, model, since, until } = target;
    return this.#sql
      .exec<Stored>(
        `SELECT hour, place, shape, charges, nano_usd, unpriced_requests, usage FROM folded
         WHERE provider = ? AND model = ? AND hour > ? AND hour < ? AND (hour, place, shape) > (?, ?, ?)
         ORDER BY hour, place, shape LIMIT ?`,
        ...[provider, model, since - HOUR_MS, until, ...after, limit],
      )
      .toArray()
      .map((row) => ({
        hour: row.hour,
        // Written by `#add`.
        place: parseJson(row.place) as unknown as Place,
        shape: parseJson(row.shape) as unknown as Shape,
        ...{ count: row.charges, nanoUsd: row.nano_usd, unpriced: row.unpriced_requests },
        usage: parseJson(row.usage) as unknown as Usage,
        keys: [row.hour, row.place, row.shape],
      }));
  }

  /** Puts right what the charges of a row cost. They are priced from now on. */
  correct(provider: string, model: string, { keys, shape, ...row }: FoldedRow, nanoUsd: number): void {
    const [hour, place, text] = keys;
    if (!shape.isUnpriced) {
      this.#sql.exec(`UPDATE folded SET nano_usd = ? WHERE ${ROW}`, nanoUsd, hour, provider, model, place, text);
      return;
    }
    this.#sql.exec(`DELETE FROM folded WHERE ${ROW}`, hour, provider, model, place, text);
    const priced = JSON.stringify({ ...shape, isUnpriced: false });
    const [known] = this.#sql
      .exec<{ usage: string }>(`SELECT usage FROM folded WHERE ${ROW}`, hour, provider, model, place, priced)
      .toArray();
    const usage = foldUsage(known === undefined ? null : (parseJson(known.usage) as unknown as Usage), row.usage);
    this.#sql.exec(
      `INSERT INTO folded (hour, provider, model, place, shape, charges, nano_usd, unpriced_requests, usage)
       VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT DO UPDATE SET charges = charges + excluded.charges,
       nano_usd = nano_usd + excluded.nano_usd, usage = excluded.usage`,
      ...[hour, provider, model, place, priced, row.count, nanoUsd, JSON.stringify(usage)],
    );
  }

  trim(now: number): void {
    this.#sql.exec("DELETE FROM folded WHERE hour < ?", now - KEPT_MS);
  }

  /** Tags of a key that is erased; sums stay. Rows that differ by their tags alone become one. */
  erase(): void {
    type Row = Stored & { provider: string; model: string };
    const rows = this.#sql.exec<Row>("SELECT * FROM folded WHERE json_extract(place, '$.tags') <> '{}'").toArray();
    for (const row of rows) {
      const { hour, provider, model, place, shape } = row;
      this.#sql.exec(`DELETE FROM folded WHERE ${ROW}`, ...[hour, provider, model, place, shape]);
      const bare = JSON.stringify({ ...(parseJson(place) as object), tags: {} });
      const [known] = this.#sql
        .exec<{ usage: string }>(`SELECT usage FROM folded WHERE ${ROW}`, hour, provider, model, bare, shape)
        .toArray();
      const own = parseJson(row.usage) as unknown as Usage;
      const usage = foldUsage(known === undefined ? null : (parseJson(known.usage) as unknown as Usage), own);
      this.#sql.exec(
        `INSERT INTO folded (hour, provider, model, place, shape, charges, nano_usd, unpriced_requests, usage)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET charges = charges + excluded.charges,
         nano_usd = nano_usd + excluded.nano_usd, usage = excluded.usage,
         unpriced_requests = unpriced_requests + excluded.unpriced_requests`,
        ...[
          hour,
          provider,
          model,
          bare,
          shape,
          row.charges,
          row.nano_usd,
          row.unpriced_requests,
          JSON.stringify(usage),
        ],
      );
    }
  }

  #count(): number {
    return this.#sql.exec<{ rows: number }>("SELECT count(*) AS rows FROM folded").one().rows;
  }
}
