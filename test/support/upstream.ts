/**
 * A scripted provider on a real socket.
 *
 * A script says what one call gets: status, body, events, pauses and the way it ends. Scripts are kept per request
 * path or per upstream model, so one instance can play several targets. Every call is recorded, with who ended it:
 * tests of routing count calls, and tests of cancellation look for connections the router dropped.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export interface Script {
  /** Default 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** A whole answer as JSON. */
  readonly json?: unknown;
  /** A whole answer as it is. */
  readonly body?: string | Uint8Array;
  /** A stream: a string or bytes go out as they are, an object as one `data:` event. */
  readonly events?: readonly (string | Uint8Array | object)[];
  /** Exact bytes for the socket in place of an HTTP response, which `end` then closes. */
  readonly raw?: string | Uint8Array;
  /** Before the response head. */
  readonly headMs?: number;
  /** Between the head and the first event or byte of the body. */
  readonly firstEventMs?: number;
  /** Between events, or between slices of a body. */
  readonly gapMs?: number;
  /** Cuts the body, or each event, into pieces of so many bytes, each a write of its own. */
  readonly sliceBytes?: number;
  /**
   * After the body: `end` finishes the response as HTTP wants it, `fin` closes the connection in its middle, `reset`
   * resets it, `stall` leaves it open and silent. Default `end`.
   */
  readonly end?: "end" | "fin" | "reset" | "stall";
  /** The call is read and never answered. */
  readonly hang?: boolean;
  /** No length and no chunks: the body ends where the connection ends. */
  readonly closeDelimited?: boolean;
}

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** `model` of a JSON body. */
  readonly model: string | undefined;
  readonly receivedAt: number;
  closedAt: number | null;
  /** `upstream` when the answer was written to its scripted end, `router` when the connection went away before. */
  closedBy: "router" | "upstream" | null;
}

export type ScriptSource = Script | ((call: Call) => Script);

export interface Upstream {
  /** Base URL, without a slash at the end; as a provider's base URL add `/v1`. */
  readonly url: string;
  /** Every call since the start or the last `reset`, oldest first. */
  readonly calls: Call[];
  /** What every call gets that nothing below answers. A list is used up one by one; its last entry stays. */
  script(source: ScriptSource | readonly ScriptSource[]): void;
  /** The same for one request path (`/v1/chat/completions`) or one upstream model. */
  scriptFor(pathOrModel: string, source: ScriptSource | readonly ScriptSource[]): void;
  callsTo(pathOrModel: string): Call[];
  droppedByRouter(): number;
  openSockets(): number;
  /** Ends every call that is not answered yet, as a provider does that goes down. */
  hangUp(): void;
  /** Forgets calls and scripts. */
  reset(): void;
  stop(): Promise<void>;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function readCall(request: IncomingMessage): Promise<Call> {
  const receivedAt = Date.now();
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const body = Buffer.concat(parts).toString("utf8");
  let model: string | undefined;
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === "object" && parsed !== null && "model" in parsed) model = String(parsed.model);
  } catch {
    // A body that is not JSON has no model. It is recorded all the same.
  }
  const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
  const { method = "", url = "" } = request;
  return { method, path: url, headers, body, model, receivedAt, closedAt: null, closedBy: null };
}

function pieces(script: Script): { contentType: string; parts: Uint8Array[] } {
  const wholes =
    script.events?.map((event) =>
      typeof event === "string" || event instanceof Uint8Array ? event : `data: ${JSON.stringify(event)}\n\n`,
    ) ?? (script.json !== undefined ? [JSON.stringify(script.json)] : [script.body ?? ""]);
  const parts: Uint8Array[] = [];
  for (const whole of wholes) {
    const bytes = Buffer.from(whole);
    const size = script.sliceBytes ?? Math.max(1, bytes.length);
    for (let start = 0; start < bytes.length; start += size) parts.push(bytes.subarray(start, start + size));
  }
  return { contentType: script.events === undefined ? "application/json" : "text/event-stream", parts };
}

/** The scripted end. `end` and `fin` let the bytes before them arrive, `reset` may overtake them. */
function finish(script: Script, response: ServerResponse, socket: Socket): void {
  switch (script.end ?? "end") {
    case "end":
      response.end();
      return;
    case "fin":
      socket.destroySoon();
      return;
    case "reset":
      socket.resetAndDestroy();
      return;
    case "stall":
  }
}

/** Plays `script`. Ends early, without an error, when the connection is gone. */
async function play(script: Script, call: Call, response: ServerResponse, socket: Socket): Promise<void> {
  if (script.hang === true) return;
  if (script.headMs !== undefined) await pause(script.headMs);
  const { contentType, parts } = script.raw === undefined ? pieces(script) : { contentType: "", parts: [] };
  if (script.raw !== undefined) {
    socket.write(script.raw);
  } else {
    response.statusCode = script.status ?? 200;
    response.setHeader("content-type", contentType);
    for (const [name, value] of Object.entries(script.headers ?? {})) response.setHeader(name, value);
    if (script.closeDelimited === true) {
      response.useChunkedEncodingByDefault = false;
      response.shouldKeepAlive = false;
    }
    response.flushHeaders();
    if (script.firstEventMs !== undefined) await pause(script.firstEventMs);
    for (const [index, part] of parts.entries()) {
      if (index > 0 && script.gapMs !== undefined) await pause(script.gapMs);
      if (socket.destroyed) return;
      // A slice has to leave on its own, so each waits until the kernel has the one before.
      await new Promise<void>((resolve) => response.write(part, () => resolve()));
    }
  }
  if (socket.destroyed) return;
  if (script.end !== "stall") {
    call.closedBy = "upstream";
    call.closedAt = Date.now();
  }
  if (script.raw !== undefined && (script.end ?? "end") === "end") socket.destroySoon();
  else finish(script, response, socket);
}

