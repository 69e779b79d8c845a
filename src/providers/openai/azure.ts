/**
 * Azure OpenAI: OpenAI's protocol at an address of the customer's, under a header of its own.
 *
 * The v1 API by default, with the deployment's name as the model. `AZURE_API_VERSION` asks for the older one, where the
 * deployment is in the address and the version decides what is understood. Streams pass as they come, Azure's
 * filter events included; only a whole answer that the filter emptied is mended, since it lacks its message.
 */
import type { AdapterCall, ProviderConfig, Secrets } from "../adapter.ts";
import type { ProviderRow } from "../provider-row.ts";
import { baseUrlOf, secretText } from "../provider-settings.ts";

/** https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle */
const V1_BASE_URL = "https://{AZURE_RESOURCE_NAME}.openai.azure.com/openai/v1";
const DATED_BASE_URL = "https://{AZURE_RESOURCE_NAME}.openai.azure.com/openai";

const COMMON = {
  id: "azure",
  source: "https://learn.microsoft.com/azure/ai-foundry/openai/latest",
  baseUrl: V1_BASE_URL,
  secrets: ["AZURE_API_KEY"],
  history: { reasoning: "none", callIds: "short" },
  codes: {
    ratelimitreached: "rate_limited",
    toomanyrequests: "rate_limited",
    nocapacity: "rate_limited",
    deploymentnotfound: "auth",
    unknown_model: "auth",
    operationnotsupported: "auth",
    unauthorized: "auth",
    permissiondenied: "auth",
    accessdenied: "auth",
    insufficientquota: "auth",
    // The filter itself was down, and the policy says not to answer without it.
    content_filter_error: "server_error",
  },
} as const satisfies ProviderRow;

export const AZURE_ROW: ProviderRow = {
  ...COMMON,
  limit: ["max_completion_tokens"],
  developerRole: true,
  clean: "https://learn.microsoft.com/azure/ai-foundry/openai/latest, and recordings of text and tool streams",
  wires: {
    responses: {
      source: "https://learn.microsoft.com/azure/ai-foundry/openai/how-to/responses, and recordings",
      clean: true,
      thoughts: "gAAAA",
      actions: ["compact"],
    },
  },
  customTools: true,
  efforts: "known",
  fixedSampling: true,
  quirks: { configure, chatUrl, responsesUrl, rowFor },
};
/** The newer limit, the role `developer` and usage in streams came with 2024-09-01-preview. */
const NEWER_FIELDS_SINCE = "2024-09-01";
const OLDER_ROW: ProviderRow = { ...COMMON, limit: ["max_tokens"], usageAlways: true };

function configure(secrets: Secrets): ProviderConfig | null {
  const { AZURE_API_KEY: key, AZURE_API_VERSION: version } = secrets;
  const isDated = version !== undefined && version !== "";
  // It becomes part of the address.
  if (isDated && !(typeof version === "string" && /^[\w-]{1,40}$/.test(version))) return null;
  const baseUrl = baseUrlOf("azure", isDated && isDate(version) ? DATED_BASE_URL : V1_BASE_URL, secrets);
  const secret = secretText(key);
  if (baseUrl === null || secret === null) return null;
  const headers = { "api-key": secret };
  return isDated ? { baseUrl, headers, settings: { apiVersion: version } } : { baseUrl, headers };
}

function rowFor({ settings }: ProviderConfig): ProviderRow {
  const version = settings?.["apiVersion"];
  return version !== undefined && isDate(version) && version < NEWER_FIELDS_SINCE ? OLDER_ROW : AZURE_ROW;
}

/** `2024-10-21`, `2025-04-01-preview`; the v1 API knows only `preview` and `latest`. */
function isDate(version: unknown): boolean {
  return typeof version === "string" && /^\d{4}-/.test(version);
}

/** The deployment is in the body, whatever the version. */
function responsesUrl({ baseUrl, settings }: ProviderConfig): string {
  const version = settings?.["apiVersion"];
  if (version === undefined) return `${baseUrl}/responses`;
  const base = isDate(version) ? baseUrl.replace(/\/v1$/, "") : baseUrl;
  return `${base}/responses?api-version=${version}`;
}

function chatUrl({ config, model }: Pick<AdapterCall, "config" | "model">): string {
  const version = config.settings?.["apiVersion"];
  if (version === undefined) return `${config.baseUrl}/chat/completions`;
  const query = `?api-version=${version}`;
  // The v1 API, and the older endpoint of Foundry for models that are not OpenAI's: the model is in the body.
  if (!isDate(version) || /\/models$/.test(config.baseUrl)) return `${config.baseUrl}/chat/completions${query}`;
  const base = config.baseUrl.replace(/\/v1$/, "");
  return `${base}/deployments/${encodeURIComponent(model)}/chat/completions${query}`;
}
