/** Providers of a route that operators added: their records are read like the route's own. */
import type { Target } from "../policy/schema.ts";
import { getProvider, type ReadContext } from "../policy/store.ts";
import type { Provider } from "../providers/adapter.ts";
import { findProvider, operatorProvider } from "../providers/index.ts";

/**
 * How `targets` find their providers: those that are built in, then the operators' own. One that is not there, or that
 * cannot be read, has no provider. Reads nothing where all are built in. Never rejects.
 */
export async function providersOf(
  targets: readonly Target[],
  context: ReadContext,
): Promise<(id: string) => Provider | undefined> {
  const others = new Set(targets.map(({ provider }) => provider).filter((id) => findProvider(id) === undefined));
  const own = new Map<string, Provider>();
  const read = async (id: string): Promise<void> => {
    const record = await getProvider(context, id).catch(() => null);
    if (record !== null) own.set(id, operatorProvider(record));
  };
  await Promise.all([...others].map(read));
  return (id) => findProvider(id) ?? own.get(id);
}
