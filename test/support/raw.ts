/**
 * A client that sends exactly the bytes it is told: bad framing, half a request, a reset at a chosen moment. `fetch`
 * cannot do any of these.
 */
import { connect } from "node:net";

export interface RawResponse {
  readonly status: number;
  /** Names in lower case; of a repeated name the values joined by a comma. */
  readonly headers: Readonly<Record<string, string>>;
  /** Decoded from chunks where the response has them. */
  readonly body: string;
}

export interface RawClient {
  send(bytes: string | Uint8Array): void;
  /** Stops reading: what comes fills the buffers of the system, and then the other side has to wait. */
  stall(): void;
  resume(): void;
  /** Half close: no more bytes from here, the answer is still read. */
  finish(): void;
  /** Full close. */
  close(): void;
  /** Ends the connection with a TCP reset. */
  reset(): void;
  /** Bytes received so far, one character each. */
  received(): string;
  /** The first complete response. Rejects when the connection ends before it is one. */
  response(): Promise<RawResponse>;
  /** How the other side ended the connection. */
  readonly closed: Promise<"fin" | "reset">;
}

function decodeChunks(text: string): string | null {
  let body = "";
  let rest = text;
  for (;;) {
    const line = rest.indexOf("\r\n");
    if (line < 0) return null;
    const size = Number.parseInt(rest.slice(0, line), 16);
    if (Number.isNaN(size)) throw new Error("The response has a malformed chunk.");
    if (size === 0) return body;
    if (rest.length < line + 2 + size + 2) return null;
    body += rest.slice(line + 2, line + 2 + size);
    rest = rest.slice(line + 2 + size + 2);
  }
}

/** The response in `text`, or `null` when more bytes are needed. `ended`: none will come. */
export function parseResponse(text: string, ended: boolean): RawResponse | null {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return null;
  // `100 Continue` and its like announce the answer, they are none.
  if (/^HTTP\/1\.1 1\d\d /.test(text)) return parseResponse(text.slice(headEnd + 4), ended);
  const [statusLine = "", ...lines] = text.slice(0, headEnd).split("\r\n");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  const rest = text.slice(headEnd + 4);
  const length = headers["content-length"];
  let body: string | null;
  if (headers["transfer-encoding"] === "chunked") body = decodeChunks(rest);
  else if (length !== undefined) body = rest.length >= Number(length) ? rest.slice(0, Number(length)) : null;
  else body = ended ? rest : null;
  if (body === null) return null;
  return { status: Number(statusLine.split(" ")[1]), headers, body: Buffer.from(body, "latin1").toString("utf8") };
}

/** Connects to the host and port of `url`. */
export async function connectRaw(url: string): Promise<RawClient> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true, noDelay: true });
  let text = "";
  let ended = false;
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const look of waiting) look();
  };
  const closed = new Promise<"fin" | "reset">((resolve) => {
    socket.once("end", () => resolve("fin"));
    socket.once("error", () => resolve("reset"));
    socket.once("close", () => resolve("fin"));
  });
  socket.on("data", (bytes) => {
    text += bytes.toString("latin1");
    wake();
  });
  for (const event of ["end", "close"] as const) {
    socket.once(event, () => {
      ended = true;
      wake();
    });
  }
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return {
    send: (bytes) => void socket.write(bytes),
    stall: () => void socket.pause(),
    resume: () => void socket.resume(),
    finish: () => void socket.end(),
    close: () => void socket.destroy(),
    reset: () => void socket.resetAndDestroy(),
    received: () => text,
    closed,
    response: () =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          try {
            const response = parseResponse(text, ended);
            if (response === null && !ended) return;
            waiting.delete(look);
            if (response === null) reject(new Error("The connection ended before a complete response."));
            else resolve(response);
          } catch (error) {
            waiting.delete(look);
            reject(error);
          }
        };
        waiting.add(look);
        look();
      }),
  };
}

/** A request as text, with `Host`, and `Content-Length` when there is a body. */
export function requestText(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body = "",
): string {
  const all: Record<string, string> = { Host: "localhost", ...headers };
  if (body !== "") all["Content-Length"] ??= String(Buffer.byteLength(body));
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
}
