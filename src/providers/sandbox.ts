/**
 * The built-in provider `sandbox`: answers in OpenAI's protocol without a network and without a price.
 *
 * The same request always gets the same answer, down to its ids, so it can stand in for a provider in tests, demos and
 * load runs. What can be scripted comes from the policy's `params` alone: a client cannot make it fail or wait.
 */
import type { AdapterCall, ProviderConfig, Secrets } from "./adapter.ts";
import type { EmbeddingAdapter, EmbeddingCall } from "./embeddings/adapter.ts";
import { openAiEmbeddings } from "./embeddings/openai.ts";
import { PLAIN_ROW } from "./embeddings/rows.ts";
import { embeddingsOf } from "./embeddings/sandbox.ts";
import type { ProviderRow } from "./rows.ts";
import { completionOf, eventsOf, writeAnswer } from "./sandbox/answer.ts";

/** Never fetched: `send` answers. */
const NOWHERE = { baseUrl: "https://sandbox.invalid/v1", headers: {} };
const MAX_WAIT_MS = 600_000;
/** The longest a timer can be. A promise without one would let workerd call the whole request hung. */
const FOREVER_MS = 2_147_483_647;
/** What workerd says when a connection breaks. */
const CONNECTION_LOST = "Network connection lost.";

const encoder = new TextEncoder();

/** How it reads a request: the registry makes its adapter from this, as it does for every other row. */
export const SANDBOX_ROW: ProviderRow = {
  id: "sandbox",
  source: "https://platform.openai.com/docs/api-reference/chat",
  secrets: [],
  limit: ["max_completion_tokens", "max_tokens"],
  developerRole: true,
};

/** Its vectors are the same in every space, and as long as they are asked for. */
export const SANDBOX_EMBEDDING: EmbeddingAdapter = {
  ...openAiEmbeddings(PLAIN_ROW, {}),
  base64: "has",
  send: embedInSandbox,
};

export function configureSandbox(secrets: Secrets): ProviderConfig | null {
  return secrets["FLOW_SANDBOX"] === "1" ? NOWHERE : null;
}

/** Rejects with the signal's reason when aborted, and with a `TypeError` for `fail: "reset"`, both as `fetch` would. */
export async function answerFromSandbox(call: AdapterCall, signal: AbortSignal): Promise<Response> {
  return scripted(call.params, signal, (breaks) => answer(call, breaks, signal));
}

/** The same for vectors: one that breaks ends in the middle of its JSON. */
async function embedInSandbox(call: EmbeddingCall, signal: AbortSignal): Promise<Response> {
  return scripted(call.params, signal, async (breaks) => {
    const text = JSON.stringify(embeddingsOf(call));
    const body = breaks ? bodyOf([text.slice(0, text.length / 2)], 0, signal, true) : text;
    return new Response(body, { headers: { "content-type": "application/json" } });
  });
}

async function scripted(
  params: AdapterCall["params"],
  signal: AbortSignal,
  answers: (breaks: boolean) => Promise<Response>,
): Promise<Response> {
  const failure = scriptedFailure(params);
  await wait(failure === "hang" ? FOREVER_MS : milliseconds(params["latency_ms"]), signal);
  switch (failure) {
    case "429":
      return refusal(429, "rate_limit_exceeded", "The sandbox is configured to be busy.", { "retry-after": "1" });
    case "500":
      return refusal(500, null, "The sandbox is configured to fail.", {});
    case "reset":
      throw new TypeError(CONNECTION_LOST);
    default:
      return answers(failure === "midstream");
  }
}

/** The failure of this attempt. Drawn by lot where `fail_rate` is below 1: the one thing that is not deterministic. */
function scriptedFailure(params: AdapterCall["params"]): string | undefined {
  const { fail, fail_rate: rate } = params;
  if (typeof fail !== "string" && typeof fail !== "number") return undefined;
  return typeof rate === "number" && Math.random() >= rate ? undefined : String(fail);
}

function refusal(status: number, code: string | null, message: string, headers: Record<string, string>): Response {
  const type = status === 429 ? "rate_limit_error" : "server_error";
  return Response.json({ error: { message, type, code, param: null } }, { status, headers });
}

async function answer(call: AdapterCall, breaks: boolean, signal: AbortSignal): Promise<Response> {
  const written = await writeAnswer(call, Date.now());
  const pieces = call.stream ? eventsOf(written) : [JSON.stringify(completionOf(written))];
  const contentType = call.stream ? "text/event-stream; charset=utf-8" : "application/json";
  const intervalMs = call.stream ? milliseconds(call.params["chunk_interval_ms"]) : 0;
  const body = breaks ? bodyOf(firstPart(pieces), intervalMs, signal, true) : bodyOf(pieces, intervalMs, signal, false);
  return new Response(body, { headers: { "content-type": contentType } });
}

/** Enough to have begun and not enough to have ended: no finish reason, no whole JSON document. */
function firstPart(pieces: readonly string[]): readonly string[] {
  const [first = ""] = pieces;
  return pieces.length === 1
    ? [first.slice(0, first.length / 2)]
    : pieces.slice(0, Math.ceil((pieces.length - 3) / 2) + 1);
}

/** A byte stream, because the router may read a response with a BYOB reader. */
function bodyOf(pieces: readonly string[], intervalMs: number, signal: AbortSignal, breaks: boolean): ReadableStream {
  let next = 0;
  const cancelled = new AbortController();
  const ended = AbortSignal.any([signal, cancelled.signal]);
  return new ReadableStream({
    type: "bytes",
    async pull(controller) {
      if (next > 0 && intervalMs > 0) await wait(intervalMs, ended);
      ended.throwIfAborted();
      const piece = pieces[next++];
      if (piece !== undefined) {
        controller.enqueue(encoder.encode(piece));
      } else if (breaks) {
        controller.error(new TypeError(CONNECTION_LOST));
      } else {
        controller.close();
        // A BYOB read that waits is only released by answering it.
        controller.byobRequest?.respond(0);
      }
    },
    cancel: () => cancelled.abort(),
  });
}

function milliseconds(value: unknown): number {
  return typeof value === "number" && value > 0 ? Math.min(value, MAX_WAIT_MS) : 0;
}

/** Rejects with the signal's reason as soon as it is aborted. */
function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    if (ms === 0) return resolve();
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
