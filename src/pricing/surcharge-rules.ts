/** The conditions of a price: what an answer says it was served under, and what a request may ask for. Pure. */
import { isJsonObject } from "../lib/json.ts";
import type { Conditions } from "./price-row.ts";

type Json = Readonly<Record<string, unknown>>;

const MAX_NAME_LENGTH = 32;
/** Words for no region in particular. */
const ANYWHERE: ReadonlySet<string> = new Set(["", "global", "not_available"]);
/** https://developers.openai.com/api/docs/guides/data-residency: a region has a host of its own. */
const OPENAI_REGION = /^https:\/\/([a-z]{2})\.api\.openai\.com(?:[:/]|$)/;

export interface Known {
  readonly provider: string;
  /** Epoch ms. */
  readonly startedAt: number;
  /** Address the provider was called at. */
  readonly baseUrl: string;
}

/** The conditions of an answer. `rawUsage` as `usageOf` gives it, with the tier that served. */
export function readConditions(rawUsage: unknown, { provider, startedAt, baseUrl }: Known): Conditions {
  const usage = isJsonObject(rawUsage) ? rawUsage : {};
  // Anthropic's faster mode is separate from its tiers, and costs more than any of them.
  const serviceTier = usage["speed"] === "fast" ? "fast" : nameOf(usage["service_tier"]);
  const region = regionIn(usage) ?? regionOf(provider, baseUrl);
  return {
    provider,
    startedAt,
    ...(serviceTier === undefined ? {} : { serviceTier }),
    ...(region === undefined ? {} : { region }),
  };
}

/** The region that the address binds a provider to. */
export function regionOf(provider: string, baseUrl: string): string | undefined {
  return provider === "openai" ? OPENAI_REGION.exec(baseUrl)?.[1] : undefined;
}

function regionIn(source: Json): string | undefined {
  const geo = nameOf(source["inference_geo"]);
  return geo === undefined || ANYWHERE.has(geo) ? undefined : geo;
}

function nameOf(value: unknown): string | undefined {
  return typeof value === "string" ? value.toLowerCase().slice(0, MAX_NAME_LENGTH) : undefined;
}
