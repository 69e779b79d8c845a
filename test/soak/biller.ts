/**
 * A provider that keeps books of its own, in a process of its own: what each call would be billed, by what was really
 * made until it was finished or dropped. Prompts are orders: their first line says how the call is to be answered.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { chunks, completion, usage } from "../support/upstream.ts";

/** What a prompt asks for. */
export interface Order {
  readonly id: number;
  /** Before the first token. */
  readonly headMs: number;
  readonly promptTokens: number;
  readonly tokens: number;
  /** Per token. 0: all at once. */
  readonly paceMs: number;
  /** `false`: this provider sends no figures, so that they have to be counted. */
  readonly sendsUsage: boolean;
  /** The first so many calls of this order fail, and are not billed. */
  readonly failures: number;
}

/** One call. Tokens are those that are billed, so far where it still runs. */
export interface Billed {
  readonly id: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly isStream: boolean;
  /** All of the answer was written, with its usage where the order wants that. */
  readonly isFinished: boolean;
}

export interface Biller {
  readonly baseUrl: string;
  /** In the order of their arrival. */
  books(): Promise<readonly Billed[]>;
  /** Forgets all calls. */
  clear(): Promise<void>;
  stop(): void;
}

/** Nano-USD per token of the models in `support/models.ts`. */
const PROMPT_NANO_USD = 400;
const COMPLETION_NANO_USD = 1_600;

export const nanoUsdOf = ({ promptTokens, completionTokens }: Pick<Billed, "promptTokens" | "completionTokens">) =>
  promptTokens * PROMPT_NANO_USD + completionTokens * COMPLETION_NANO_USD;

/** The message for an order, at least `length` characters long. */
export function promptOf(order: Order, length = 0): string {
  const head = `${JSON.stringify(order)}\n`;
  return head + "Tell me more of that. ".repeat(Math.ceil(length / 22)).slice(0, Math.max(0, length - head.length));
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };
type Entry = Mutable<Billed>;

const TICK_MS = 10;
let books: Entry[] = [];
const failed = new Map<number, number>();

function take(request: IncomingMessage, response: ServerResponse): void {
  const parts: Buffer[] = [];
  request.on("error", () => {});
  response.on("error", () => {});
  request.on("data", (part: Buffer) => parts.push(part));
  request.on("end", () => {
    const body = JSON.parse(Buffer.concat(parts).toString("utf8")) as {
      stream?: boolean;
      stream_options?: { include_usage?: boolean };
      messages: { content: string }[];
    };
    const order = JSON.parse(body.messages[0]?.content.split("\n", 1)[0] ?? "") as Order;
    const failures = failed.get(order.id) ?? 0;
    const base = { id: order.id, isStream: body.stream === true, isFinished: false, completionTokens: 0 };
    if (failures < order.failures) {
      failed.set(order.id, failures + 1);
      books.push({ ...base, promptTokens: 0 });
      response.writeHead(500, { "content-type": "application/json" }).end('{"error":{"message":"Failed."}}');
      return;
    }
    const entry: Entry = { ...base, promptTokens: order.promptTokens };
    books.push(entry);
    const sendsUsage = order.sendsUsage && (!entry.isStream || body.stream_options?.include_usage === true);
    make(order, entry, response, sendsUsage);
  });
}

/** Makes token after token until all are there or nobody wants them any more. */
function make(order: Order, entry: Entry, response: ServerResponse, sendsUsage: boolean): void {
  const { promptTokens, tokens } = order;
  const used = sendsUsage ? usage(promptTokens, tokens) : null;
  // A token of English has about four characters, which is how answers without figures are counted.
  const text = "tok ".repeat(tokens);
  const [role = "", ...events] = entry.isStream ? chunks(text, { usage: used }) : [];
  const startedAt = performance.now();
  const step = (): void => {
    const passedMs = performance.now() - startedAt;
    const due = order.paceMs === 0 ? tokens : Math.min(tokens, Math.floor(passedMs / order.paceMs));
    if (entry.isStream && due > entry.completionTokens) {
      response.write(events.slice(entry.completionTokens, due).join(""));
    }
    entry.completionTokens = due;
    if (due < tokens) return;
    clearInterval(timer);
    entry.isFinished = true;
    if (entry.isStream) response.end(events.slice(tokens).join(""));
    else
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(JSON.stringify(completion({ text, usage: used })));
  };
  let timer: NodeJS.Timeout | undefined;
  const begin = (): void => {
    if (entry.isStream) response.writeHead(200, { "content-type": "text/event-stream" }).write(role);
    timer = setInterval(step, TICK_MS);
    step();
  };
  const head = order.headMs === 0 ? undefined : setTimeout(begin, order.headMs);
  if (head === undefined) begin();
  response.once("close", () => {
    clearTimeout(head);
    clearInterval(timer);
  });
}

type Command = { readonly id: number; readonly what: "books" | "clear" };
type Reply = { readonly port: number } | { readonly id: number; readonly books: readonly Billed[] };

/** Runs in the child process. */
async function serve(): Promise<void> {
  const server = createServer(take);
  server.keepAliveTimeout = 120_000;
  server.on("connection", (socket) => {
    socket.setNoDelay(true);
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", 4_096, resolve));
  const reply = (message: Reply): void => void process.send?.(message);
  process.on("message", ({ id, what }: Command) => {
    reply({ id, books: what === "books" ? books : [] });
    if (what === "clear") books = [];
  });
  process.on("disconnect", () => process.exit());
  reply({ port: (server.address() as AddressInfo).port });
}

export async function startBiller(): Promise<Biller> {
  const child: ChildProcess = fork(import.meta.filename, { execArgv: ["--no-warnings"] });
  const waiting = new Map<number, (books: readonly Billed[]) => void>();
  let commandCount = 0;
  const port = await new Promise<number>((resolve, reject) => {
    child.once("exit", () => reject(new Error("The provider of the soak run did not start.")));
    child.on("message", (reply: Reply) => {
      if ("port" in reply) resolve(reply.port);
      else waiting.get(reply.id)?.(reply.books);
    });
  });
  const command = (what: Command["what"]): Promise<readonly Billed[]> => {
    const id = ++commandCount;
    const replied = new Promise<readonly Billed[]>((resolve) => waiting.set(id, resolve));
    child.send({ id, what } satisfies Command);
    return replied.finally(() => waiting.delete(id));
  };
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    books: () => command("books"),
    async clear() {
      await command("clear");
    },
    stop: () => child.kill(),
  };
}

if (import.meta.main) await serve();
