/**
 * The credentials that a provider can be called with: `OPENAI_API_KEY`, and `OPENAI_API_KEY_2` to `_9` besides. An
 * operator's own endpoint lists the names of its secrets. Outside of here a credential is a number, never a value.
 */
import type { Provider, ProviderConfig, Secrets } from "./adapter.ts";

export interface Credential {
  /** From 1. */
  readonly number: number;
  readonly config: ProviderConfig;
}

const MAX_CREDENTIALS = 9;

/** By the object that variables come in, which the runtime hands to most requests. */
const known = new WeakMap<Secrets, Map<Provider, readonly Credential[]>>();

/** All that can be used, by number; none: the provider is not configured. */
export function credentialsOf(provider: Provider, secrets: Secrets): readonly Credential[] {
  const byProvider = known.get(secrets) ?? new Map<Provider, readonly Credential[]>();
  known.set(secrets, byProvider);
  const found = byProvider.get(provider) ?? read(provider, secrets);
  // One of an operator is made for each request.
  if (provider.pool !== undefined) byProvider.set(provider, found);
  return found;
}

function read(provider: Provider, secrets: Secrets): readonly Credential[] {
  if (provider.credentials !== undefined) return provider.credentials(secrets);
  const { pool = [] } = provider;
  const numbers = Array.from({ length: MAX_CREDENTIALS }, (_, at) => at + 1);
  return numbers.flatMap((number) => {
    const config = number === 1 ? provider.configure(secrets) : configureAs(provider, pool, number, secrets);
    return config === null ? [] : [{ number, config }];
  });
}

/** As if the secret of that number were the only one. */
function configureAs(
  provider: Provider,
  pool: readonly string[],
  number: number,
  secrets: Secrets,
): ProviderConfig | null {
  const name = pool.find((each) => isSet(secrets[`${each}_${number}`]));
  if (name === undefined) return null;
  const none = Object.fromEntries(pool.map((each) => [each, undefined]));
  return provider.configure({ ...secrets, ...none, [name]: secrets[`${name}_${number}`] });
}

const isSet = (value: unknown): boolean => value !== undefined && value !== "";
