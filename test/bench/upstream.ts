/**
 * The provider of the bench, in a process of its own so that its work disturbs neither side of the comparison.
 *
 * Answers at once, or streams `CHUNKS` chunks `GAP_MS` apart. The text of each chunk is the time it was written, so
 * that the client can tell how long it was under way: both processes read the same host's clock. Models whose name
 * begins with `BIMODAL` answer whole, most of them soon and a few very late; `SLOW` answers whole after its delay.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { randomFrom } from "../support/random.ts";
import { chunks, completion, usage } from "../support/upstream.ts";

export const CHUNKS = 300;
export const GAP_MS = 20;

export const BIMODAL = { model: "bimodal", soonMs: 200, lateMs: 8_000, lateShare: 0.05 };
export const SLOW = { model: "gpt-4.1-mini-2030-02-01", delayMs: 300 };
const SEED = 20_261_122;

/** Milliseconds since the epoch, with fractions. */
export const preciseNow = (): number => performance.timeOrigin + performance.now();

const STAMP = "STAMP";
const [ROLE = "", TEXT = "", FINISH = "", USAGE = "", DONE = ""] = chunks(STAMP, { usage: usage(100, CHUNKS) });

const NAMED = (name: string, data: object): string =>
  `event: ${name}\ndata: ${JSON.stringify({ type: name, ...data })}\n\n`;
/** The same stream in Anthropic's events. */
const ANTHROPIC = {
  path: "/messages",
  first:
    NAMED("message_start", {
      message: {
        ...{ id: "msg_bench", type: "message", role: "assistant", model: "claude-bench", content: [] },
        ...{ stop_reason: null, usage: { input_tokens: 100, output_tokens: 1 } },
      },
    }) + NAMED("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
  text: NAMED("content_block_delta", { index: 0, delta: { type: "text_delta", text: STAMP } }),
  last:
    NAMED("content_block_stop", { index: 0 }) +
    NAMED("message_delta", { delta: { stop_reason: "end_turn" }, usage: { output_tokens: CHUNKS } }) +
    NAMED("message_stop", {}),
};
const RESPONSE = { id: "resp_bench", object: "response", created_at: 1, model: "gpt-4.1", error: null };
const PART = { item_id: "msg_bench", output_index: 0, content_index: 0 };
const MESSAGE = { id: "msg_bench", type: "message", role: "assistant" };
const WHOLE_TEXT = { type: "output_text", text: "word ".repeat(CHUNKS), annotations: [] };
const DONE_MESSAGE = { ...MESSAGE, status: "completed", content: [WHOLE_TEXT] };
const COUNTS = { input_tokens: 100, output_tokens: CHUNKS, total_tokens: 100 + CHUNKS };
/** And in those of OpenAI's Responses. */
const RESPONSES = {
  path: "/responses",
  first:
    NAMED("response.created", { response: { ...RESPONSE, status: "in_progress", output: [] } }) +
    NAMED("response.output_item.added", { output_index: 0, item: { ...MESSAGE, status: "in_progress", content: [] } }) +
    NAMED("response.content_part.added", { ...PART, part: { ...WHOLE_TEXT, text: "" } }),
  text: NAMED("response.output_text.delta", { ...PART, delta: STAMP }),
  last:
    NAMED("response.output_text.done", { ...PART, text: WHOLE_TEXT.text }) +
    NAMED("response.content_part.done", { ...PART, part: WHOLE_TEXT }) +
    NAMED("response.output_item.done", { output_index: 0, item: DONE_MESSAGE }) +
    NAMED("response.completed", {
      response: { ...RESPONSE, status: "completed", output: [DONE_MESSAGE], usage: COUNTS },
    }),
};
const OPENAI = { path: "", first: ROLE, text: TEXT, last: FINISH + USAGE + DONE };

const ANSWER = JSON.stringify(completion({ text: "word ".repeat(50) }));

function stream(response: ServerResponse, { first, text, last }: typeof OPENAI): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(first);
  const startedAt = performance.now();
  let sent = 0;
  const next = (): void => {
    response.write(text.replace(STAMP, preciseNow().toFixed(3)));
    sent += 1;
    if (sent === CHUNKS) response.end(last);
    // Against the start, so that late timers do not add up.
    else setTimeout(next, Math.max(0, startedAt + (sent + 1) * GAP_MS - performance.now()));
  };
  setTimeout(next, GAP_MS);
}

interface Lots {
  readonly random: () => number;
  calls: number;
  /** Which call of the block is late. */
  late: number;
}

const lots = new Map<string, Lots>();

/**
 * Milliseconds until the answer to `body`. Of each block of calls to a bimodal model one is late, at a place drawn by
 * lot: the share is exact, and every model draws the same lots, so that sides can be compared.
 */
function delayOf(body: string): number {
  const [, model] = /"model":"([^"]+)"/.exec(body) ?? [];
  if (model === SLOW.model) return SLOW.delayMs;
  if (model?.startsWith(BIMODAL.model) !== true) return 0;
  const drawn = lots.get(model) ?? { random: randomFrom(SEED), calls: 0, late: 0 };
  lots.set(model, drawn);
  const block = 1 / BIMODAL.lateShare;
  const place = drawn.calls++ % block;
  if (place === 0) drawn.late = Math.floor(drawn.random() * block);
  return place === drawn.late ? BIMODAL.lateMs : BIMODAL.soonMs;
}

function listen(): void {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (bytes: Buffer) => {
      body += bytes.toString();
    });
    request.on("end", () => {
      if (body.includes('"stream":true'))
        stream(response, [ANTHROPIC, RESPONSES].find(({ path }) => request.url?.endsWith(path)) ?? OPENAI);
      else {
        const answer = (): void => void response.writeHead(200, { "content-type": "application/json" }).end(ANSWER);
        const delayMs = delayOf(body);
        if (delayMs === 0) answer();
        else setTimeout(answer, delayMs);
      }
    });
  });
  server.on("connection", (socket) => socket.setNoDelay(true));
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
  process.on("disconnect", () => process.exit());
}

if (import.meta.main) listen();
