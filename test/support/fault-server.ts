/**
 * A provider whose every byte, FIN and RST is scripted: raw TCP, with TLS on demand, and HTTP only as far as to read a
 * request and its model. For what `upstream.ts` cannot say, because Node's HTTP server would never say it.
 *
 * A script is a list of steps. What is behind its last step is silence: the connection stays open until the router
 * ends it, or sends the next request. Scripts are kept per upstream model, so one server plays many targets at once.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import { Worker } from "node:worker_threads";
import type { Certificate } from "./certificates.ts";

export type Bytes = string | Uint8Array;

export type Step =
  /** Written at once. */
  | Bytes
  | { readonly pauseMs: number }
  /** One byte at a time, a pause behind each. */
  | { readonly drip: Bytes; readonly everyMs: number }
  /** Again and again, as fast as the router reads or with pauses, until the connection is gone. */
  | { readonly endless: Bytes; readonly everyMs?: number }
  /** Closes the connection behind the bytes before it. */
  | "fin"
  /** Resets the connection. May overtake bytes that were just written: put a pause before it where they matter. */
  | "reset";

export type FaultScript = readonly Step[];

export interface FaultCall {
  readonly model: string;
  /** Of the request's connection, counted from 0: equal numbers mean that a connection was used again. */
  readonly connection: number;
  readonly head: string;
  /** Of the answer, as far as the kernel has taken them. */
  bytesSent: number;
  /** All steps were played. */
  isPlayed: boolean;
  /** Who ended the connection first, `null` while it is open. */
  closedBy: "router" | "server" | null;
  /** Epoch ms. */
  closedAt: number | null;
}

export interface FaultServerSpec {
  readonly tls?: Certificate;
  /** Played on every connection at once, in place of reading a request. */
  readonly atConnect?: FaultScript;
}

export interface FaultServer {
  /** Without a slash at the end; as a provider's base URL add `/v1`. */
  readonly url: string;
  readonly port: number;
  /** Every request that was read in full, oldest first. */
  readonly calls: readonly FaultCall[];
  /** What `model` plays. A list of scripts is used up one by one; its last entry stays. */
  script(model: string, ...scripts: readonly FaultScript[]): void;
  callsTo(model: string): FaultCall[];
  /** Connections so far, those without a request included. */
  connections(): number;
  openSockets(): number;
  stop(): Promise<void>;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Resolves when the kernel has the bytes, or when the connection is gone. */
function write(socket: Socket, bytes: Bytes): Promise<void> {
  if (socket.destroyed || socket.writableEnded) return Promise.resolve();
  // Called with an error, too, when the connection ends before.
  return new Promise((resolve) => void socket.write(bytes, () => resolve()));
}

class Connection {
  readonly #socket: Socket;
  readonly #index: number;
  readonly #server: ScriptedServer;
  readonly #received: Buffer[] = [];
  #current: FaultCall | null = null;
  #isGone = false;
  #busy: Promise<void> = Promise.resolve();

