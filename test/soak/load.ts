/**
 * Open-loop load: requests leave when their time has come, whatever became of those before, as from many clients who
 * do not know each other. What each got is judged as an SDK would judge it, and by its text.
 */
import { Agent, type IncomingMessage, request } from "node:http";
import { collect } from "../support/sse.ts";
import { answerTo } from "./provider.ts";

/** `ok`: the right answer, whole. `wrong`: another text, or a cut one that looks whole. `broken`: no HTTP answer. */
export type Verdict = "ok" | "wrong" | "interrupted" | "error" | "broken";

export interface Shot {
  /** Epoch ms at which it left. */
  readonly sentAt: number;
  /** How much later than planned it left, milliseconds: the generator's own delay. */
  readonly lateMs: number;
  /** From the first byte sent to the last byte received. */
  readonly tookMs: number;
  /** 0 when there was no response head. */
  readonly status: number;
  readonly verdict: Verdict;
  /** Of an error body. */
  readonly code: string;
  readonly retryAfter: string | undefined;
  /** Who answered. */
  readonly provider: string | undefined;
  readonly isStream: boolean;
}

export interface LoadSpec {
  readonly url: string;
  readonly model: string;
  /** Each is used for `REQUESTS_PER_KEY` requests: a ledger keeps a limited number of traces. */
  readonly keys: readonly string[];
  readonly requestsPerSecond: number;
}

export interface Load {
  readonly shots: readonly Shot[];
  /** Ends the load and waits for what is under way. */
  stop(): Promise<void>;
}

export const REQUESTS_PER_KEY = 4_000;
const CLIENT_LIMIT_MS = 20_000;
const TICK_MS = 2;

interface Call {
  readonly spec: LoadSpec;
  readonly agent: Agent;
  readonly index: number;
  readonly lateMs: number;
}

interface Answer {
  readonly response: IncomingMessage;
  readonly text: string;
}

function exchange(call: Call, body: string, headers: Readonly<Record<string, string | number>>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { method: "POST", agent: call.agent, headers, timeout: CLIENT_LIMIT_MS };
    const sent = request(`${call.spec.url}/v1/chat/completions`, options, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => {
        text += piece;
      });
      response.on("error", reject);
      response.on("end", () => resolve({ response, text }));
    });
    sent.on("timeout", () => sent.destroy(new Error("No answer in time.")));
    sent.on("error", reject);
    sent.end(body);
  });
}

function judge(text: string, wanted: string, isStream: boolean): Verdict {
  if (!isStream) {
    const [choice] = (JSON.parse(text) as { choices: { message: { content: string }; finish_reason: string }[] })
      .choices;
    return choice?.message.content === wanted && choice.finish_reason === "stop" ? "ok" : "wrong";
  }
  const seen = collect(text);
  if (seen.error !== null) return seen.isDone || !wanted.startsWith(seen.text) ? "wrong" : "interrupted";
  return seen.isDone && seen.text === wanted && seen.finishReason === "stop" ? "ok" : "wrong";
}

async function shoot(call: Call): Promise<Shot> {
  const { spec, index, lateMs } = call;
  const isStream = index % 2 === 1;
  const prompt = `Please tell me about number${index}`;
  const body = JSON.stringify({ model: spec.model, messages: [{ role: "user", content: prompt }], stream: isStream });
  const key = spec.keys[Math.floor(index / REQUESTS_PER_KEY) % spec.keys.length];
  const headers = {
    authorization: `Bearer ${key}`,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  };
  const [sentAt, startedAt] = [Date.now(), performance.now()];
  const known = { sentAt, lateMs, isStream };
  try {
    const { response, text } = await exchange(call, body, headers);
    const tookMs = performance.now() - startedAt;
    const status = response.statusCode ?? 0;
    const provider = response.headers["x-flowlayer-provider"] as string | undefined;
    const { "retry-after": retryAfter } = response.headers;
    if (status === 200) {
      const verdict = judge(text, answerTo(prompt), isStream);
      return { ...known, tookMs, status, verdict, code: "", retryAfter, provider };
    }
    const { code } = (JSON.parse(text) as { error: { code: string } }).error;
    return { ...known, tookMs, status, verdict: "error", code, retryAfter, provider };
  } catch (error) {
    const code = error instanceof Error ? error.message : String(error);
    const tookMs = performance.now() - startedAt;
    return { ...known, tookMs, status: 0, verdict: "broken", code, retryAfter: undefined, provider: undefined };
  }
}

/** Streams and whole answers take turns. */
export function startLoad(spec: LoadSpec): Load {
  const agent = new Agent({ keepAlive: true });
  const shots: Shot[] = [];
  const underWay = new Set<Promise<void>>();
  const startedAt = performance.now();
  let index = 0;
  const fire = (): void => {
    const passedMs = performance.now() - startedAt;
    for (; (index * 1_000) / spec.requestsPerSecond <= passedMs; index++) {
      const lateMs = passedMs - (index * 1_000) / spec.requestsPerSecond;
      const done: Promise<void> = shoot({ spec, agent, index, lateMs }).then((shot) => {
        shots.push(shot);
        underWay.delete(done);
      });
      underWay.add(done);
    }
  };
  const timer = setInterval(fire, TICK_MS);
  return {
    shots,
    async stop() {
      clearInterval(timer);
      await Promise.all(underWay);
      agent.destroy();
    },
  };
}

/** The value below which the share `q` of `values` lies; `NaN` without one. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

/** How often each value comes, most frequent first, as `value: count`. */
export function tally(values: Iterable<string | number>): string {
  const counts = new Map<string | number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const sorted = [...counts].sort(([, left], [, right]) => right - left);
  return sorted.map(([value, count]) => `${value}: ${count}`).join(", ") || "none";
}

/** `p50/p95/p99/max` in whole milliseconds. */
export function latencies(shots: readonly Shot[]): string {
  const took = shots.map(({ tookMs }) => tookMs);
  return [0.5, 0.95, 0.99, 1].map((q) => quantile(took, q).toFixed(0)).join("/");
}
