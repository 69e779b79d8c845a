/** What `GET /admin/metrics` takes for 1,000 series and for all that it shows, with 20,000 traces of a day behind them. */
import { startWorker, type TestWorker } from "../support/worker.ts";
import { makeTrace } from "../unit/trace-index/fakes.ts";
import { median } from "./measure.ts";

const TRACES = 20_000;
const BATCH = 500;
const ASKED = 30;
/** Each route with one target has some thirty series. */
const ROUTES = [30, 290, 1_000] as const;

async function filled(routes: number): Promise<TestWorker> {
  const worker = await startWorker();
  await worker.putRoute("production", "best-reasoning", { targets: [{ provider: "sandbox", model: "echo" }] });
  await worker.createKey();
  const now = Date.now();
  const day = new Date(now).toISOString().slice(0, 10);
  const index = (await worker.bindings()).TRAIL_INDEX.getByName(`production:${day}`);
  const keyId = "k00000000000";
  const rows = Array.from({ length: TRACES }, (_, seq) => {
    const at = Math.max(Date.parse(day), now - (seq % 60_000));
    const trace = makeTrace({ key_id: keyId, at, route: `flow/route-${seq % routes}` });
    return { seq, trace: JSON.stringify(trace), unadmittedNanoUsd: 0 };
  });
  for (let from = 0; from < rows.length; from += BATCH) {
    await index.ingest({ keyId, rows: rows.slice(from, from + BATCH) });
  }
  return worker;
}

export async function compareMetrics(): Promise<void> {
  console.log(`\nGET /admin/metrics, medians of ${ASKED}; ${TRACES} traces of one day.\n`);
  for (const routes of ROUTES) {
    const worker = await filled(routes);
    try {
      const times: number[] = [];
      let series = 0;
      for (let asked = 0; asked < ASKED; asked++) {
        const startedAt = performance.now();
        const text = await (await worker.admin("/admin/metrics")).text();
        times.push(performance.now() - startedAt);
        series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
      }
      const slowest = Math.max(...times).toFixed(0);
      console.log(`${routes} routes, ${series} series: ${median(times).toFixed(0)} ms, at most ${slowest} ms`);
    } finally {
      await worker.stop();
    }
  }
}
