/** What adapters read of the operator's configuration: addresses and secrets, checked. And how we name ourselves. */
import { upstreamUrl } from "../lib/upstream-url.ts";
import { VERSION } from "../lib/version.ts";
import type { ProviderConfig, Secrets } from "./adapter.ts";

/** Kept equal to `package.json` by a test. */
export const USER_AGENT = `flow-layer/${VERSION}`;

/**
 * The headers of one request, made from nothing: no header of the client's can slip through. `streamType` is what a
 * stream of this provider is made of.
 */
export function upstreamHeaders(
  config: ProviderConfig,
  stream: boolean,
  streamType = "text/event-stream",
): Readonly<Record<string, string>> {
  return {
    "content-type": "application/json",
    // A compressing proxy would hold events back until a block is full. workerd sends the header as written.
    ...(stream ? { accept: streamType, "accept-encoding": "identity" } : { accept: "application/json" }),
    "user-agent": USER_AGENT,
    ...config.headers,
  };
}

/** Headers of the client that belong to its body, by the names that the provider takes; `*` stands for any ending. */
export function openHeadersOf(
  names: readonly string[] = [],
  headers: Headers | null,
): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of headers === null ? [] : names) {
    const value = headers?.get(name.replace("*", "")) ?? null;
    if (!name.endsWith("*")) {
      if (value !== null) found[name] = value;
      continue;
    }
    for (const [each, text] of headers ?? []) if (each.startsWith(name.slice(0, -1))) found[each] = text;
  }
  return found;
}

/** Header text: a secret with a line break or a space in it is a copying mistake, and would make `fetch` throw. */
export function secretText(value: unknown): string | null {
  return typeof value === "string" && /^[\x21-\x7e]+$/.test(value) ? value : null;
}

/** The variable that overrides a provider's base URL: `WORKERS_AI_BASE_URL`. */
export function baseUrlName(id: string): string {
  return `${id.toUpperCase().replaceAll("-", "_")}_BASE_URL`;
}

/** Answers of `upstreamUrl` by text and reach. Configuration only, so it stays tiny; bounded all the same. */
const checkedUrls = new Map<string, string | null>();
const MAX_CHECKED_URLS = 256;

/**
 * Where provider `id` is called: the operator's override, or `template` with its `{NAME}`s filled in. `null` when neither
 * is there, or when the address is not one this deployment may call.
 */
export function baseUrlOf(id: string, template: string | undefined, secrets: Secrets): string | null {
  const override = secrets[baseUrlName(id)];
  const text = override === undefined || override === "" ? filledIn(template, secrets) : override;
  if (typeof text !== "string") return null;
  const reach = secrets["FLOW_ALLOW_PRIVATE_UPSTREAMS"] === "1" ? "any" : "public";
  const key = `${reach} ${text}`;
  let url = checkedUrls.get(key);
  if (url === undefined) {
    url = upstreamUrl(text, reach);
    if (checkedUrls.size >= MAX_CHECKED_URLS) checkedUrls.clear();
    checkedUrls.set(key, url);
  }
  return url;
}

/** `template` with its `{NAME}`s replaced, or `null` when one is missing or could change the address's shape. */
function filledIn(template: string | undefined, secrets: Secrets): string | null {
  if (template === undefined) return null;
  let complete = true;
  const text = template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = secrets[name];
    if (typeof value === "string" && /^[\w-]+$/.test(value)) return value;
    complete = false;
    return "";
  });
  return complete ? text : null;
}
