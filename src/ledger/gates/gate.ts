/**
 * A gate of a busy key: an object that makes one call to the key's ledger of the calls of many isolates.
 *
 * It decides nothing and keeps nothing: an isolate has its answer when the ledger has given it, and where that fails it
 * asks the ledger itself. All calls are repeatable, so one that was lost with a gate is only made again. The ledger stays
 * the one place where money is counted.
 */
import { isOverloaded } from "../../durable/call.ts";
import { withTimeout } from "../../lib/time/with-timeout.ts";
import type { Reservation, ReserveAnswer, SettleAnswer, SettleRow, Unavailable } from "../types.ts";

/** How long calls are gathered: fifty calls a second to the ledger of each kind. */
export const GATE_GATHER_MS = 20;
/** Rows of one call, unless a single isolate sends more. */
const MAX_ROWS = 400;
/** Below what isolates wait for, so that they still can ask the ledger. */
const SETTLE_LIMIT_MS = 3_000;
const RESERVE_LIMIT_MS = 900;

/** The ledger, as a gate calls it: the last parameter says for how many calls it stands. */
export interface GatedLedger {
  settleGathered(rows: SettleRow[], isolates: readonly string[]): Promise<SettleAnswer>;
  reserveGathered(reservations: readonly Reservation[], calls: number): Promise<(ReserveAnswer | Unavailable)[]>;
}

type ReserveAnswers = (ReserveAnswer | Unavailable)[];

interface Settlement {
  readonly rows: readonly SettleRow[];
  readonly isolate: string;
}

export class Gate {
  readonly #settlements: Gathering<Settlement, SettleAnswer>;
  readonly #reservations: Gathering<readonly Reservation[], ReserveAnswers>;

  /** `ledger`: a fresh stub, because one that has failed stays broken. */
  constructor(ledger: () => GatedLedger) {
    this.#settlements = new Gathering(
      SETTLE_LIMIT_MS,
      ({ rows }) => rows.length,
      async (calls) => {
        const rows = calls.flatMap((call) => call.rows);
        const isolates = calls.map(({ isolate }) => isolate);
        const answer = await ledger().settleGathered(rows, isolates);
        return calls.map(() => answer);
      },
    );
    this.#reservations = new Gathering(
      RESERVE_LIMIT_MS,
      (asked) => asked.length,
      async (calls) => {
        const asked = calls.flat();
        const answers = await ledger()
          .reserveGathered(asked, calls.length)
          .catch((error: unknown): ReserveAnswers => {
            // An overloaded object is not helped by a call of each.
            if (!isOverloaded(error)) throw error;
            return asked.map(() => ({ ok: false, reason: "unavailable" }));
          });
        let from = 0;
        return calls.map(({ length }) => {
          from += length;
          return answers.slice(from - length, from);
        });
      },
    );
  }

  settle(rows: readonly SettleRow[], isolate: string): Promise<SettleAnswer> {
    return this.#settlements.ask({ rows, isolate });
  }

  reserveAll(reservations: readonly Reservation[]): Promise<ReserveAnswers> {
    return this.#reservations.ask(reservations);
  }
}

interface Asked<Call, Answer> {
  readonly call: Call;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** Calls that came within a time, sent together. Requests of one object may share promises, unlike those of an isolate. */
class Gathering<Call, Answer> {
  readonly #limitMs: number;
  readonly #sizeOf: (call: Call) => number;
  readonly #send: (calls: readonly Call[]) => Promise<readonly Answer[]>;
  #waiting: Asked<Call, Answer>[] = [];

  constructor(
    limitMs: number,
    sizeOf: (call: Call) => number,
    send: (calls: readonly Call[]) => Promise<readonly Answer[]>,
  ) {
    this.#limitMs = limitMs;
    this.#sizeOf = sizeOf;
    this.#send = send;
  }

  ask(call: Call): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#waiting.push({ call, resolve, reject });
    if (this.#waiting.length === 1) void this.#gather();
    return promise;
  }

  /** Never rejects. */
  async #gather(): Promise<void> {
    await scheduler.wait(GATE_GATHER_MS);
    const waiting = this.#waiting;
    this.#waiting = [];
    let [group, size] = [[] as Asked<Call, Answer>[], 0];
    const groups = [group];
    for (const asked of waiting) {
      const added = this.#sizeOf(asked.call);
      if (size > 0 && size + added > MAX_ROWS) {
        [group, size] = [[], 0];
        groups.push(group);
      }
      group.push(asked);
      size += added;
    }
    await Promise.all(groups.map((each) => this.#answer(each)));
  }

  async #answer(group: readonly Asked<Call, Answer>[]): Promise<void> {
    try {
      const answers = await withTimeout(this.#limitMs, () => this.#send(group.map(({ call }) => call)));
      for (const [at, { resolve, reject }] of group.entries()) {
        const answer = answers[at];
        if (answer === undefined) reject(new Error("The ledger did not answer all that was asked."));
        else resolve(answer);
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
}

/** The name of a gate, by its number. */
export const gateName = (keyId: string, number: number): string => `${keyId}~${number}`;

/** The key whose gate an object is by its name; `null`: it is a ledger. */
export function gatedKey(name: string): string | null {
  const end = name.indexOf("~");
  return end < 0 ? null : name.slice(0, end);
}
