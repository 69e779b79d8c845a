/**
 * KeyLedger: one Durable Object per API key, the only writer of that key's spend, limits, revocation and traces.
 *
 * Each call is one transaction and may be repeated. A settlement writes the trace and adds its cost together, so the
 * log and the bill cannot disagree; the primary keys of trace and attempt are what makes it repeatable. The rules are
 * in `ledger.ts`, which knows neither clock nor runtime.
 */
import { DurableObject } from "cloudflare:workers";
import type { BudgetTerms, Part } from "../budgets/types.ts";
import { inJurisdiction, settingsOf } from "../config.ts";
import { fromUsd, toUsd } from "../lib/money.ts";
import { spanOf } from "../lib/time/calendar.ts";
import { type BudgetThreshold, reached } from "../notices/types.ts";
import { TrailRouter } from "../trace-index/spread/router.ts";
import { keyIdOfTrace, type Trace } from "../traces/schema.ts";
import { CallRate } from "./gates/call-rate.ts";
import { Gate, type GatedLedger, gatedKey } from "./gates/gate.ts";
import { Ledger } from "./ledger.ts";
import type { TraceIndexes } from "./outbox.ts";
import type { PeriodRow } from "./periods.ts";
import { SpendChanges } from "./periods.ts";
import type { RepriceCheck, RepriceOrder, RepriceProgress } from "./repricing.ts";
import { Escrow, type Pools } from "./shares/escrow.ts";
import type {
  Budget,
  KeyStanding,
  KeyTerms,
  LedgerAudit,
  PeriodSpend,
  RefusedRow,
  Reservation,
  ReserveAnswer,
  SettleAnswer,
  SettleRow,
  TracePage,
  TraceQuery,
  Unavailable,
} from "./types.ts";
import { type Transact, Upkeep } from "./upkeep.ts";

/** How often a group of reservations asks the pools of budgets for more. */
const MAX_COVERS = 4;

/** Refused for want of a lease, while its budget has room. */
function isShortOfLease(answer: ReserveAnswer | Unavailable): boolean {
  return !answer.ok && answer.reason === "shared_budget" && answer.shortage?.isFitting === true;
}

/** After the control plane did not take an announcement. */
const ANNOUNCE_AGAIN_MS = 5_000;

/** The one method of the control plane that is called here. */
interface Announcer {
  noteThreshold(threshold: BudgetThreshold): Promise<void>;
}

/** Ends a transaction whose result is wanted and whose changes are not. */
class Rollback extends Error {
  override readonly name = "Rollback";
}

export class KeyLedger extends DurableObject<Cloudflare.Env> {
  readonly #ledger: Ledger;
  readonly #upkeep: Upkeep;
  readonly #escrow: Escrow;
  readonly #rate = new CallRate();
  /** Where this object is no ledger but a gate of one, from its first call on. Its tables stay empty. */
  #gate: Gate | null = null;
  /** In memory: what is announced twice is one event. */
  readonly #announced = new Set<string>();

  constructor(ctx: DurableObjectState, bound: Cloudflare.Env) {
    const env = inJurisdiction(bound);
    super(ctx, env);
    const { traceDays } = settingsOf(env);
    this.#ledger = ctx.storage.transactionSync(() => new Ledger(ctx.storage.sql, traceDays));
    // A deployment without the index keeps its traces waiting.
    const trails: TraceIndexes | undefined = env.TRAIL_INDEX;
    const indexes = trails === undefined ? undefined : new TrailRouter(trails);
    const transact: Transact = (work) => this.#transact(work);
    // So does one without pools: a request that names a budget is not admitted then.
    const pools: Pools | undefined = env.BUDGET_POOL;
    this.#escrow = new Escrow(this.#ledger, transact, pools);
    this.#upkeep = new Upkeep(this.#ledger, transact, ctx.storage, indexes, this.#escrow);
    ctx.blockConcurrencyWhile(() => this.#upkeep.start(Date.now()));
  }

  /** Holds the bound of one attempt until it is settled, released or expired. */
  async reserve(reservation: Reservation): Promise<ReserveAnswer | Unavailable> {
    const [answer] = await this.reserveAll([reservation]);
    return answer ?? { ok: false, reason: "unavailable" };
  }

  /** What `reserve` would answer. Nothing is kept. */
  async preview(reservation: Reservation): Promise<ReserveAnswer | Unavailable> {
    let answer: ReserveAnswer | Unavailable = { ok: false, reason: "unavailable" };
    try {
      this.ctx.storage.transactionSync(() => {
        answer = this.#ledger.reserve(reservation, Date.now());
        throw new Rollback();
      });
    } catch (error) {
      if (!(error instanceof Rollback)) throw error;
    } finally {
      this.#ledger.load();
    }
    return answer;
  }

  /** Counts one request against the key's limit of them, in memory alone. A number: there is no room for so many ms. */
  async countRequest(keyId: string, terms: KeyTerms): Promise<number | null> {
    return this.#transact(() => this.#ledger.countRequest(keyId, terms, Date.now()));
  }

  /** The same for several attempts, whose calls are under way. Answers in their order. */
  reserveAll(reservations: readonly Reservation[]): Promise<(ReserveAnswer | Unavailable)[]> {
    return this.reserveGathered(reservations, 1);
  }

  /** The same from a gate, for as many calls. */
  async reserveGathered(reservations: readonly Reservation[], calls: number): Promise<(ReserveAnswer | Unavailable)[]> {
    this.#rate.note(calls, Date.now());
    const budgets = reservations.flatMap((each) => each.budgets ?? []);
    if (budgets.length === 0) return this.#reserveAll(reservations);
    this.#escrow.learn(budgets, keyIdOfTrace(reservations[0]?.traceId ?? "") ?? "", Date.now());
    for (let tries = 1; ; tries++) {
      const silent = await this.#escrow.cover(reservations);
      const answers = await this.#reserveAll(reservations, silent);
      // What the pool gave may have gone to others that came meanwhile. Asked again, it holds what was held already.
      if (tries === MAX_COVERS || !answers.some(isShortOfLease)) return answers;
    }
  }

  async #reserveAll(
    reservations: readonly Reservation[],
    silent?: ReadonlySet<string>,
  ): Promise<(ReserveAnswer | Unavailable)[]> {
    const now = Date.now();
    const answers = this.#transact(() => reservations.map((each) => this.#ledger.reserve(each, now, silent)));
    await this.#tend(now);
    return answers;
  }

