/** One run under load: the Worker, two providers, a route of its own, and what an operator can see meanwhile. */
import { cpus } from "node:os";
import type { Trace } from "../../src/traces/schema.ts";
import { cpuMs, workerdChildren } from "../bench/measure.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";
import { attemptsOf, type BreakerSight, readTraces, type TimedAttempt } from "./attempts.ts";
import { type Load, quantile, REQUESTS_PER_KEY, type Shot, startLoad } from "./load.ts";
import { type Providers, startProviders } from "./provider.ts";

/** Provider ids of the two targets, in the order of the policy and of the providers' process. */
export const TARGETS = ["openai", "groq"] as const;

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface SoakRig {
  readonly worker: TestWorker;
  readonly providers: Providers;
  stop(): Promise<void>;
}

/** One isolate, and the providers in another process. */
export async function startSoakRig(): Promise<SoakRig> {
  const providers = await startProviders(TARGETS.length);
  const [openai = "", groq = ""] = providers.baseUrls;
  const vars = {
    ...{ OPENAI_API_KEY: "sk-soak", OPENAI_BASE_URL: openai },
    ...{ GROQ_API_KEY: "sk-soak", GROQ_BASE_URL: groq },
  };
  const worker = await startWorker({ vars });
  return {
    ...{ worker, providers },
    async stop() {
      await worker.stop();
      providers.stop();
    },
  };
}

export interface Finished {
  readonly shots: readonly Shot[];
  readonly traces: readonly Trace[];
  /** By the time they began. */
  readonly attempts: readonly TimedAttempt[];
  readonly sights: readonly BreakerSight[];
}

export interface Run {
  readonly load: Load;
  /** Ends the load, prints what the run cost, and reads what the router says about it. */
  finish(): Promise<Finished>;
}

export interface RunSpec {
  /** Of the route and its models: no run begins with the health of another. */
  readonly name: string;
  readonly policy: object;
  readonly requestsPerSecond: number;
  /** No run takes longer. */
  readonly longestMs: number;
}

export async function startRun({ worker }: SoakRig, spec: RunSpec): Promise<Run> {
  const { name, policy, requestsPerSecond, longestMs } = spec;
  const model = `${name}-model`;
  await worker.putRoute("production", name, { ...policy, targets: TARGETS.map((provider) => ({ provider, model })) });
  const keyCount = Math.ceil((longestMs * requestsPerSecond) / 1_000 / REQUESTS_PER_KEY);
  const created = await Promise.all(Array.from({ length: keyCount }, () => worker.createKey()));
  const keys = created.map(({ key }) => key);
  const watch = watchBreakers(worker, model);
  const costSoFar = startMeter();
  const load = startLoad({ url: worker.url, model: `flow/${name}`, keys, requestsPerSecond });
  return {
    load,
    async finish() {
      const cost = costSoFar();
      await load.stop();
      await watch.stop();
      const { shots } = load;
      const late = [0.5, 0.99, 1].map((q) =>
        quantile(
          shots.map(({ lateMs }) => lateMs),
          q,
        ).toFixed(0),
      );
      console.log(
        `${name}: ${shots.length} requests; ${cost}; the load itself was late by ${late.join("/")} ms (p50/p99/max)`,
      );
      const traces = await readTraces(worker, keys, shots.length);
      return { shots, traces, attempts: attemptsOf(traces), sights: watch.sights };
    },
  };
}

interface AdminProvider {
  readonly id: string;
  readonly targets: readonly {
    readonly model: string;
    readonly state: string;
    readonly open_until: string | null;
    readonly ejections: number | null;
  }[];
}

/** Looks at the shared breakers as an operator would, five times a second. */
function watchBreakers(worker: TestWorker, wanted: string): { readonly sights: BreakerSight[]; stop(): Promise<void> } {
  const sights: BreakerSight[] = [];
  let isOver = false;
  const look = async (): Promise<void> => {
    const response = await worker.admin("/admin/providers?limit=1000");
    const { data } = (await response.json()) as { data: readonly AdminProvider[] };
    const at = Date.now();
    for (const { id, targets } of data) {
      for (const { model, state, open_until, ejections } of targets) {
        if (model !== wanted) continue;
        const openUntil = open_until === null ? 0 : Date.parse(open_until);
        sights.push({ at, provider: id, state, openUntil, ejections: ejections ?? 0 });
      }
    }
  };
  const watching = (async () => {
    for (; !isOver; await pause(200)) await look();
  })();
  return {
    sights,
    async stop() {
      isOver = true;
      await watching;
    },
  };
}

/** Processor time, in and beside the Worker: a machine that has none left measures itself. */
export function startMeter(): () => string {
  const [pid = null] = workerdChildren();
  const machine = (): { readonly idle: number; readonly all: number } => {
    const times = cpus().map((cpu) => cpu.times);
    const all = times.flatMap((each) => Object.values(each)).reduce((sum, ms) => sum + ms, 0);
    return { idle: times.reduce((sum, { idle }) => sum + idle, 0), all };
  };
  const [startedAt, ownMs, before] = [performance.now(), cpuMs(pid), machine()];
  return () => {
    const now = machine();
    const busy = 1 - (now.idle - before.idle) / (now.all - before.all);
    const own = (cpuMs(pid) - ownMs) / (performance.now() - startedAt);
    return `workerd used ${percent(own)} of one processor, the machine was ${percent(busy)} busy`;
  };
}

export const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
