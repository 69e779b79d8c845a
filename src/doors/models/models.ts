/** `GET /v1/models` and `/v1/models/{id}`: the routes a key may call, in OpenAI's list shape. */
import type { Context } from "hono";
import type { ModelFacts, Price } from "../../catalog/model-facts.ts";
import type { AppEnv } from "../../config.ts";
import { RouterError } from "../../http/errors.ts";
import { oneOf } from "../../http/query.ts";
import type { KeyRecord } from "../../keys/record.ts";
import type { RouteIndex } from "../../policy/schema.ts";
import { getRouteIndex } from "../../policy/store.ts";
import { getPrices } from "../../prices/store.ts";
import { authenticate } from "../authenticate.ts";

type IndexEntry = RouteIndex[number];

/** `?aliases=true` adds an entry per exact alias: names for clients that cannot write `flow/<route>`. */
export async function listModels(context: Context<AppEnv>): Promise<Response> {
  const key = await authenticate(context, "models");
  // Clients page and pin versions here in ways of their own (`limit`, `api-version`, `client_version`): all is one page.
  const withAliases = oneOf("aliases", context.req.query("aliases"), ["true", "false"]) === "true";
  const routes = await routesOf(context, key);
  if (context.req.header("anthropic-version") !== undefined) {
    return context.json(toAnthropicList(routes), 200, { "request-id": context.get("traceId") });
  }
  const data = [...routes.map(toModel), ...(withAliases ? routes.flatMap(toAliases) : [])];
  return context.json({ object: "list", data });
}

const BEFORE_ID = "/v1/models/";

/** The id arrives with its slash as it is or as `%2F`. Throws 404 for a route the key may not call, as for none. */
export async function getModel(context: Context<AppEnv>): Promise<Response> {
  const key = await authenticate(context, "models");
  const { pathname } = new URL(context.req.url);
  const path = pathname.slice(pathname.indexOf(BEFORE_ID) + BEFORE_ID.length);
  const id = decodePath(path);
  const routes = await routesOf(context, key);
  const entry = routes.find(({ name }) => `flow/${name}` === id);
  const model = entry === undefined ? routes.flatMap(toAliases).find((alias) => alias["id"] === id) : toModel(entry);
  if (model === undefined) throw new RouterError("not_found", "No such model. GET /v1/models lists this key's routes.");
  return context.json(model);
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

async function routesOf(context: Context<AppEnv>, key: KeyRecord): Promise<IndexEntry[]> {
  const reading = {
    kv: context.env.CONFIG,
    now: context.get("receivedAt"),
    waitUntil: (work: Promise<unknown>) => context.executionCtx.waitUntil(work),
  };
  const [index, prices] = await Promise.all([getRouteIndex(reading, key.env), getPrices(reading)]).catch(() => {
    throw new RouterError("policy_unavailable", "The list of routes cannot be read at the moment. Try again shortly.");
  });
  return index
    .filter(({ name }) => key.routes?.includes(name) ?? true)
    .map((entry) => {
      const { targets, ...others } = entry;
      const priced = targets.map((target) => ({ ...target, facts: prices.priced(target.facts, target, reading.now) }));
      return { ...others, targets: priced };
    });
}

function toModel(entry: IndexEntry): Record<string, unknown> {
  // What a model can do in a conversation says nothing about its vectors.
  const own = entry.embedding === undefined ? {} : { capabilities: {} };
  const targets = entry.targets.map(({ provider, model, facts }) => ({ provider, model, ...describe(facts), ...own }));
  const windows = entry.targets.map(({ facts }) => facts.context_window).filter((size) => size !== undefined);
  const first = entry.targets[0]?.facts ?? {};
  return {
    id: `flow/${entry.name}`,
    object: "model",
    created: Math.floor(Date.parse(entry.created_at) / 1000),
    owned_by: "flowlayer",
    kind: entry.embedding === undefined ? "chat" : "embedding",
    ...(entry.embedding === undefined ? {} : { embedding: toEmbedding(entry) }),
    route_version: entry.version,
    description: entry.description ?? null,
    targets,
    ...describe(first),
    ...own,
    // What every target can take: a request within it never loses an alternate to its length.
    context_window: windows.length === 0 ? null : Math.min(...windows),
  };
}

/** Which vectors come from a route that embeds; `dimensions` `null`: unknown. */
function toEmbedding({ embedding, targets }: IndexEntry): Record<string, unknown> {
  const own = targets.map(({ facts }) => facts.embedding?.dimensions).find((length) => length !== undefined);
  return { space: embedding?.space ?? null, dimensions: embedding?.dimensions ?? own ?? null };
}

/**
 * The list as Anthropic's clients read it. They ignore ids that begin otherwise, so each route is `anthropic/flow-<route>`,
 * a name that every door accepts. https://platform.claude.com/docs/en/api/models-list
 */
function toAnthropicList(routes: readonly IndexEntry[]): Record<string, unknown> {
  const data = routes.map(({ name, created_at, description }) => ({
    type: "model",
    id: `anthropic/flow-${name}`,
    display_name: description ?? name,
    created_at,
  }));
  return { data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
}

/** One entry per exact alias; a pattern names no model. */
function toAliases({ name, created_at, aliases = [] }: IndexEntry): Record<string, unknown>[] {
  return aliases
    .filter((alias) => !alias.endsWith("*"))
    .map((alias) => ({
      id: alias,
      object: "model",
      created: Math.floor(Date.parse(created_at) / 1000),
      owned_by: "flowlayer",
      flow: { route: `flow/${name}` },
    }));
}

function describe(facts: ModelFacts): Record<string, unknown> {
  return {
    context_window: facts.context_window ?? null,
    max_output_tokens: facts.max_output_tokens ?? null,
    capabilities: facts.capabilities ?? {},
    prices: facts.price === undefined ? null : toUsdPerMillion(facts.price),
  };
}

/** A pico-USD per token is a micro-USD per million tokens. */
function toUsdPerMillion(price: Price): Record<string, number | null> {
  const usd = (micro: number | undefined): number | null => (micro === undefined ? null : micro / 1_000_000);
  return {
    input_usd_per_million_tokens: usd(price.input),
    output_usd_per_million_tokens: usd(price.output),
    cache_read_usd_per_million_tokens: usd(price.cache_read),
    cache_write_usd_per_million_tokens: usd(price.cache_write),
  };
}
