/** The registry: every provider there is, by id. Lookups go through a `Map`, so `__proto__` is just an unknown name. */
import type { Provider } from "./adapter.ts";
import { anthropic } from "./anthropic.ts";
import { azure } from "./azure.ts";
import { bedrock } from "./bedrock.ts";
import { cohere } from "./cohere.ts";
import { gemini } from "./gemini.ts";
import { openAiProvider } from "./openai-compatible.ts";
import { ROWS, WORKERS_AI_ROW } from "./rows.ts";
import { answerFromSandbox, configureSandbox, SANDBOX_ROW } from "./sandbox.ts";
import { workersAi } from "./workers-ai.ts";

const sandbox: Provider = {
  ...openAiProvider(SANDBOX_ROW),
  configure: configureSandbox,
  send: answerFromSandbox,
};

const PROVIDERS: ReadonlyMap<string, Provider> = new Map(
  [
    ...ROWS.map(openAiProvider),
    // Takes the place of its row.
    workersAi(openAiProvider(WORKERS_AI_ROW)),
    anthropic,
    azure,
    bedrock,
    cohere,
    gemini,
    sandbox,
  ].map((provider) => [provider.id, provider]),
);

export function findProvider(id: string): Provider | undefined {
  return PROVIDERS.get(id);
}

export function isKnownProvider(id: string): boolean {
  return PROVIDERS.has(id);
}

export function providerIds(): readonly string[] {
  return [...PROVIDERS.keys()];
}
