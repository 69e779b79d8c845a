/**
 * What a provider charges beyond the rates of a model: its service tiers, regions and fees, as far as they are the same
 * for all of its models. A member of the model's own price goes before them.
 */
import type { FeeName, Ratio } from "./model-facts.ts";

/**
 * Version and day of the table of models, as stored with charges. Kept here so that reading it does not load the table.
 */
export const CATALOG_VERSION = "2@2026-11-30";

export interface ProviderTerms {
  /** Ratio of every rate by the tier that served. */
  readonly service?: Readonly<Record<string, Ratio>>;
  /** Ratio of every rate where the region is bound. */
  readonly regional?: Ratio;
  /** Nano-USD per call. Free quotas are not taken off: only the provider knows what is left of them. */
  readonly fees?: Readonly<Partial<Record<FeeName, number>>>;
  /** Tools that the provider runs, by `toolName`, and the fees that a call of each is charged: none, for most. */
  readonly tools?: Readonly<Record<string, readonly FeeName[]>>;
  /** Members of a chat request that only this provider has, and that cost nothing. */
  readonly freeMembers?: readonly string[];
}

/** One name for a tool in all its spellings: `web_search_20250305`, `googleSearch` and `google_search`. */
export function toolName(type: string): string {
  return type
    .replace(/_\d{8}$/, "")
    .replace(/[^a-z0-9]/gi, "")
    .toLowerCase();
}

/** Tools that a provider defines and the client runs. They cost what their definition takes of the prompt. */
const CLIENT_RUN_TOOLS: ReadonlySet<string> = new Set([
  ...["bash", "texteditor", "computer", "memory", "computeruse", "toolsearchtoolregex", "toolsearchtoolbm25"],
  ...["localshell", "applypatch", "computerusepreview"],
]);

export function isClientRunTool(type: string): boolean {
  return CLIENT_RUN_TOOLS.has(toolName(type));
}

const FULL: Ratio = [1, 1];
const HALF: Ratio = [1, 2];
const TENTH_MORE: Ratio = [11, 10];

const TERMS: Readonly<Record<string, ProviderTerms>> = {
  openai: {
    service: { batch: HALF, flex: HALF },
    // Models released before 2026-03-05 cost the same everywhere, the others have a ratio of their own.
    regional: FULL,
    fees: { web_search: 10_000_000, file_search: 2_500_000 },
    tools: { websearch: ["web_search"], websearchpreview: ["web_search"], filesearch: ["file_search"], mcp: [] },
  },
  anthropic: {
    // Priority is capacity bought ahead: what was agreed for it is not known here.
    service: { batch: HALF, priority: FULL },
    fees: { web_search: 10_000_000 },
    tools: { websearch: ["web_search"], webfetch: [] },
  },
  // From the third generation on, each search is charged; before it, each prompt that found something.
  google: {
    service: { batch: HALF, flex: HALF },
    fees: { web_search: 14_000_000, grounded_prompt: 0 },
    tools: {
      googlesearch: ["web_search", "grounded_prompt"],
      googlesearchretrieval: ["web_search", "grounded_prompt"],
      googlemaps: ["grounded_prompt"],
      urlcontext: [],
      codeexecution: [],
      filesearch: [],
    },
  },
  azure: { regional: TENTH_MORE },
  // Regional profiles have ids and prices of their own.
  bedrock: { service: { batch: HALF, flex: HALF } },
  mistral: { service: { batch: HALF } },
  // https://console.groq.com/docs/flex-processing: flex costs as on-demand does.
  groq: { service: { batch: HALF, flex: FULL } },
  alibaba: { service: { batch: HALF }, freeMembers: ["incremental_output"] },
  fireworks: { service: { batch: HALF } },
  xai: { service: { priority: [2, 1] } },
  openrouter: { freeMembers: ["transforms"] },
  // https://docs.perplexity.ai/docs/grounded-llm/chat-completions/filters: they narrow the search that is made anyway.
  perplexity: {
    freeMembers: [
      ...["search_domain_filter", "search_recency_filter", "search_after_date_filter", "search_before_date_filter"],
      ...["last_updated_after_filter", "last_updated_before_filter", "search_language_filter", "search_mode"],
      ...["return_images", "return_related_questions", "disable_search", "language_preference"],
    ],
  },
};

const NO_TERMS: ProviderTerms = Object.freeze({});

export function termsOf(provider: string): ProviderTerms {
  return Object.hasOwn(TERMS, provider) ? (TERMS[provider] ?? NO_TERMS) : NO_TERMS;
}

/** Providers' names of the tier the list price is for, and of capacity that was paid for ahead. */
export const LIST_PRICE_TIERS: ReadonlySet<string> = new Set([
  ...["default", "standard", "standard_only", "auto", "on_demand", "unspecified"],
  ...["scale", "reserved", "provisioned"],
]);
