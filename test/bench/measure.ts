/** What the bench measures: requests, streams, and what a process costs. */
import { readdirSync, readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { CHUNKS, preciseNow } from "./upstream.ts";

/** Linux counts processor time in ticks, and USER_HZ is 100 on every platform Node runs on. */
const TICK_MS = 10;
const PAGE_BYTES = 4096;

/** Where a door is, what it wants in a body, and how a stream ends. */
export interface Door {
  readonly path: string;
  readonly body: object;
  readonly end: string;
}

const TEXT = "Compare these model routes for a code review agent. ".repeat(20);
const CHAT_PATH = "/v1/chat/completions";
const CHAT_END = "data: [DONE]\n\n";
export const MESSAGES_DOOR: Door = {
  path: "/v1/messages",
  body: { max_tokens: 1_000, messages: [{ role: "user", content: TEXT }] },
  end: 'data: {"type":"message_stop"}\n\n',
};
export const RESPONSES_DOOR: Door = { path: "/v1/responses", body: { input: TEXT, store: false }, end: "}}\n\n" };
export const STORED_DOOR: Door = { ...RESPONSES_DOOR, body: { input: TEXT } };

export interface Side {
  readonly name: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The route that is asked. Default `bench`. */
  readonly route?: string;
  /** Default `true`. `false`: usage is not asked for, so the router has to read the stream to take it out. */
  readonly usage?: boolean;
  /** The door that is asked. Default chat. */
  readonly door?: Door;
  /** Its workerd, or `null` where there is no /proc. */
  readonly pid: number | null;
}

/** Children of this process that are a workerd; empty where there is no /proc. */
export function workerdChildren(): number[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const [, command, parent] = /^\d+ \((.*)\) \S+ (\d+)/.exec(readFileSync(`/proc/${name}/stat`, "utf8")) ?? [];
        return command === "workerd" && Number(parent) === process.pid;
      } catch {
        // The process has ended since it was listed.
        return false;
      }
    })
    .map(Number);
}

/** Processor time used so far, user and system, milliseconds. */
export function cpuMs(pid: number | null): number {
  if (pid === null) return Number.NaN;
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  // Fields 14 and 15 of proc(5), counted from the one behind the command.
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

export function residentMiB(pid: number | null): number {
  if (pid === null) return Number.NaN;
  return (Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * PAGE_BYTES) / 1024 / 1024;
}

/** One request; its whole body, and every piece with the time it came. */
function post(side: Side, agent: Agent, body: string, onPiece?: (text: string, at: number) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { ...side.headers, "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const call = request(
      `${side.url}${side.door?.path ?? CHAT_PATH}`,
      { method: "POST", agent, headers },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (piece: string) => {
          onPiece?.(piece, preciseNow());
          text += piece;
        });
        response.on("error", reject);
        response.on("end", () => {
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`${side.name} answered ${response.statusCode}: ${text.slice(0, 300)}`));
        });
      },
    );
    call.on("error", reject);
    call.end(body);
  });
}

function bodyOf({ route = "bench", usage = true, door }: Side, stream: boolean): string {
  const model = `flow/${route}`;
  if (door !== undefined) return JSON.stringify({ model, ...door.body, stream });
  const options = stream ? { stream: true, stream_options: { include_usage: usage } } : {};
  return JSON.stringify({ model, messages: [{ role: "user", content: TEXT }], ...options });
}

/** The value below which the share `q` of `sorted` lies. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number =>
  quantile(
    values.toSorted((left, right) => left - right),
    0.5,
  );

export interface RequestResult {
  readonly cpuMsPerRequest: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
}

/** Work that goes on behind the answers, settlements above all, belongs to their cost. */
const drain = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 300));

export async function measureRequests(side: Side, connections: number, durationMs: number): Promise<RequestResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const body = bodyOf(side, false);
  const latencies: number[] = [];
  const [cpuBefore, startedAt] = [cpuMs(side.pid), performance.now()];
  const client = async (): Promise<void> => {
    while (performance.now() - startedAt < durationMs) {
      const sentAt = performance.now();
      await post(side, agent, body);
      latencies.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  const seconds = (performance.now() - startedAt) / 1000;
  await drain();
  agent.destroy();
  latencies.sort((left, right) => left - right);
  return {
    cpuMsPerRequest: (cpuMs(side.pid) - cpuBefore) / latencies.length,
    requestsPerSecond: latencies.length / seconds,
    p50Ms: quantile(latencies, 0.5),
  };
}

export interface StreamResult {
  readonly cpuMsPerStream: number;
  /** From the provider's write to the client's read. */
  readonly delayP50Ms: number;
  readonly delayP99Ms: number;
}

export async function measureStreams(side: Side, streams: number): Promise<StreamResult> {
  const agent = new Agent({ keepAlive: false, maxSockets: streams });
  const body = bodyOf(side, true);
  const delays: number[] = [];
  const cpuBefore = cpuMs(side.pid);
  const one = async (): Promise<void> => {
    const onPiece = (text: string, at: number): void => {
      for (const [, stamp] of text.matchAll(/"(?:content|text|delta)":"(\d+\.\d+)"/g)) delays.push(at - Number(stamp));
    };
    const text = await post(side, agent, body, onPiece);
    if (!text.endsWith(side.door?.end ?? CHAT_END)) throw new Error(`${side.name} cut a stream.`);
  };
  await Promise.all(Array.from({ length: streams }, one));
  await drain();
  agent.destroy();
  // A stamp cut by a packet boundary is not found; more than a few missing means text was lost.
  if (delays.length < streams * CHUNKS * 0.99) throw new Error(`${side.name} lost chunks.`);
  delays.sort((left, right) => left - right);
  return {
    cpuMsPerStream: (cpuMs(side.pid) - cpuBefore) / streams,
    delayP50Ms: quantile(delays, 0.5),
    delayP99Ms: quantile(delays, 0.99),
  };
}
