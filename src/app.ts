/**
 * The service on one screen: paths, methods, and the one place where errors become answers.
 *
 * Default deny: every path under `/v1` needs a key before it says whether it exists, every path under `/admin` an
 * operator's token; only `/health` and `/openapi.json` are open.
 */
import type { Context } from "hono";
import { TrieRouter } from "hono/router/trie-router";
import { Hono } from "hono/tiny";
import { authorize } from "./admin/access/authorize.ts";
import { deleteSession, postSession } from "./admin/access/session.ts";
import { adminApp } from "./admin/app.ts";
import { type AppEnv, settingsOf } from "./config.ts";
import { getApprovals, postApproval } from "./doors/approvals/approvals.ts";
import { authenticateKey } from "./doors/authenticate.ts";
import { deploymentCallOf, postDeployment } from "./doors/azure/azure.ts";
import { postChatCompletion } from "./doors/chat/chat.ts";
import { postEmbeddings } from "./doors/embeddings/embeddings.ts";
import { getKey } from "./doors/key/key.ts";
import { errorResponse as messagesErrorResponse } from "./doors/messages/errors.ts";
import { postCountTokens, postMessage } from "./doors/messages/messages.ts";
import { getModel, listModels } from "./doors/models/models.ts";
import { getConsole, getRoot, notFoundPage } from "./doors/pages/pages.ts";
import {
  deleteResponse,
  getInputItems,
  getResponse,
  postCompact,
  postInputTokens,
  postResponse,
} from "./doors/responses/responses.ts";
import { postConsoleRun, postDocsRun } from "./doors/run/run.ts";
import { getTrace, getTraces } from "./doors/traces/traces.ts";
import { drain } from "./http/body.ts";
import { errorResponse, RouterError } from "./http/errors.ts";
import { notFoundMessage } from "./http/hints.ts";
import { unexpectedFault } from "./http/internal-error.ts";
import { refuseMoved } from "./http/jurisdiction.ts";
import { getOpenApi } from "./openapi/served.ts";
import { reportRefusal } from "./relay/refusal.ts";
import { newTraceId } from "./traces/schema.ts";

export const app = new Hono<AppEnv>();
// Only this one of Hono's routers takes paths whose parts are a name here and a parameter there. The preset has its own
// and reads no option for it.
app.router = new TrieRouter();

// The id part of a bearer key: a trace id carries it, so that a trace is found with one call.
const KEY_ID = /(?:^| )fl_[a-z0-9-]+_([0-9A-Za-z]{12})_/i;
const KEY_HEADERS = ["authorization", "x-api-key", "api-key"] as const;

function keyIdOf(headers: Headers): string | null {
  for (const name of KEY_HEADERS) {
    const id = KEY_ID.exec(headers.get(name) ?? "")?.[1];
    if (id !== undefined) return id;
  }
  return null;
}

app.use(async (c, next) => {
  const receivedAt = Date.now();
  c.set("receivedAt", receivedAt);
  c.set("traceId", newTraceId(keyIdOf(c.req.raw.headers), receivedAt));
  await next();
  if (c.res.status >= 400) await drain(c.req.raw);
  const { headers } = c.res;
  headers.set("x-content-type-options", "nosniff");
  if (headers.has("x-request-id")) return;
  headers.set("x-request-id", c.get("traceId"));
  headers.set("cache-control", "no-store");
});

for (const path of ["/v1/*", "/openai/*", "/admin/*", "/console/*"]) {
  app.use(path, async (c, next) => {
    const { jurisdiction } = settingsOf(c.env);
    await refuseMoved(c.env.CONFIG, jurisdiction, (work) => c.executionCtx.waitUntil(work));
    await next();
  });
}

app.get("/", getRoot);
app.get("/health", (c) => c.json({ status: "ok" }));
app.get("/openapi.json", getOpenApi);

app.get("/console", getConsole);
app.post("/console/session", postSession);
app.delete("/console/session", deleteSession);
app.post("/console/run", authorize, postConsoleRun);
app.post("/docs/run", postDocsRun);

