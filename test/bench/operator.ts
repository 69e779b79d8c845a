/**
 * What an operator's questions cost as keys multiply, and what an answer costs while it waits for an approval.
 *
 * The same number of traces, of few keys and of many, each in a workerd of its own: what it takes to answer must not
 * depend on how many keys there are. Then streams whose tool call is held until its time is up.
 */
import { Agent, request } from "node:http";
import { startWorker, type TestWorker } from "../support/worker.ts";
import { makeTrace } from "../unit/trace-index/fakes.ts";
import { cpuMs, median, workerdChildren } from "./measure.ts";

const TRACES = 20_000;
const KEYS = [10, 1_000] as const;
const BATCH = 200;
const ASKED = 30;
const QUESTIONS = [
  "/admin/spend?group_by=route",
  "/admin/spend?group_by=app",
  "/admin/traces?limit=100",
  "/admin/traces?limit=100&status=error",
  "/admin/routes/production/best-reasoning/evidence?version=1",
] as const;

const HELD = 200;
const HELD_MS = 20_000;

async function filled(keys: number): Promise<TestWorker> {
  const worker = await startWorker();
  await worker.putRoute("production", "best-reasoning", { targets: [{ provider: "sandbox", model: "echo" }] });
  // An environment is asked for what it has from its first key on.
  await worker.createKey();
  const now = Date.now();
  const day = new Date(now).toISOString().slice(0, 10);
  const index = worker.bindings().TRAIL_INDEX.getByName(`production:${day}`);
  const perKey = TRACES / keys;
  for (let key = 0; key < keys; key++) {
    const keyId = `k${String(key).padStart(11, "0")}`;
    const rows = Array.from({ length: perKey }, (_, seq) => {
      // Of today, and not all at once.
      const at = Math.max(Date.parse(day), now - ((seq * keys + key) % 60_000));
      const status = seq % 10 === 0 ? "error" : "ok";
      return { seq, trace: JSON.stringify(makeTrace({ key_id: keyId, at, status })), unadmittedNanoUsd: 0 };
    });
    for (let from = 0; from < rows.length; from += BATCH) {
      await index.ingest({ keyId, rows: rows.slice(from, from + BATCH) });
    }
  }
  const { data } = (await (await worker.admin("/admin/spend?group_by=route")).json()) as {
    data: { requests: number }[];
  };
  if (data[0]?.requests !== TRACES) throw new Error("The index does not have all the traces.");
  return worker;
}

async function tookMs(worker: TestWorker, path: string): Promise<number> {
  const startedAt = performance.now();
  const response = await worker.admin(path);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${text}`);
  return performance.now() - startedAt;
}

async function compareQuestions(): Promise<void> {
  const workers = await Promise.all(KEYS.map(filled));
  try {
    console.log(`\nMedians of ${ASKED} questions; ${TRACES} traces of one day.\n`);
    const heads = KEYS.map((keys) => `${keys} keys, ms`.padStart(16)).join("");
    console.log(`${"".padEnd(62)}${heads}${"ratio".padStart(10)}`);
    for (const path of QUESTIONS) {
      const times = workers.map((): number[] => []);
      for (let asked = 0; asked < ASKED; asked++) {
        for (const [side, worker] of workers.entries()) times[side]?.push(await tookMs(worker, path));
      }
      const [few = Number.NaN, many = Number.NaN] = times.map(median);
      const cells = [few, many].map((ms) => ms.toPrecision(3).padStart(16)).join("");
      console.log(path.padEnd(62) + cells + (many / few).toFixed(2).padStart(10));
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
  }
}

/** A stream whose tool call is held; resolves with its text when it ends. `onHeld`: once it waits. */
function hold(worker: TestWorker, key: string, agent: Agent, onHeld: () => void): Promise<string> {
  const body = JSON.stringify({
    model: "flow/held",
    stream: true,
    messages: [{ role: "user", content: "Look it up." }],
    tools: [{ type: "function", function: { name: "look_up", parameters: { type: "object" } } }],
  });
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json", "content-length": body.length };
  return new Promise((resolve, reject) => {
    const call = request(`${worker.url}/v1/chat/completions`, { method: "POST", agent, headers }, (response) => {
      let text = "";
      onHeld();
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      response.on("error", reject).on("end", () => resolve(text));
    });
    call.on("error", reject).end(body);
  });
}

async function measureHeld(): Promise<void> {
  const before = workerdChildren();
  const worker = await startWorker();
  const pid = workerdChildren().find((each) => !before.includes(each)) ?? null;
  const agent = new Agent({ maxSockets: HELD });
  try {
    await worker.putRoute("production", "held", {
      targets: [{ provider: "sandbox", model: "echo", params: { tool_call: true } }],
      tools: { require_approval: true, wait_ms: HELD_MS },
    });
    const { key } = await worker.createKey();
    let held = 0;
    const answers = Array.from({ length: HELD }, () => hold(worker, key, agent, () => held++));
    while (held < HELD) await new Promise((resolve) => setTimeout(resolve, 20));
    // What it cost to begin them is the request's own.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const [cpuBefore, startedAt] = [cpuMs(pid), performance.now()];
    const waitedMs = HELD_MS - 3_000;
    await new Promise((resolve) => setTimeout(resolve, waitedMs));
    const usedMs = cpuMs(pid) - cpuBefore;
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
    const pending = (await Promise.all(answers)).filter((text) => text.includes('"pending"')).length;
    console.log(
      `\n${HELD} held streams used ${usedMs} ms of CPU in all while they waited ${seconds} s; ${pending} ended as pending.`,
    );
  } finally {
    agent.destroy();
    await worker.stop();
  }
}

export async function compareOperator(): Promise<void> {
  await compareQuestions();
  await measureHeld();
}
