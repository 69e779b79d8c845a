/**
 * Keeps the example routes in step with the configured providers: a route that is still as a start made it follows when
 * a secret comes or goes; one that somebody changed stays as it is.
 */
import type { Instance, LiveRoute } from "./instance.ts";
import { SEED_ENVIRONMENTS, type SeedPolicy, seedRoutes } from "./seed.ts";
import { SEED_PROVIDERS } from "./seed-providers.ts";
import type { Variables } from "./variables.ts";

/** `<env>/<route>` to the version that a start published last. */
export type SeededVersions = Readonly<Record<string, number>>;

export interface SeededRoute {
  readonly env: string;
  readonly name: string;
  /** `<provider>/<model>` in the order of the policy. */
  readonly targets: readonly string[];
  /** `kept`: somebody changed it. */
  readonly state: "new" | "followed" | "same" | "kept";
}

export interface Seeding {
  readonly routes: readonly SeededRoute[];
  readonly versions: SeededVersions;
  /** Providers that can be called, the sandbox left out. */
  readonly configured: readonly string[];
}

const SERVER_TIMEOUT_MS = 2_000;

export async function seedInstance(
  instance: Instance,
  variables: Variables,
  before: SeededVersions,
  reseed: boolean,
): Promise<Seeding> {
  const providers = await instance.providers();
  const configured = providers.filter((each) => each.configured && each.id !== "sandbox").map(({ id }) => id);
  const policies = seedRoutes((provider) => configured.includes(provider), await modelsServed(configured, variables));
  const live = new Map((await instance.routes()).map((route) => [`${route.env}/${route.name}`, route]));
  const routes: SeededRoute[] = [];
  const versions: Record<string, number> = {};
  for (const env of SEED_ENVIRONMENTS) {
    for (const [name, policy] of Object.entries(policies)) {
      const id = `${env}/${name}`;
      const active = live.get(id);
      const mine = active === undefined || reseed || isSeeded(active, before[id]);
      const isSame = active !== undefined && sameTargets(active.policy, policy);
      if (active !== undefined && (!mine || isSame)) {
        if (mine) versions[id] = active.version;
        routes.push({ env, name, targets: targetNames(active.policy), state: mine ? "same" : "kept" });
        continue;
      }
      versions[id] = await instance.publish(env, name, policy, active?.version ?? 0);
      const state = active === undefined ? "new" : "followed";
      routes.push({ env, name, targets: targetNames(policy), state });
    }
  }
  return { routes, versions, configured };
}

/** Starts before versions were noted made version 1 only, from providers of the table. */
function isSeeded({ version, policy }: LiveRoute, noted: number | undefined): boolean {
  if (noted !== undefined) return version === noted;
  const known = new Set(["sandbox", ...SEED_PROVIDERS.map(({ provider }) => provider)]);
  return (
    version === 1 && targetsOf(policy).every(({ provider }) => typeof provider === "string" && known.has(provider))
  );
}

type Target = Readonly<Record<string, unknown>>;

function targetsOf(policy: unknown): readonly Target[] {
  const targets = (policy as { targets?: unknown } | null)?.targets;
  return Array.isArray(targets) ? (targets as readonly Target[]) : [];
}

const targetNames = (policy: unknown): string[] =>
  targetsOf(policy).map(({ provider, model }) => `${String(provider)}/${String(model)}`);

function sameTargets(active: unknown, wanted: SeedPolicy): boolean {
  const described = (targets: readonly Target[]): string =>
    JSON.stringify(targets.map(({ provider, model, params }) => [provider, model, params ?? {}]));
  return described(targetsOf(active)) === described(wanted.targets.map((target) => ({ ...target })));
}

/** What the user's own model servers have loaded. One that does not answer keeps the model of the table. */
async function modelsServed(configured: readonly string[], variables: Variables): Promise<ReadonlyMap<string, string>> {
  const served = new Map<string, string>();
  for (const { provider, asksServer } of SEED_PROVIDERS) {
    if (asksServer !== true || !configured.includes(provider)) continue;
    const name = provider.toUpperCase();
    const model = await firstModel(variables[`${name}_BASE_URL`] ?? "", variables[`${name}_API_KEY`] ?? "");
    if (model !== null) served.set(provider, model);
  }
  return served;
}

async function firstModel(baseUrl: string, key: string): Promise<string | null> {
  try {
    const response = await fetch(`${baseUrl.replace(/\/+$/, "")}/models`, {
      headers: key === "" ? {} : { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(SERVER_TIMEOUT_MS),
    });
    const { data } = (await response.json()) as { data?: readonly { id?: unknown }[] };
    const id = data?.[0]?.id;
    return typeof id === "string" && id !== "" ? id : null;
  } catch {
    return null;
  }
}
