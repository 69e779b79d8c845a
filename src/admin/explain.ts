/**
 * `POST /admin/routes/{env}/{name}/explain`: what would become of a request on this route, or on a draft of its policy,
 * for a key, under the prices of a time. Asks no provider and writes nothing.
 */
import type { Context } from "hono";
import * as z from "zod/mini";
import { controlPlane, withControl } from "../control/client.ts";
import { parseMessagesRequest } from "../doors/messages/request.ts";
import { parseResponsesRequest } from "../doors/responses/request.ts";
import { BODY_LIMITS } from "../http/body.ts";
import { RouterError } from "../http/errors.ts";
import { readJson } from "../http/json-body.ts";
import { badParameter, refuseQuery } from "../http/query.ts";
import { DEFAULT_SCOPES, type KeyRecord } from "../keys/record.ts";
import { ENV_NAME, RESOURCE_NAME } from "../lib/text/name-patterns.ts";
import { RoutePolicy, type RouteRecord } from "../policy/schema.ts";
import { EmbeddingOperation } from "../relay/embedding/operation.ts";
import { explain } from "../relay/explain.ts";
import { resolveAs } from "../relay/resolve.ts";
import { Exchange } from "../relay/trace.ts";
import { messagesDoor } from "../wires/anthropic-messages/door/door.ts";
import { chatDoorWire } from "../wires/openai-chat/door-wire.ts";
import { type ChatRequest, parseChatRequest } from "../wires/openai-chat/request-fields.ts";
import { parseEmbeddingsRequest } from "../wires/openai-embeddings/request-fields.ts";
import { responsesWire } from "../wires/openai-responses/wire.ts";
import type { AdminEnv } from "./access/authorize.ts";
import { factsOf, noSuchRoute, refuseKind } from "./route-answers.ts";

/** Body of the call. */
export const ExplainRequest = z.strictObject({
  api: z._default(z.enum(["chat", "messages", "responses", "embeddings"]), "chat"),
  /** The request's body, as that API takes it. */
  request: z.record(z.string(), z.unknown()),
  /** Id of the key whose budget and limits count. Without it nothing but the route limits. */
  key: z.optional(z.string().check(z.regex(/^[0-9A-Za-z]{12}$/, "must be the id of a key"))),
  /** A draft in place of the active version. */
  policy: z.optional(RoutePolicy),
  /** ISO 8601: the time whose prices hold. */
  at: z.optional(z.iso.datetime({ offset: true })),
});
type ExplainRequest = z.infer<typeof ExplainRequest>;

const NO_KEY = "0".repeat(12);

const APIS = {
  chat: { parse: parseChatRequest, wire: chatDoorWire },
  messages: { parse: parseMessagesRequest, wire: messagesDoor },
  responses: { parse: parseStandalone, wire: responsesWire },
  embeddings: { parse: parseEmbeddingsRequest, wire: null },
} as const;

/** What is stored for a key opens with its secret only, which is not at hand: references stay, and the wire refuses them. */
async function parseStandalone(body: string): Promise<ChatRequest> {
  const { request } = await parseResponsesRequest(body, (fields) =>
    Promise.resolve({ fields, own: [], previousId: null, earlier: [], items: new Map() }),
  );
  return request;
}

export async function postExplain(c: Context<AdminEnv>): Promise<Response> {
  refuseQuery(c);
  const { env, name } = c.req.param() as { env: string; name: string };
  if (!ENV_NAME.test(env) || !RESOURCE_NAME.test(name)) throw noSuchRoute();
  const asked = await readJson(c, ExplainRequest, BODY_LIMITS.admin);
  const { parse, wire } = APIS[asked.api];
  const request = await parse(JSON.stringify({ ...asked.request, model: `flow/${name}` }));
  const [key, record] = await Promise.all([keyOf(c, env, asked.key), recordOf(c, env, name, asked)]);
  const caller = {
    ...{ key, app: key.apps?.[0] ?? "default", headerControls: {} },
    ...{ clientRequestId: null, sessionId: null, agentId: null },
  };
  const waitUntil = (work: Promise<unknown>): void => c.executionCtx.waitUntil(work);
  const at = asked.at === undefined ? Date.now() : Date.parse(asked.at);
  const route = await resolveAs(record, request, caller, wire === null ? "embedding" : "chat", {
    kv: c.env.CONFIG,
    now: at,
    waitUntil,
  });
  const exchange = new Exchange(c.get("traceId"), c.get("receivedAt"), asked.api);
  exchange.keyId = key.id;
  exchange.env = env;
  exchange.app = caller.app;
  exchange.route = name;
  exchange.routeVersion = record.version;
  const health = {
    ...{ namespace: c.env.PROVIDER_HEALTH, kv: c.env.CONFIG, waitUntil },
    key: () => (key.id === NO_KEY ? null : key.id),
  };
  const operation = wire === null ? { operation: new EmbeddingOperation(request, route) } : {};
  const answer = await explain({
    ...operation,
    ...{ request, caller, route, wire, exchange, env: c.env, health, waitUntil, at, showsDetail: true },
  });
  return c.json(answer);
}

/** The key's record; without one a key that nothing limits. Throws 404 and 400. */
async function keyOf(c: Context<AdminEnv>, env: string, id: string | undefined): Promise<KeyRecord> {
  if (id === undefined) {
    return {
      ...{ id: NO_KEY, name: "explain", env, apps: null, routes: null, scopes: [...DEFAULT_SCOPES], budget: null },
      ...{ limits: null, status: "active", created_at: new Date(0).toISOString(), expires_at: null, version: 0 },
      secrets: [],
    };
  }
  const key = await withControl(c.env.CONTROL_PLANE, (control) => control.getKey(id));
  if (key === null) throw new RouterError("not_found", "There is no key with this id.", { param: "key" });
  if (key.env !== env) throw badParameter("key", `must be a key of \`${env}\`: this one belongs to \`${key.env}\``);
  // The ledger knows the version of its terms; older ones change nothing there.
  return { ...key, version: 0, secrets: [] };
}

async function recordOf(
  c: Context<AdminEnv>,
  env: string,
  name: string,
  { policy }: ExplainRequest,
): Promise<RouteRecord> {
  if (policy !== undefined) {
    const draft = { env, name, version: 0, created_at: new Date().toISOString(), actor: c.get("actor") };
    const facts = factsOf(policy);
    refuseKind(policy, facts);
    return { ...draft, policy, facts };
  }
  const route = await controlPlane(c.env.CONTROL_PLANE).getRoute(env, name);
  if (route === null) throw noSuchRoute();
  return route.record;
}
