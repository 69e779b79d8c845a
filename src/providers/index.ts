/** The registry: every provider there is, by id. Lookups go through a `Map`, so `__proto__` is just an unknown name. */
import type { Provider } from "./adapter.ts";
import { openAiProvider } from "./openai-compatible.ts";
import { ROWS } from "./rows.ts";
import { answerFromSandbox, configureSandbox, SANDBOX_ROW } from "./sandbox.ts";

const sandbox: Provider = {
  ...openAiProvider(SANDBOX_ROW),
  configure: configureSandbox,
  send: answerFromSandbox,
};

const PROVIDERS: ReadonlyMap<string, Provider> = new Map(
  [...ROWS.map(openAiProvider), sandbox].map((provider) => [provider.id, provider]),
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
