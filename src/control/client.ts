/**
 * The control plane as the admin endpoints call it.
 *
 * Calls that may be repeated go through `withControl`, which tries once more on a fresh stub when the object was
 * reset or the connection lost. Those that make something new at every call (`createKey`, `rotateKey`, `putRoute`,
 * `rollBackRoute`, `promoteRoute`) use `controlPlane` directly: after a lost response it is unknown whether they
 * happened, and the operator can look.
 */
import type { ControlPlane } from "./control-plane.ts";

const NAME = "control";

type Call =
  | "createKey"
  | "builtInKey"
  | "listKeys"
  | "getKey"
  | "readKey"
  | "noteErased"
  | "listEnvironments"
  | "revokeKey"
  | "updateKey"
  | "rotateKey"
  | "putRoute"
  | "deleteRoute"
  | "rollBackRoute"
  | "rollbackView"
  | "promotionView"
  | "promoteRoute"
  | "listRoutes"
  | "getRoute"
  | "listRouteVersions"
  | "getRouteVersion"
  | "listAudit"
  | "noteShown"
  | "listTargets"
  | "listApprovals"
  | "putProvider"
  | "deleteProvider"
  | "listProviders"
  | "setDisabled"
  | "listDisabled"
  | "standing"
  | "exportRows"
  | "stageImport"
  | "stagedSums"
  | "commitImport"
  | "metricsView"
  | "putWebhook"
  | "rotateWebhook"
  | "testWebhook"
  | "deleteWebhook"
  | "listWebhooks"
  | "listDeliveries"
  | "noteThreshold"
  | "putBudget"
  | "getBudget"
  | "deleteBudget"
  | "listBudgets"
  | "putPrice"
  | "deletePrice"
  | "listPrices"
  | "settings"
  | "keyNames"
  | "usageKeptSince"
  | "putSettings";

/** The methods of the object as its callers see them: every answer is a promise of plain data. */
type Control = {
  readonly [Name in Call]: (
    ...parameters: Parameters<ControlPlane[Name]>
  ) => Promise<Awaited<ReturnType<ControlPlane[Name]>>>;
};

type Namespace = DurableObjectNamespace<ControlPlane>;

export function controlPlane(namespace: Namespace): Control {
  // The same methods: the platform's own stub type cannot follow a policy, whose `params` are JSON of any depth.
  return namespace.getByName(NAME) as unknown as Control;
}

export async function withControl<T>(namespace: Namespace, call: (control: Control) => Promise<T>): Promise<T> {
  try {
    return await call(controlPlane(namespace));
  } catch (error) {
    if (!mayRepeat(error)) throw error;
    // A stub is broken after an error, so a new one is made.
    return call(controlPlane(namespace));
  }
}

/** The flags workerd sets on errors of a stub. An overloaded object must be left alone. */
function mayRepeat(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const flags = error as { retryable?: unknown; overloaded?: unknown; durableObjectReset?: unknown };
  return flags.overloaded !== true && (flags.retryable === true || flags.durableObjectReset === true);
}
