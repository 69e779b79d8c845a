/**
 * What hedging gains, and what it costs: two models of a provider that answers most calls soon and a few very late,
 * behind a latency budget. A route that hedges and one that does not are asked in turns, at a fixed rate and whatever
 * became of the requests before, so that waiting for a late answer does not thin out the load.
 */
import { Agent, request } from "node:http";
import type { TestWorker } from "../support/worker.ts";
import { quantile } from "./measure.ts";
import { BIMODAL } from "./upstream.ts";

const BUDGET_MS = 1_800;
const REQUESTS_PER_SECOND = 100;
const WARM_UP = 300;
const REQUESTS = 1_500;

const SIDES = [
  { route: "unhedged", name: "without hedging", hedge: false },
  { route: "hedged", name: "with hedging", hedge: true },
] as const;

interface Answer {
  readonly tookMs: number;
  readonly status: number;
  /** Calls to the provider. */
  readonly attempts: number;
  readonly hedge: "won" | "lost" | undefined;
  readonly isWithinBudget: boolean;
}

/** Both routes have models of their own: what one learns of its targets must not help the other. */
async function prepare(worker: TestWorker): Promise<void> {
  for (const { route, hedge } of SIDES) {
    const targets = ["1", "2"].map((number) => ({ provider: "openai", model: `${BIMODAL.model}-${route}-${number}` }));
    const latency = { budget_ms: BUDGET_MS, mode: "soft", hedge };
    await worker.putRoute("production", route, { targets, latency });
  }
}

function ask(url: string, key: string, agent: Agent, route: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const body = JSON.stringify({ model: `flow/${route}`, messages: [{ role: "user", content: "hi" }] });
    const headers = {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      "content-length": body.length,
    };
    const sentAt = performance.now();
    const call = request(`${url}/v1/chat/completions`, { method: "POST", agent, headers }, (response) => {
      response.on("error", reject);
      response.on("end", () => {
        const seen = response.headers;
        const hedge = seen["x-flowlayer-hedge"];
        resolve({
          tookMs: performance.now() - sentAt,
          status: response.statusCode ?? 0,
          attempts: Number(seen["x-flowlayer-attempts"]),
          hedge: hedge === "won" || hedge === "lost" ? hedge : undefined,
          isWithinBudget: seen["x-flowlayer-latency-budget-met"] === "true",
        });
      });
      response.resume();
    });
    call.on("error", reject);
    call.end(body);
  });
}

/** Resolves to the answers of each side, without those of the warm-up. */
async function measure(url: string, key: string): Promise<Answer[][]> {
  const agent = new Agent({ keepAlive: true });
  const total = WARM_UP + REQUESTS;
  const calls = SIDES.map((): Promise<Answer>[] => []);
  const startedAt = performance.now();
  for (let index = 0; index < total; index++) {
    for (const [side, { route }] of SIDES.entries()) {
      const dueMs = ((index + side / SIDES.length) * 1_000) / REQUESTS_PER_SECOND;
      const waitMs = startedAt + dueMs - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      calls[side]?.push(ask(url, key, agent, route));
    }
  }
  const answers = await Promise.all(calls.map((ofSide) => Promise.all(ofSide)));
  agent.destroy();
  return answers.map((ofSide) => ofSide.slice(WARM_UP));
}

function summary(answers: readonly Answer[]): readonly [string, string][] {
  const sorted = answers.map(({ tookMs }) => tookMs).toSorted((left, right) => left - right);
  const count = (is: (answer: Answer) => boolean): number => answers.filter(is).length;
  const share = (part: number): string => `${((part / answers.length) * 100).toFixed(2)} %`;
  const calls = answers.reduce((sum, { attempts }) => sum + attempts, 0);
  const latency = (q: number): string => `${quantile(sorted, q).toFixed(0)} ms`;
  return [
    ["latency p50", latency(0.5)],
    ["latency p95", latency(0.95)],
    ["latency p99", latency(0.99)],
    ["latency max", latency(1)],
    [`within the budget of ${BUDGET_MS} ms`, share(count(({ isWithinBudget }) => isWithinBudget))],
    ["extra calls", share(calls - answers.length)],
    ["hedges won / lost", `${count(({ hedge }) => hedge === "won")} / ${count(({ hedge }) => hedge === "lost")}`],
    ["not answered", String(count(({ status }) => status !== 200))],
  ];
}

export async function compareHedging(worker: TestWorker, key: string): Promise<void> {
  await prepare(worker);
  const columns = (await measure(worker.url, key)).map(summary);
  const { soonMs, lateMs, lateShare } = BIMODAL;
  console.log(
    `\n${REQUESTS} requests a side at ${REQUESTS_PER_SECOND} a second after ${WARM_UP} to warm up; the provider ` +
      `answers ${lateShare * 100} % after ${lateMs} ms, the rest after ${soonMs} ms.\n`,
  );
  console.log("".padEnd(44) + SIDES.map(({ name }) => name.padStart(20)).join(""));
  for (const [row, [what]] of (columns[0] ?? []).entries()) {
    console.log(what.padEnd(44) + columns.map((column) => (column[row]?.[1] ?? "").padStart(20)).join(""));
  }
}
