/** The registry: every provider there is, by id. Lookups go through a `Map`, so `__proto__` is just an unknown name. */
import type { Provider, Secrets } from "./adapter.ts";
import { anthropic } from "./anthropic.ts";
import { bedrock } from "./bedrock.ts";
import { cohere } from "./cohere.ts";
import { google } from "./google.ts";
import { AZURE_ROW } from "./openai/azure.ts";
import { openAiProvider } from "./openai/openai-compatible.ts";
import { operatorProvider } from "./openai/openai-operator.ts";
import { WORKERS_AI_QUIRKS } from "./openai/workers-ai.ts";
import type { RowQuirks } from "./provider-row.ts";
import { ROWS } from "./rows.ts";
import { answerFromSandbox, configureSandbox, SANDBOX_EMBEDDING, SANDBOX_ROW } from "./sandbox.ts";

export { operatorProvider };

const sandbox: Provider = {
  ...openAiProvider(SANDBOX_ROW),
  requires: [["FLOW_SANDBOX"]],
  configure: configureSandbox,
  send: answerFromSandbox,
  embedding: SANDBOX_EMBEDDING,
};

/** What of a provider no row can say. */
const QUIRKS: Readonly<Record<string, RowQuirks>> = { "workers-ai": WORKERS_AI_QUIRKS };

const PROVIDERS: ReadonlyMap<string, Provider> = new Map(
  [
    ...ROWS.map((row) => openAiProvider({ ...row, ...(QUIRKS[row.id] && { quirks: QUIRKS[row.id] }) })),
    ...[anthropic, openAiProvider(AZURE_ROW), bedrock, cohere, google, sandbox],
  ].map((provider) => [provider.id, provider]),
);

export function findProvider(id: string): Provider | undefined {
  return PROVIDERS.get(id);
}

export function isKnownProvider(id: string): boolean {
  return PROVIDERS.has(id);
}

/**
 * The names that are still to be set before `provider` can be called: those of the set that is nearest to complete.
 * Empty also when all are set and one of them is not usable.
 */
export function missingNames(provider: Provider, secrets: Secrets): readonly string[] {
  const isMissing = (name: string): boolean => secrets[name] === undefined || secrets[name] === "";
  let nearest: { readonly missing: readonly string[]; readonly present: number } | undefined;
  for (const names of provider.requires) {
    const missing = names.filter(isMissing);
    const present = names.length - missing.length;
    const fewer = nearest === undefined || missing.length < nearest.missing.length;
    // If two lack as many, the one that is partly configured comes first.
    const begun = missing.length === nearest?.missing.length && present > nearest.present;
    if (fewer || begun) nearest = { missing, present };
  }
  return nearest?.missing ?? [];
}

export function providerIds(): readonly string[] {
  return [...PROVIDERS.keys()];
}
