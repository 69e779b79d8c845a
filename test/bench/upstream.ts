/**
 * The provider of the bench, in a process of its own so that its work disturbs neither side of the comparison.
 *
 * Answers at once, or streams `CHUNKS` chunks `GAP_MS` apart. The text of each chunk is the time it was written, so
 * that the client can tell how long it was under way: both processes read the same host's clock.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { chunks, completion, usage } from "../support/upstream.ts";

export const CHUNKS = 300;
export const GAP_MS = 20;

/** Milliseconds since the epoch, with fractions. */
export const preciseNow = (): number => performance.timeOrigin + performance.now();

const STAMP = "STAMP";
const [ROLE = "", TEXT = "", FINISH = "", USAGE = "", DONE = ""] = chunks(STAMP, { usage: usage(100, CHUNKS) });
const ANSWER = JSON.stringify(completion({ text: "word ".repeat(50) }));

function stream(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(ROLE);
  const startedAt = performance.now();
  let sent = 0;
  const next = (): void => {
    response.write(TEXT.replace(STAMP, preciseNow().toFixed(3)));
    sent += 1;
    if (sent === CHUNKS) response.end(FINISH + USAGE + DONE);
    // Against the start, so that late timers do not add up.
    else setTimeout(next, Math.max(0, startedAt + (sent + 1) * GAP_MS - performance.now()));
  };
  setTimeout(next, GAP_MS);
}

function listen(): void {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (bytes: Buffer) => {
      body += bytes.toString();
    });
    request.on("end", () => {
      if (body.includes('"stream":true')) stream(response);
      else response.writeHead(200, { "content-type": "application/json" }).end(ANSWER);
    });
  });
  server.on("connection", (socket) => socket.setNoDelay(true));
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
  process.on("disconnect", () => process.exit());
}

if (import.meta.main) listen();
