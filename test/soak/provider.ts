/**
 * The providers of the soak runs, in a process of their own so that neither the load nor the router waits for them.
 *
 * Each provider has a port, which it closes when it refuses: a call then meets no listener, as with a host that is
 * down. An answer repeats the last word of the prompt, so that a client can tell whose answer it got.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { randomFrom } from "../support/random.ts";
import { chunks, completion } from "../support/upstream.ts";

/** What a provider does with calls from now on. */
export interface Behaviour {
  /** Nothing listens, and connections that were open are reset. */
  readonly refuses?: boolean;
  /** Shares of the calls, 0..1: answered 500, and never answered. Default 0. */
  readonly failing?: number;
  readonly hanging?: number;
}

export interface ProviderReport {
  /** Epoch ms at which each call was read, in order. */
  readonly calls: readonly number[];
  /** How long each call that was never answered stayed open, milliseconds; `null` while it does. */
  readonly hangs: readonly (number | null)[];
}

type Command = { readonly id: number } & (
  | { readonly target: number; readonly behaviour: Behaviour }
  | { readonly target: number; readonly behaviour: null }
);
type Reply = { readonly ports: readonly number[] } | { readonly id: number; readonly report: ProviderReport | null };

export interface Providers {
  readonly baseUrls: readonly string[];
  /** Resolves when it is so. */
  set(target: number, behaviour: Behaviour): Promise<void>;
  report(target: number): Promise<ProviderReport>;
  stop(): void;
}

/** Before a whole answer, and between the events of a stream: a small model near by. */
const ANSWER_MS = 10;
const GAP_MS = 5;
const SEED = 20_261_122;
/** Below the ports the system gives to outgoing connections, so that a closed one stays free and nothing meets itself. */
const PORTS = { from: 20_000, count: 12_000 };

/** What every answer to `prompt` says. */
export function answerTo(prompt: string): string {
  return `You asked about ${prompt.split(" ").at(-1) ?? ""} today.`;
}

class Provider {
  readonly #server: Server = createServer((request, response) => this.#take(request, response));
  readonly #sockets = new Set<Socket>();
  readonly #random: () => number;
  readonly #calls: number[] = [];
  readonly #hangs: { readonly startedAt: number; endedAt: number | null }[] = [];
  #behaviour: Behaviour = {};
  port = 0;

  constructor(index: number) {
    this.#random = randomFrom(SEED + index);
    this.#server.keepAliveTimeout = 120_000;
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  async listen(): Promise<void> {
    for (;;) {
      const port = this.port === 0 ? PORTS.from + Math.floor(Math.random() * PORTS.count) : this.port;
      const isListening = await new Promise<boolean>((resolve) => {
        const failed = (): void => resolve(false);
        this.#server.once("error", failed);
        this.#server.listen(port, "127.0.0.1", () => {
          this.#server.off("error", failed);
          resolve(true);
        });
      });
      if (isListening) {
        this.port = port;
        return;
      }
    }
  }

  async become(behaviour: Behaviour): Promise<void> {
    const [was, is] = [this.#behaviour.refuses === true, behaviour.refuses === true];
    this.#behaviour = behaviour;
    if (is && !was) {
      this.#server.close();
      for (const socket of this.#sockets) socket.resetAndDestroy();
    }
    if (was && !is) await this.listen();
  }

  report(): ProviderReport {
    const hangs = this.#hangs.map(({ startedAt, endedAt }) => (endedAt === null ? null : endedAt - startedAt));
    return { calls: this.#calls, hangs };
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const parts: Buffer[] = [];
    request.on("error", () => {});
    response.on("error", () => {});
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => this.#answer(Buffer.concat(parts).toString("utf8"), response));
  }

  #answer(body: string, response: ServerResponse): void {
    this.#calls.push(Date.now());
    const { failing = 0, hanging = 0 } = this.#behaviour;
    const dice = this.#random();
    if (dice < failing) {
      response.writeHead(500, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: "The server had an error.", type: "server_error" } }));
      return;
    }
    if (dice < failing + hanging) {
      const hang = { startedAt: Date.now(), endedAt: null as number | null };
      this.#hangs.push(hang);
      response.once("close", () => {
        hang.endedAt = Date.now();
      });
      return;
    }
    const { stream, messages } = JSON.parse(body) as { stream?: boolean; messages: { content: string }[] };
    const text = answerTo(messages.at(-1)?.content ?? "");
    if (stream === true) playStream(response, chunks(text));
    else {
      setTimeout(() => {
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(completion({ text })));
      }, ANSWER_MS);
    }
  }
}

function playStream(response: ServerResponse, events: readonly string[]): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  let sent = 0;
  const next = (): void => {
    response.write(events[sent]);
    sent += 1;
    if (sent === events.length) response.end();
    else setTimeout(next, GAP_MS);
  };
  setTimeout(next, ANSWER_MS);
}

/** Runs in the child process. */
async function serve(count: number): Promise<void> {
  const providers = Array.from({ length: count }, (_, index) => new Provider(index));
  for (const provider of providers) await provider.listen();
  const reply = (message: Reply): void => void process.send?.(message);
  process.on("message", async ({ id, target, behaviour }: Command) => {
    if (behaviour !== null) await providers[target]?.become(behaviour);
    reply({ id, report: behaviour === null ? (providers[target]?.report() ?? null) : null });
  });
  process.on("disconnect", () => process.exit());
  reply({ ports: providers.map(({ port }) => port) });
}

/** Starts `count` providers, all of them well. */
export async function startProviders(count: number): Promise<Providers> {
  const child: ChildProcess = fork(import.meta.filename, [String(count)], { execArgv: ["--no-warnings"] });
  const waiting = new Map<number, (report: ProviderReport | null) => void>();
  let commandCount = 0;
  const ports = await new Promise<readonly number[]>((resolve, reject) => {
    child.once("exit", () => reject(new Error("The providers of the soak run did not start.")));
    child.on("message", (reply: Reply) => {
      if ("ports" in reply) resolve(reply.ports);
      else waiting.get(reply.id)?.(reply.report);
    });
  });
  const command = (target: number, behaviour: Behaviour | null): Promise<ProviderReport | null> => {
    const id = ++commandCount;
    const replied = new Promise<ProviderReport | null>((resolve) => waiting.set(id, resolve));
    child.send({ id, target, behaviour } satisfies Command);
    return replied.finally(() => waiting.delete(id));
  };
  return {
    baseUrls: ports.map((port) => `http://127.0.0.1:${port}/v1`),
    async set(target, behaviour) {
      await command(target, behaviour);
    },
    report: async (target) => (await command(target, null)) ?? { calls: [], hangs: [] },
    stop: () => child.kill(),
  };
}

if (import.meta.main) await serve(Number(process.argv[2]));
