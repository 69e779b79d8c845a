/**
 * RepricingJob: one Durable Object per repricing, named by its id. It goes through the ledgers by alarms, a slice of time
 * each, so that 100,000 charges block no request; a request of a key waits for one small step at most.
 */
import { DurableObject } from "cloudflare:workers";
import { inJurisdiction } from "../config.ts";
import { withControl } from "../control/client.ts";
import type { Page } from "../control/types.ts";
import { callWithRetry } from "../durable/call.ts";
import type { PublicKey } from "../keys/record.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import { log } from "../lib/log.ts";
import { parseStored } from "../lib/stored.ts";
import { MONEY_KEY, MoneyRecord } from "../prices/book.ts";
import { advance, type JobRecord, newJob, type Parties, refusalOf, stateOf } from "./job.ts";
import type { RepriceRequest, RepriceState, StartResult } from "./types.ts";

const SLICE_MS = 2_000;
/** Between two slices, and after one that failed. */
const PAUSE_MS = 20;
/** Between two steps: calls from one object to the next would leave no room for requests where all share a thread. */
const STEP_PAUSE_MS = 5;
const RETRY_MS = 2_000;
/** Slices in a row that may fail. */
const MAX_FAILURES = 30;
const CALL_LIMIT_MS = 10_000;
const KEYS_PER_PAGE = 1_000;
/** What became of a job can be asked for so long. */
const KEPT_MS = 90 * 86_400_000;

export class RepricingJob extends DurableObject<Cloudflare.Env> {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, inJurisdiction(env));
  }

  #failures = 0;

  /** Checks that the whole span can be corrected, and begins. Repeatable: a job that has begun goes on. */
  async start(request: RepriceRequest): Promise<StartResult> {
    const known = this.#read();
    if (known !== null) return { ok: true, state: stateOf(known) };
    const order = { ...request, job: this.ctx.id.name ?? "" };
    const job = newJob(order, await this.#keyIds(order.until), Date.now());
    const refusal = await refusalOf(this.#parties(), job);
    if (refusal !== null) return { ok: false, ...refusal };
    this.#write(job);
    await this.ctx.storage.setAlarm(Date.now());
    return { ok: true, state: stateOf(job) };
  }

  /** `null`: there is no such job. */
  async state(): Promise<RepriceState | null> {
    const job = this.#read();
    return job === null ? null : stateOf(job);
  }

  override async alarm(): Promise<void> {
    const job = this.#read();
    if (job === null) return;
    if (job.status !== "running") {
      await this.ctx.storage.deleteAll();
      return;
    }
    const endsAt = Date.now() + SLICE_MS;
    try {
      const clock = { isOver: () => Date.now() >= endsAt, now: Date.now, pause: () => scheduler.wait(STEP_PAUSE_MS) };
      const after = await advance(this.#parties(), job, clock);
      this.#failures = 0;
      this.#write(after);
      await this.ctx.storage.setAlarm(Date.now() + (after.status === "running" ? PAUSE_MS : KEPT_MS));
    } catch {
      this.#failures++;
      log({ event: "reprice_delayed", job: job.order.job, failures: this.#failures });
      const isGivenUp = this.#failures >= MAX_FAILURES;
      const error = "A ledger or the trail did not answer. What was corrected so far stays: start the repricing again.";
      if (isGivenUp) this.#write({ ...job, status: "failed", error });
      await this.ctx.storage.setAlarm(Date.now() + (isGivenUp ? KEPT_MS : RETRY_MS));
    }
  }

  /** All keys that there were before `until`, the revoked ones too. */
  async #keyIds(until: number): Promise<string[]> {
    const ids: string[] = [];
    for (let before: number | null = null; ; ) {
      const cursor: number | null = before;
      const page: Page<PublicKey> = await withControl(this.env.CONTROL_PLANE, (control) => {
        return control.listKeys(KEYS_PER_PAGE, cursor);
      });
      for (const key of page.data) if (Date.parse(key.created_at) < until) ids.push(key.id);
      if (page.nextCursor === null) return ids;
      before = page.nextCursor;
    }
  }

  #parties(): Parties {
    const { KEY_LEDGER, TRAIL_INDEX, SPEND_ARCHIVE, CONFIG } = this.env;
    const twice = <T>(call: () => Promise<T>): Promise<T> => callWithRetry(CALL_LIMIT_MS, call);
    return {
      ledger: (id) => ({
        repriceCheck: (order) => twice(async () => KEY_LEDGER.getByName(id).repriceCheck(order)),
        reprice: (order, delivered) => {
          // The same method: the platform's own stub type makes arrays of the tuples in an adjustment.
          type Ledger = ReturnType<Parties["ledger"]>;
          return twice(async () => (KEY_LEDGER.getByName(id) as unknown as Ledger).reprice(order, delivered));
        },
      }),
      trail: (name) => ({ adjust: (batch) => twice(async () => TRAIL_INDEX.getByName(name).adjust(batch)) }),
      archive: (name) => ({
        adjust: (batch, tags) => twice(async () => SPEND_ARCHIVE.getByName(name).adjust(batch, tags)),
      }),
      async tagNames() {
        const text = await CONFIG.get(MONEY_KEY);
        return text === null ? [] : parseStored(MoneyRecord, text, MONEY_KEY).spend_tags;
      },
    };
  }

  #read(): JobRecord | null {
    const { sql } = this.ctx.storage;
    const query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'job'";
    if (sql.exec(query).toArray().length === 0) return null;
    const [row] = sql.exec<{ record: string }>("SELECT record FROM job").toArray();
    const record = row === undefined ? null : parseJson(row.record);
    // Written by `#write`.
    return isJsonObject(record) ? (record as unknown as JobRecord) : null;
  }

  #write(job: JobRecord): void {
    const { sql } = this.ctx.storage;
    this.ctx.storage.transactionSync(() => {
      sql.exec(
        "CREATE TABLE IF NOT EXISTS job (singleton INTEGER PRIMARY KEY CHECK (singleton = 1), record TEXT NOT NULL) STRICT",
      );
      sql.exec("INSERT OR REPLACE INTO job (singleton, record) VALUES (1, ?)", JSON.stringify(job));
    });
  }
}
