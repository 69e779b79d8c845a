/**
 * The service on one screen: paths, methods, and the one place where errors become answers.
 *
 * Default deny: every path under `/v1` needs a key before it says whether it exists, every path under `/admin` an
 * operator's token; only `/health` and `/openapi.json` are open.
 */
import { type Context, Hono } from "hono";
import { adminApp } from "./admin/app.ts";
import type { AppEnv } from "./config.ts";
import { getApprovals, postApproval } from "./doors/approvals/approvals.ts";
import { authenticate } from "./doors/authenticate.ts";
import { getModel, listModels } from "./doors/models/models.ts";
import { getTrace, getTraces } from "./doors/traces/traces.ts";
import { errorResponse, RouterError } from "./http/errors.ts";
import { unexpectedFault } from "./http/internal-error.ts";
import { openApiDocument } from "./openapi/document.ts";
import { handleChatCompletion } from "./relay/relay.ts";
import { newTraceId } from "./traces/schema.ts";

export const app = new Hono<AppEnv>();

// The id part of a bearer key: a trace id carries it, so that a trace is found with one call.
const KEY_ID = /^bearer +fl_[a-z0-9-]+_([0-9A-Za-z]{12})_/i;

app.use(async (c, next) => {
  const receivedAt = Date.now();
  c.set("receivedAt", receivedAt);
  c.set("traceId", newTraceId(KEY_ID.exec(c.req.header("authorization") ?? "")?.[1] ?? null, receivedAt));
  await next();
  if (c.res.headers.has("x-request-id")) return;
  c.res.headers.set("x-request-id", c.get("traceId"));
  c.res.headers.set("cache-control", "no-store");
});

app.get("/health", (c) => c.json({ status: "ok" }));
app.get("/openapi.json", (c) => c.json(openApiDocument()));

app.post("/v1/chat/completions", handleChatCompletion);
app.get("/v1/models", listModels);
app.get("/v1/models/*", getModel);
app.get("/v1/traces", getTraces);
app.get("/v1/traces/:id", getTrace);
app.get("/v1/approvals", getApprovals);
app.post("/v1/approvals/:id", postApproval);

app.route("/admin", adminApp);

for (const [path, allow] of [
  ["/health", "GET, HEAD"],
  ["/openapi.json", "GET, HEAD"],
  ["/v1/chat/completions", "POST"],
  ["/v1/models", "GET, HEAD"],
  ["/v1/models/*", "GET, HEAD"],
  ["/v1/traces", "GET, HEAD"],
  ["/v1/traces/:id", "GET, HEAD"],
  ["/v1/approvals", "GET, HEAD"],
  ["/v1/approvals/:id", "POST"],
] as const) {
  app.all(path, (c) => {
    const message = `${c.req.method} is not possible at ${path}. Use ${allow.split(",")[0]}.`;
    throw new RouterError("method_not_allowed", message, { headers: { allow } });
  });
}

/** OpenAI paths that clients try, and what to use here instead. */
const USE_CHAT = "Use POST /v1/chat/completions.";
const INSTEAD: Readonly<Record<string, string>> = {
  "/v1/responses": `${USE_CHAT} With the Vercel AI SDK call \`openai.chat(…)\`, or use \`@ai-sdk/openai-compatible\`.`,
  "/v1/completions": `Legacy completions are not served. ${USE_CHAT} With LangChain use \`ChatOpenAI\`.`,
  "/v1/embeddings": "Embeddings are not routed. Call the embedding provider directly.",
};

app.notFound(async (c) => {
  const { pathname } = new URL(c.req.url);
  if (pathname === "/v1" || pathname.startsWith("/v1/")) {
    try {
      await authenticate(c, null);
    } catch (error) {
      return answerError(error, c);
    }
  }
  const hint = Object.hasOwn(INSTEAD, pathname) ? INSTEAD[pathname] : "The chat endpoint is POST /v1/chat/completions.";
  return answerError(new RouterError("not_found", `There is nothing at this address. ${hint}`), c);
});

app.onError((error, c) => answerError(error, c));

function answerError(error: unknown, c: Context<AppEnv>): Response {
  const traceId = c.get("traceId");
  const headers = { "x-request-id": traceId, "x-flowlayer-trace-id": traceId };
  const known = error instanceof RouterError ? error : unexpectedFault(error, traceId);
  return errorResponse(known, { trace_id: traceId }, headers);
}