  /** Behind every booking: the alarm for what is due, and messages to pools, which no request waits for. */
  async #tend(now: number): Promise<void> {
    const tending = this.#escrow.tend(now);
    if (tending !== null) this.ctx.waitUntil(tending);
    await this.#upkeep.arm(now);
  }

  /** Sets free what an attempt holds, when nothing was sent. */
  async release(traceId: string, attempt: number): Promise<void> {
    this.#transact(() => this.#ledger.release(traceId, attempt, Date.now()));
  }

  /** Books finished requests, each once however often it is sent. Accepts them from a revoked or spent key too. */
  settle(rows: SettleRow[], isolate = ""): Promise<SettleAnswer> {
    return this.settleGathered(rows, [isolate]);
  }

  /** The same from a gate, of several isolates: one call of each. */
  async settleGathered(rows: SettleRow[], isolates: readonly string[]): Promise<SettleAnswer> {
    const now = Date.now();
    const gates = this.#rate.note(isolates.length, now);
    const budgets = rows.flatMap((row) => row.budgets ?? []);
    this.#escrow.learn(budgets, keyIdOfTrace(rows[0]?.id ?? "") ?? "", now);
    const answer = this.#transact(() => this.#ledger.settle(rows, now, isolates));
    if (rows.length > 0) this.#upkeep.noteTraces(now);
    await this.#tend(now);
    return gates === 0 ? answer : { ...answer, gates };
  }

  /** What this object does as a gate: see `gates/gate.ts`. */
  async gateSettle(rows: SettleRow[], isolate: string): Promise<SettleAnswer> {
    return this.#asGate().settle(rows, isolate);
  }

  async gateReserve(reservations: readonly Reservation[]): Promise<(ReserveAnswer | Unavailable)[]> {
    return this.#asGate().reserveAll(reservations);
  }

  #asGate(): Gate {
    const keyId = gatedKey(this.ctx.id.name ?? "");
    if (keyId === null) throw new Error("This object is a ledger and no gate.");
    this.#gate ??= new Gate(() => this.env.KEY_LEDGER.getByName(keyId) as unknown as GatedLedger);
    return this.#gate;
  }

  /** Takes part in a budget above the key from now on. Answers what its period had spent before, of this key. */
  async joinBudget(keyId: string, terms: BudgetTerms): Promise<Part | null> {
    const now = Date.now();
    this.#escrow.learn([terms], keyId, now);
    await this.#upkeep.arm(now);
    return this.#escrow.part(terms.id, terms.era);
  }

  /** What it has of a budget above the key; `null` where it takes no part in it. */
  async budgetPart(id: string, era: number): Promise<Part | null> {
    this.#escrow.learn([], "", Date.now());
    return this.#escrow.part(id, era);
  }

  /** A sign of life of an isolate: what it holds is held for 30 s more. Writes nothing. */
  async renew(isolate: string): Promise<SettleAnswer> {
    return this.#ledger.renew(isolate, Date.now());
  }

  /** Keeps light traces of requests that were refused, as far as there is room. `more`: how many left none. */
  async refuse(rows: RefusedRow[], more: number): Promise<void> {
    const now = Date.now();
    this.#transact(() => this.#ledger.refuse(rows, more, now));
    await this.#upkeep.arm(now);
  }

  /** Permanent: there is no way back from it. */
  async revoke(): Promise<void> {
    this.#transact(() => this.#ledger.revoke());
  }

  /** What the key may do from now on, unless newer terms are known. */
  async applyTerms(terms: KeyTerms): Promise<void> {
    this.#transact(() => this.#ledger.applyTerms(terms));
  }

  /** What was booked and is held in the budget's current period; without a budget, ever. */
  async spend(budget: Budget | null): Promise<PeriodSpend> {
    const now = Date.now();
    return this.#transact(() => this.#ledger.spend(budget ?? { period: "total" }, now));
  }

  /** The same, and what is left of the limits that `terms` set. `keyId`: the key's own. */
  async standing(keyId: string, terms: Pick<KeyTerms, "budget" | "limits">): Promise<KeyStanding> {
    const now = Date.now();
    return this.#transact(() => this.#ledger.standing(keyId, terms, now));
  }

  /** Checks the books against their own rows. Reads all of them: for operators and tests. */
  async audit(): Promise<LedgerAudit> {
    return this.#ledger.audit(Date.now());
  }

  /** What waits for the index and since when, and when the alarm is due: epoch ms. Writes nothing. */
  async outboxStanding(): Promise<{ waiting: number; oldestAt: number | null; alarmAt: number | null }> {
    return { ...this.#ledger.outbox.standing(), alarmAt: await this.ctx.storage.getAlarm() };
  }

  /** What was spent, by period. */
  async sums(): Promise<readonly PeriodRow[]> {
    return this.#ledger.sumRows();
  }

  /** What the key has spent in another deployment. A ledger that has booked anything stays as it is. */
  async importSums(rows: readonly PeriodRow[]): Promise<void> {
    this.#transact(() => this.#ledger.importSums(rows));
    this.#ledger.load();
  }

  /** Sends every stored trace to the index again. Answers how many wait now. */
  async rebuild(): Promise<number> {
    const now = Date.now();
    const waiting = this.#transact(() => this.#ledger.outbox.refill());
    if (waiting > 0) this.#upkeep.noteTraces(now);
    await this.#upkeep.arm(now);
    return waiting;
  }

  /** Everything that its requests said of themselves, but not what they cost. */
  async erase(): Promise<void> {
    this.#transact(() => this.#ledger.erase());
  }

  /** What a repricing of a target would miss: nothing is changed. */
  async repriceCheck(order: RepriceOrder): Promise<RepriceCheck> {
    return this.#ledger.repricing.check(order);
  }

  /** One step of a repricing, repeatable. `deliveredSeq`: adjustments up to it have reached the trail. */
  async reprice(order: RepriceOrder, deliveredSeq: number): Promise<RepriceProgress> {
    const now = Date.now();
    const stepped = this.#transact(() => {
      const changes = new SpendChanges();
      const progress = this.#ledger.repricing.step(order, deliveredSeq, now, changes);
      this.#ledger.bookChanges(changes);
      return progress;
    });
    // The pools of budgets above the key get what has changed, though the key may make no request any more.
    await this.#tend(now);
    return stepped;
  }

  async trace(id: string): Promise<Trace | null> {
    return this.#ledger.trace(id);
  }

  async traces(query: TraceQuery): Promise<TracePage> {
    return this.#ledger.list(query);
  }

  override async alarm(): Promise<void> {
    await this.#upkeep.run();
    await this.#announce(Date.now());
  }

  /** Which parts of the budget are spent, for webhooks: behind every settlement's alarm, until it was taken. Never rejects. */
  async #announce(now: number): Promise<void> {
    const keyId = this.ctx.id.name ?? "";
    const { budget = null } = this.#ledger.account.terms ?? {};
    const control = this.env.CONTROL_PLANE as DurableObjectNamespace | undefined;
    if (budget === null || keyId === "" || control === undefined) return;
    try {
      const { spentNanoUsd } = this.#transact(() => this.#ledger.spend(budget, now));
      const { start, end } = spanOf(budget.period, budget.time_zone ?? "UTC", now);
      const periodStart = Number.isFinite(start) ? start : null;
      const amounts = { spentUsd: toUsd(spentNanoUsd), limitUsd: budget.limit_usd };
      const resetsAt = Number.isFinite(end) ? end : null;
      for (const percent of reached(spentNanoUsd, fromUsd(budget.limit_usd))) {
        const name = `${periodStart} ${budget.limit_usd} ${percent}`;
        if (this.#announced.has(name)) continue;
        const plane = control.getByName("control") as unknown as Announcer;
        await plane.noteThreshold({ keyId, percent, ...amounts, periodStart, resetsAt });
        this.#announced.add(name);
      }
    } catch {
      await this.#upkeep.wakeBy(now + ANNOUNCE_AGAIN_MS).catch(() => {});
    }
  }

  #transact<T>(work: () => T): T {
    try {
      return this.ctx.storage.transactionSync(work);
    } catch (error) {
      // What the transaction changed in memory was rolled back on disk only.
      this.#ledger.load();
      throw error;
    }
  }
}
