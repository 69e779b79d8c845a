/**
 * Where Durable Objects live: with `FLOW_JURISDICTION` every object of the deployment is made in that jurisdiction.
 *
 * An object of one jurisdiction does not know those of another, so a deployment cannot move: its keys and budgets would
 * look empty. The control plane notes the jurisdiction in KV with its first change, and a deployment that says something
 * else answers 503.
 *
 * https://developers.cloudflare.com/durable-objects/reference/data-location/#restrict-durable-objects-to-a-jurisdiction
 */
import { isJsonObject, tryParseJson } from "../lib/json.ts";

const JURISDICTIONS = ["eu", "us", "fedramp"] as const;
export const JURISDICTION_KEY = "jurisdiction";

/** What the local runtime says, which has no places. */
const NOT_LOCAL = /not implemented in workerd/i;

interface Placeable {
  jurisdiction(name: string): unknown;
}

const isPlaceable = (value: unknown): value is Placeable =>
  typeof value === "object" && value !== null && typeof Reflect.get(value, "jurisdiction") === "function";

function placedNamespace(namespace: Placeable, jurisdiction: string): unknown {
  try {
    return namespace.jurisdiction(jurisdiction);
  } catch (error) {
    if (error instanceof Error && NOT_LOCAL.test(error.message)) return namespace;
    throw error;
  }
}

/** `env` with each namespace of objects restricted to the jurisdiction. */
export function placed<Bindings extends object>(env: Bindings, jurisdiction: string): Bindings {
  const entries = Object.entries(env).map(([name, value]) => [
    name,
    isPlaceable(value) ? placedNamespace(value, jurisdiction) : value,
  ]);
  return Object.fromEntries(entries) as Bindings;
}

export const jurisdictionRecord = (jurisdiction: string): string => JSON.stringify({ jurisdiction });

type Records = Pick<KVNamespace, "get" | "list">;

/**
 * What is wrong with the jurisdiction that is configured; `null` where it is the one that the deployment began with.
 * Empty: none is configured. Throws where KV does not answer.
 */
export async function jurisdictionFault(kv: Records, configured: string): Promise<string | null> {
  const known: readonly string[] = JURISDICTIONS;
  if (configured !== "" && !known.includes(configured)) {
    return `FLOW_JURISDICTION must be one of ${JURISDICTIONS.join(", ")}, or absent.`;
  }
  const record = tryParseJson((await kv.get(JURISDICTION_KEY)) ?? "");
  const begun = isJsonObject(record) && typeof record["jurisdiction"] === "string" ? record["jurisdiction"] : null;
  if (begun === (configured === "" ? null : configured)) return null;
  if (begun !== null) return moved(`FLOW_JURISDICTION=${begun}`, `Set it to ${begun} again`);
  // Without a record: either nothing was ever published, or the deployment began without a jurisdiction.
  const { keys } = await kv.list({ limit: 1 });
  return keys.length === 0 ? null : moved("no FLOW_JURISDICTION", "Remove it again");
}

const moved = (began: string, remedy: string): string =>
  `This deployment began with ${began}, and its data cannot move. ${remedy}; or export there, deploy under another name, and import.`;
