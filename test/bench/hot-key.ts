/**
 * `npm run bench -- hot`: settled requests a second of one key that many isolates see little of each, so that every call
 * brings a row or two: the key's ledger called directly, and through its gates.
 *
 * Reserved and settled inside workerd, where all objects share one thread; on the platform each has a machine's thread of
 * its own. So besides what a second brings it prints what a second of that thread's CPU does: a busy machine changes the
 * first figure alone. The last load is what the ledger itself takes, in calls as full as those of its gates. The books
 * are checked afterwards: every row once, nothing held, nothing beyond the budget.
 */
import { startWorker } from "../support/worker.ts";
import { cpuMs, workerdChildren } from "./measure.ts";

const SECONDS = 5;
/** Isolates hear of gates with a settlement, a second after the key became busy. */
const WARM_UP_MS = 2_500;
/** Isolates, each with one call under way. */
const ISOLATES = 200;
const COST_NANO_USD = 1_000;

const FRONT = `
import app from "./index.js";
export * from "./index.js";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const text = (length) => Array.from({ length }, () => ALPHABET[Math.floor(Math.random() * 62)]).join("");
const timeText = (time) => {
  let text = "";
  for (let rest = time; text.length < 8; rest = Math.floor(rest / 62)) text = ALPHABET[rest % 62] + text;
  return text;
};

async function drive(env, { keyId, gates, heard: before, isolates, perCall, forMs, cost, limitUsd }) {
  const endsAt = Date.now() + forMs;
  const terms = { version: 1, budget: { limit_usd: limitUsd, period: "total" }, limits: null };
  const counts = { settled: 0, refused: 0, failed: 0, most: 0 };
  const isolate = async (number) => {
    const name = "isolate-" + number;
    let heard = before;
    while (Date.now() < endsAt) {
      const count = gates === "asked" ? heard : gates;
      const isDirect = count === 0;
      const ledger = env.KEY_LEDGER.getByName(isDirect ? keyId : keyId + "~" + (number % count));
      const now = Date.now();
      const ids = Array.from({ length: perCall }, () => "tr_" + keyId + timeText(now) + text(12));
      const reservations = ids.map((traceId) => ({
        traceId, attempt: 0, boundNanoUsd: cost * 2, boundTokens: 10, expiresAt: now + 60_000,
        provider: "openai", model: "m", terms, isolate: name,
      }));
      const rowOf = (id) => ({
        id, status: "ok", route: "flow/hot", costNanoUsd: cost, env: "production", tokens: 10, unadmittedNanoUsd: 0,
        trace: JSON.stringify({ id, env: "production", created_at: new Date(now).toISOString() }),
        attempts: [{ attempt: 0, provider: "openai", model: "m", winner: true, outcome: "ok", costNanoUsd: cost, basis: "", source: "reported" }],
        startedAt: now, terms,
      });
      try {
        const answers = await (isDirect ? ledger.reserveAll(reservations) : ledger.gateReserve(reservations));
        const rows = ids.filter((_, at) => answers[at].ok).map(rowOf);
        counts.refused += ids.length - rows.length;
        if (rows.length === 0) continue;
        const settled = await (isDirect ? ledger.settle(rows, name) : ledger.gateSettle(rows, name));
        heard = settled.gates ?? 0;
        counts.most = Math.max(counts.most, heard);
        counts.settled += rows.length;
      } catch (error) {
        counts.failed++;
      }
    }
  };
  await Promise.all(Array.from({ length: isolates }, (_, number) => isolate(number)));
  return { ...counts, audit: await env.KEY_LEDGER.getByName(keyId).audit() };
}

export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname !== "/hot") return app.fetch(request, env, context);
    return Response.json(await drive(env, await request.json()));
  },
};
`;

interface Load {
  /** How many, or as many as the ledger asks for. */
  readonly gates: number | "asked";
  readonly perCall: number;
  readonly forMs: number;
  readonly isolates?: number;
  /** Gates that isolates know of when they begin. */
  readonly heard?: number;
}

const LOADS: readonly Omit<Load, "forMs">[] = [
  { gates: 0, perCall: 1 },
  { gates: "asked", perCall: 1 },
  { gates: 8, perCall: 1 },
  { gates: 0, perCall: 4 },
  { gates: "asked", perCall: 4 },
  { gates: 8, perCall: 4 },
  { gates: 0, perCall: 100, isolates: 8 },
];

interface Result {
  readonly settled: number;
  readonly refused: number;
  readonly failed: number;
  /** Gates that the ledger has asked for. */
  readonly most: number;
  readonly audit: {
    readonly isConsistent: boolean;
    readonly openReservations: number;
    readonly total: { readonly spentNanoUsd: number; readonly requests: number };
  };
}

export async function compareHotKey(): Promise<void> {
  const before = workerdChildren();
  const worker = await startWorker({ vars: {}, front: FRONT });
  const pid = workerdChildren().find((each) => !before.includes(each)) ?? null;
  const drive = async (load: Load, keyId: string, limitUsd: number): Promise<Result> => {
    const body = JSON.stringify({ isolates: ISOLATES, heard: 0, ...load, keyId, limitUsd, cost: COST_NANO_USD });
    return (await (await worker.fetch("/hot", { method: "POST", body })).json()) as Result;
  };
  console.log(`\nOne key with a budget, ${ISOLATES} isolates with a call each under way, ${SECONDS} s`);
  for (const load of LOADS) {
    const { gates, perCall } = load;
    const { id: keyId } = await worker.createKey();
    const { most: heard } = await drive({ ...load, forMs: WARM_UP_MS }, keyId, 1_000);
    const cpuBefore = cpuMs(pid);
    const { settled, failed, most, audit } = await drive({ ...load, heard, forMs: SECONDS * 1_000 }, keyId, 1_000);
    const perCpuSecond = Math.round(settled / ((cpuMs(pid) - cpuBefore) / 1_000));
    const books = `${audit.total.requests} booked, ${audit.openReservations} held, consistent: ${audit.isConsistent}`;
    const what = `${gates === 0 ? "directly" : `gates: ${gates}`}, ${perCall} a call`.padEnd(26);
    const pace = `${Math.round(settled / SECONDS)} settled/s, ${perCpuSecond} a second of CPU`;
    console.log(`${what}${pace}, ${failed} failed, ${most} gates asked for; ${books}`);
  }
  const limitUsd = 0.002;
  const { settled, refused, audit } = await drive(
    { gates: 8, perCall: 1, forMs: SECONDS * 1_000 },
    (await worker.createKey()).id,
    limitUsd,
  );
  const over = Math.max(0, audit.total.spentNanoUsd - limitUsd * 1e9);
  console.log(
    `a budget of $${limitUsd} through 8 gates: ${settled} settled, ${refused} refused, ${over} nano-USD over`,
  );
  await worker.stop();
}
