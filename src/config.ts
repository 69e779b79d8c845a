/** Bindings, variables and secrets of the Worker, and the types Hono carries through a request. */
import type { ToolApprovals } from "./approvals/tool-approvals.ts";
import type { ControlPlane } from "./control/control-plane.ts";
import type { ProviderHealth } from "./health/provider-health.ts";
import type { KeyLedger } from "./ledger/key-ledger.ts";
import type { TrailIndex } from "./trace-index/trail-index.ts";

export interface Env {
  readonly CONFIG: KVNamespace;
  readonly KEY_LEDGER: DurableObjectNamespace<KeyLedger>;
  readonly PROVIDER_HEALTH: DurableObjectNamespace<ProviderHealth>;
  readonly CONTROL_PLANE: DurableObjectNamespace<ControlPlane>;
  readonly TRAIL_INDEX: DurableObjectNamespace<TrailIndex>;
  readonly TOOL_APPROVALS: DurableObjectNamespace<ToolApprovals>;
  /** Secret under every key's tail and hash. Absent or empty: no key is valid. */
  readonly FLOW_KEY_PEPPER?: string;
  /** Secret of the control plane, at least 32 characters. Absent or shorter: `/admin` is off. */
  readonly FLOW_ADMIN_TOKEN?: string;
  /** Further operators, `name:token` separated by commas or white space. */
  readonly FLOW_ADMIN_TOKENS?: string;
  /** When set, the only host that answers `/admin`. */
  readonly FLOW_ADMIN_HOST?: string;
  /** `1`: the built-in `sandbox` provider may be called. */
  readonly FLOW_SANDBOX?: string;
  /** `1`: a log line for every request, not only for those that failed or fell back. */
  readonly FLOW_LOG_REQUESTS?: string;
  /** `1`: base URLs may be http and private. Local work only. */
  readonly FLOW_ALLOW_PRIVATE_UPSTREAMS?: string;
  /** Base URL of an OpenTelemetry collector that takes OTLP over HTTP as JSON. Absent or empty: no spans are sent. */
  readonly OTEL_EXPORTER_OTLP_ENDPOINT?: string;
  /** Headers for it, `name=value` separated by commas, values percent-encoded. A secret where one of them is. */
  readonly OTEL_EXPORTER_OTLP_HEADERS?: string;
}

export interface AppEnv {
  Bindings: Env;
  Variables: {
    /** Epoch ms at which the request arrived. */
    receivedAt: number;
    traceId: string;
  };
}