  constructor(socket: Socket, index: number, server: ScriptedServer) {
    this.#socket = socket;
    this.#index = index;
    this.#server = server;
    socket.setNoDelay(true);
    // A reset is an end like any other here.
    socket.on("error", () => this.#gone("router"));
    socket.on("close", () => this.#gone("router"));
    socket.on("end", () => {
      this.#gone("router");
      socket.end();
    });
    const { atConnect } = server.spec;
    if (atConnect === undefined) socket.on("data", (bytes: Buffer) => this.#read(bytes));
    else {
      socket.resume();
      void this.#play(atConnect);
    }
  }

  #gone(by: "router" | "server"): void {
    if (this.#isGone) return;
    this.#isGone = true;
    if (this.#current === null) return;
    this.#current.closedBy = by;
    this.#current.closedAt = Date.now();
  }

  #read(bytes: Buffer): void {
    this.#received.push(bytes);
    const all = Buffer.concat(this.#received);
    const request = readRequest(all);
    this.#received.length = 0;
    if (request === null) {
      this.#received.push(all);
      return;
    }
    const { head, model, rest } = request;
    this.#busy = this.#busy.then(() => {
      const call: FaultCall = {
        model,
        connection: this.#index,
        head,
        bytesSent: 0,
        isPlayed: false,
        closedBy: null,
        closedAt: null,
      };
      this.#current = call;
      this.#server.calls.push(call);
      return this.#play(this.#server.next(model));
    });
    if (rest.length > 0) this.#read(rest);
  }

  async #play(script: FaultScript): Promise<void> {
    for (const step of script) {
      if (this.#isGone) return;
      if (step === "fin") {
        this.#gone("server");
        this.#socket.end();
      } else if (step === "reset") {
        this.#gone("server");
        this.#socket.resetAndDestroy();
      } else if (typeof step === "string" || step instanceof Uint8Array) await this.#send(step);
      else if ("pauseMs" in step) await pause(step.pauseMs);
      else if ("drip" in step) {
        for (const byte of Buffer.from(step.drip)) {
          if (this.#isGone) return;
          await this.#send(Uint8Array.of(byte));
          await pause(step.everyMs);
        }
      } else {
        while (!this.#isGone) {
          await this.#send(step.endless);
          if (step.everyMs !== undefined) await pause(step.everyMs);
        }
      }
    }
    if (this.#current !== null) this.#current.isPlayed = true;
  }

  async #send(bytes: Bytes): Promise<void> {
    await write(this.#socket, bytes);
    if (this.#current !== null && !this.#isGone) this.#current.bytesSent += Buffer.byteLength(bytes);
  }
}

/** The first request in `bytes`, or `null` when more are needed. workerd sends a body of text with its length. */
function readRequest(bytes: Buffer): { head: string; model: string; rest: Buffer } | null {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd === -1) return null;
  const head = bytes.subarray(0, headEnd).toString("latin1");
  const bodyStart = headEnd + 4;
  const bodyEnd = bodyStart + Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
  if (bytes.length < bodyEnd) return null;
  const body = bytes.subarray(bodyStart, bodyEnd).toString("utf8");
  // Gemini and others name the model in the path.
  const model = /"model":\s*"([^"]+)"/.exec(body)?.[1] ?? /\/models?\/([^/:?]+)/.exec(head)?.[1] ?? "";
  return { head, model, rest: bytes.subarray(bodyEnd) };
}

class ScriptedServer {
  readonly spec: FaultServerSpec;
  readonly calls: FaultCall[] = [];
  readonly sockets = new Set<Socket>();
  readonly #scripts = new Map<string, FaultScript[]>();
  #accepted = 0;
  connections = 0;

  constructor(spec: FaultServerSpec) {
    this.spec = spec;
  }

  set(model: string, scripts: readonly FaultScript[]): void {
    this.#scripts.set(model, [...scripts]);
  }

  next(model: string): FaultScript {
    const list = this.#scripts.get(model) ?? [];
    return (list.length > 1 ? list.shift() : list[0]) ?? ["reset"];
  }

  keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.once("close", () => this.sockets.delete(socket));
  }

  accept(socket: Socket): void {
    this.keep(socket);
    new Connection(socket, this.#accepted++, this);
  }
}

/** A client that does not trust the certificate ends the handshake, and nothing is left of its connection. */
function secure(socket: Socket, { cert, key }: Certificate, scripted: ScriptedServer): void {
  const encrypted = new TLSSocket(socket, { isServer: true, secureContext: createSecureContext({ cert, key }) });
  scripted.keep(encrypted);
  for (const end of ["error", "end", "_tlsError"]) encrypted.on(end, () => encrypted.destroy());
  encrypted.once("secure", () => scripted.accept(encrypted));
}

/** Listens on a free port of 127.0.0.1. A model without a script is reset. */
export async function startFaultServer(spec: FaultServerSpec = {}): Promise<FaultServer> {
  const scripted = new ScriptedServer(spec);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    scripted.connections++;
    if (spec.tls === undefined) scripted.accept(socket);
    else secure(socket, spec.tls, scripted);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${spec.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    port,
    calls: scripted.calls,
    script: (model, ...scripts) => scripted.set(model, scripts),
    callsTo: (model) => scripted.calls.filter((call) => call.model === model),
    connections: () => scripted.connections,
    openSockets: () => scripted.sockets.size,
    async stop() {
      for (const socket of scripted.sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/**
 * A port that drops the SYN of every connection: its queue of connections is full and nobody accepts them.
 */
export async function startBlackhole(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  // The thread listens and then sleeps for good: Node would accept in any thread whose loop still turns.
  const source = `
    const { parentPort } = require("node:worker_threads");
    const server = require("node:net").createServer();
    server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
    });
  `;
  const thread = new Worker(source, { eval: true });
  const port = await new Promise<number>((resolve) => thread.once("message", resolve));
  const fillers = Array.from({ length: 4 }, () => connect({ port, host: "127.0.0.1" }).on("error", () => {}));
  // The first of them fill the queue; one that hangs proves that it is full.
  await pause(100);
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      for (const socket of fillers) socket.destroy();
      await thread.terminate();
    },
  };
}

/** Where nobody listens: a port below those that are handed out, so that no server of another test can get it meanwhile. */
export const REFUSED_URL = "http://127.0.0.1:9";

// What answers are made of.

export type HeaderLines = Readonly<Record<string, string>>;

/** A response head. `status` is the status line behind `HTTP/1.1 `: `200 OK`, or anything. */
export function head(status: string | number, headers: HeaderLines = {}): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${typeof status === "number" ? `${status} X` : status}\r\n${lines.join("")}\r\n`;
}

/** One chunk of a chunked body. */
export function chunk(bytes: Bytes): Uint8Array {
  const size = Buffer.byteLength(bytes).toString(16);
  return Buffer.concat([Buffer.from(`${size}\r\n`), Buffer.from(bytes), Buffer.from("\r\n")]);
}

/** The end of a chunked body. */
export const LAST_CHUNK = "0\r\n\r\n";

/** A whole response with its length. */
export function response(status: string | number, headers: HeaderLines, body: Bytes): Uint8Array {
  const length = { "content-length": String(Buffer.byteLength(body)) };
  return Buffer.concat([Buffer.from(head(status, { ...length, ...headers })), Buffer.from(body)]);
}