class ScriptBook {
  readonly #lists = new Map<string, ScriptSource[]>();

  set(where: string, source: ScriptSource | readonly ScriptSource[]): void {
    this.#lists.set(where, Array.isArray(source) ? [...source] : [source as ScriptSource]);
  }

  clear(): void {
    this.#lists.clear();
  }

  next(call: Call): Script {
    const list = this.#lists.get(call.path) ??
      this.#lists.get(call.model ?? "") ??
      this.#lists.get("*") ?? [{ json: completion() }];
    const source = (list.length > 1 ? list.shift() : list[0]) ?? {};
    return typeof source === "function" ? source(call) : source;
  }
}

/** Starts a provider on a free port of 127.0.0.1. Without a script it answers `completion()`. */
export async function startUpstream(): Promise<Upstream> {
  const sockets = new Set<Socket>();
  const busy = new Set<Socket>();
  const calls: Call[] = [];
  const book = new ScriptBook();
  const server = createServer(async (request, response) => {
    const call = await readCall(request).catch(() => null);
    if (call === null) return;
    calls.push(call);
    // Kept apart: `response.socket` is null as soon as the connection is gone.
    const socket = request.socket;
    response.on("error", () => {});
    busy.add(socket);
    const gone = (): void => {
      busy.delete(socket);
      call.closedAt ??= Date.now();
      call.closedBy ??= "router";
    };
    socket.once("close", gone);
    response.once("finish", () => {
      busy.delete(socket);
      socket.off("close", gone);
    });
    await play(book.next(call), call, response, socket);
  });
  // A connection that this side closes for being idle may be the one that the Worker has just chosen for its next call.
  server.keepAliveTimeout = 0;
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    script: (source) => book.set("*", source),
    scriptFor: (where, source) => book.set(where, source),
    callsTo: (where) => calls.filter((call) => call.path === where || call.model === where),
    droppedByRouter: () => calls.filter((call) => call.closedBy === "router").length,
    openSockets: () => sockets.size,
    hangUp() {
      for (const socket of busy) socket.destroy();
    },
    reset() {
      calls.length = 0;
      book.clear();
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** OpenAI's `usage` object. */
export function usage(promptTokens: number, completionTokens: number): object {
  const total = promptTokens + completionTokens;
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: total };
}

export interface AnswerSpec {
  readonly id?: string;
  readonly model?: string;
  /** Default 10 prompt and 5 completion tokens; `null` leaves it out. */
  readonly usage?: object | null;
  readonly finishReason?: string;
  readonly toolCalls?: readonly ScriptedCall[];
}

interface ScriptedCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
  /** A call of a custom tool, whose arguments are a text. */
  readonly isCustom?: boolean;
}

const toolCall = ({ id, name, arguments: text, isCustom }: ScriptedCall): object =>
  isCustom === true
    ? { id, type: "custom", custom: { name, input: text } }
    : { id, type: "function", function: { name, arguments: text } };

/** A whole chat completion, as OpenAI spells it. */
export function completion(spec: AnswerSpec & { readonly text?: string } = {}): object {
  const { id = "chatcmpl-test", model = "test-model", toolCalls, usage: used = usage(10, 5) } = spec;
  const message = {
    role: "assistant",
    content: spec.text ?? (toolCalls === undefined ? "Hello." : null),
    ...(toolCalls === undefined ? {} : { tool_calls: toolCalls.map(toolCall) }),
  };
  const finishReason = spec.finishReason ?? (toolCalls === undefined ? "stop" : "tool_calls");
  return {
    id,
    object: "chat.completion",
    created: 1_795_000_000,
    model,
    choices: [{ index: 0, message, finish_reason: finishReason }],
    ...(used === null ? {} : { usage: used }),
  };
}

export interface ChunksSpec extends AnswerSpec {
  /** Leaves `data: [DONE]` out when `false`. */
  readonly done?: boolean;
  /** Leaves the chunk with the finish reason out when `null`: a cut answer. */
  readonly finish?: null;
}

/**
 * The events of a streamed answer: role, one per word, tool calls, finish reason, usage, `[DONE]`. Each is one complete
 * SSE event, ready for `Script.events`.
 */
export function chunks(text: string, spec: ChunksSpec = {}): string[] {
  const { id = "chatcmpl-test", model = "test-model", toolCalls = [], usage: used = usage(10, 5) } = spec;
  const chunk = (choices: readonly object[], more: object = {}): string =>
    `data: ${JSON.stringify({ id, object: "chat.completion.chunk", created: 1_795_000_000, model, choices, ...more })}\n\n`;
  const delta = (content: object, finishReason: string | null = null): string =>
    chunk([{ index: 0, delta: content, finish_reason: finishReason }]);
  const words = text.match(/\S+\s*|\s+/g) ?? [];
  const finishReason = spec.finishReason ?? (toolCalls.length > 0 ? "tool_calls" : "stop");
  return [
    delta({ role: "assistant", content: "" }),
    ...words.map((word) => delta({ content: word })),
    ...toolCalls.map((call, index) => delta({ tool_calls: [{ index, ...toolCall(call) }] })),
    ...(spec.finish === null ? [] : [delta({}, finishReason)]),
    ...(used === null ? [] : [chunk([], { usage: used })]),
    ...(spec.done === false ? [] : ["data: [DONE]\n\n"]),
  ];
}