for (const base of ["/v1", "/openai/v1"]) {
  app.post(`${base}/chat/completions`, postChatCompletion);
  app.post(`${base}/embeddings`, postEmbeddings);
  app.post(`${base}/messages`, postMessage);
  app.post(`${base}/messages/count_tokens`, postCountTokens);
  app.post(`${base}/responses`, postResponse);
  app.post(`${base}/responses/input_tokens`, postInputTokens);
  app.post(`${base}/responses/compact`, postCompact);
  app.get(`${base}/responses/:id`, getResponse);
  app.delete(`${base}/responses/:id`, deleteResponse);
  app.get(`${base}/responses/:id/input_items`, getInputItems);
  app.get(`${base}/models`, listModels);
  app.get(`${base}/models/*`, getModel);
  app.get(`${base}/key`, getKey);
  app.get(`${base}/traces`, getTraces);
  app.get(`${base}/traces/:id`, getTrace);
  app.get(`${base}/approvals`, getApprovals);
  app.post(`${base}/approvals/:id`, postApproval);
}
app.post("/openai/responses", postResponse);
app.all("/openai/deployments/*", deploymentCall);

app.route("/admin", adminApp);

/** The deployment may have slashes in its name, so no pattern of the router's fits. */
function deploymentCall(c: Context<AppEnv>): Promise<Response> | Response {
  const call = deploymentCallOf(new URL(c.req.url).pathname);
  if (call === null) return c.notFound() as Response;
  return c.req.method === "POST" ? postDeployment(c) : notAllowed(`/openai/deployments/{model}/${call}`, "POST")(c);
}

for (const [path, allow] of [
  ["/", "GET, HEAD"],
  ["/health", "GET, HEAD"],
  ["/openapi.json", "GET, HEAD"],
  ["/console/session", "POST, DELETE"],
  ["/console/run", "POST"],
  ["/docs/run", "POST"],
  ["/console", "GET, HEAD"],
  ["/v1/chat/completions", "POST"],
  ["/v1/embeddings", "POST"],
  ["/v1/messages", "POST"],
  ["/v1/messages/count_tokens", "POST"],
  ["/v1/responses", "POST"],
  ["/v1/responses/compact", "POST"],
  ["/v1/responses/input_tokens", "POST"],
  ["/v1/responses/:id", "GET, HEAD, DELETE"],
  ["/v1/responses/:id/input_items", "GET, HEAD"],
  ["/openai/responses", "POST"],
  ["/v1/models", "GET, HEAD"],
  ["/v1/models/*", "GET, HEAD"],
  ["/v1/key", "GET, HEAD"],
  ["/v1/traces", "GET, HEAD"],
  ["/v1/traces/:id", "GET, HEAD"],
  ["/v1/approvals", "GET, HEAD"],
  ["/v1/approvals/:id", "POST"],
] as const) {
  // Azure's clients find all of `/v1` below `/openai/v1`, too.
  for (const each of path.startsWith("/v1/") ? [path, `/openai${path}`] : [path])
    app.all(each, notAllowed(path, allow));
}

function notAllowed(path: string, allow: string) {
  return (c: Context<AppEnv>): never => {
    const message = `Method ${c.req.method} is not allowed on ${path}. Use ${allow.split(",")[0]}.`;
    throw new RouterError("method_not_allowed", message, { headers: { allow } });
  };
}

// Behind the table: what is below it and has a method of its own is no page.
app.get("/console/*", getConsole);

app.notFound(async (c) => {
  const { pathname } = new URL(c.req.url);
  try {
    if (/^\/(?:v1|openai)(?:\/|$)/.test(pathname)) await authenticateKey(c);
  } catch (error) {
    return answerError(error, c);
  }
  const page = await notFoundPage(c);
  return page ?? answerError(new RouterError("not_found", notFoundMessage(c.req.method, pathname)), c);
});

const MESSAGES_PATH = /^(?:\/openai)?\/v1\/messages(?:\/|$)/;
const MODELS_PATH = /^(?:\/openai)?\/v1\/models(?:\/|$)/;

app.onError((error, c) => answerError(error, c));

function answerError(error: unknown, c: Context<AppEnv>): Response {
  const traceId = c.get("traceId");
  const headers = { "x-request-id": traceId, "x-flowlayer-trace-id": traceId };
  const known = error instanceof RouterError ? error : unexpectedFault(error, traceId);
  // An operator's request has no key: the audit log has what it changed.
  if (!c.req.path.startsWith("/admin")) {
    const recognised = c.get("recognised");
    const request = { traceId, receivedAt: c.get("receivedAt"), keyId: recognised?.keyId ?? null, ...recognised };
    reportRefusal(c.env, request, known, (work) => c.executionCtx.waitUntil(work));
  }
  // Clients of Messages read the shape of their own errors, whatever was wrong.
  const { path } = c.req;
  const isMessages =
    MESSAGES_PATH.test(path) || (MODELS_PATH.test(path) && c.req.header("anthropic-version") !== undefined);
  const respond = isMessages ? messagesErrorResponse : errorResponse;
  return respond(known, { trace_id: traceId }, headers, c.req.url);
}
