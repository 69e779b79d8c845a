/**
 * Bindings, variables and secrets of the Worker, what they mean, and the types Hono carries through a request.
 *
 * What a variable means is worked out once per isolate: variables change with a deployment only.
 */
import type { ToolApprovals } from "./approvals/tool-approvals.ts";
import type { ControlPlane } from "./control/control-plane.ts";
import type { ConversationStore } from "./conversation-store/conversation-store.ts";
import type { ProviderHealth } from "./health/provider-health.ts";
import type { KeyLedger } from "./ledger/key-ledger.ts";
import { log } from "./lib/log.ts";
import type { TrailIndex } from "./trace-index/trail-index.ts";

export interface Env {
  readonly CONFIG: KVNamespace;
  /** The site's static files. Absent where the Worker runs without them, as in tests. */
  readonly ASSETS?: Fetcher;
  readonly KEY_LEDGER: DurableObjectNamespace<KeyLedger>;
  readonly PROVIDER_HEALTH: DurableObjectNamespace<ProviderHealth>;
  readonly CONTROL_PLANE: DurableObjectNamespace<ControlPlane>;
  readonly TRAIL_INDEX: DurableObjectNamespace<TrailIndex>;
  readonly TOOL_APPROVALS: DurableObjectNamespace<ToolApprovals>;
  readonly CONVERSATION_STORE: DurableObjectNamespace<ConversationStore>;
  /** Counts wrong operator tokens per address. Absent: each isolate counts for itself. */
  readonly ADMIN_ATTEMPTS?: RateLimit;
  /** Secret under every key's tail and hash, at least 16 characters. Absent or shorter: no key is valid. */
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
  /** Largest body of a model request in MiB, a whole number from 1 to 16. Default 10. */
  readonly FLOW_MAX_BODY_MIB?: string;
  /** `1`: base URLs may be http and private. Local work only. */
  readonly FLOW_ALLOW_PRIVATE_UPSTREAMS?: string;
  /** Base URL of an OpenTelemetry collector that takes OTLP over HTTP as JSON. Absent or empty: no spans are sent. */
  readonly OTEL_EXPORTER_OTLP_ENDPOINT?: string;
  /** Headers for it, `name=value` separated by commas, values percent-encoded. A secret where one of them is. */
  readonly OTEL_EXPORTER_OTLP_HEADERS?: string;
}

export interface Recognised {
  readonly keyId: string;
  readonly env: string;
  readonly app: string | null;
  readonly clientRequestId: string | null;
}

export interface AppEnv {
  Bindings: Env;
  Variables: {
    /** Epoch ms at which the request arrived. */
    receivedAt: number;
    traceId: string;
    /** Whose request it is, once its key was recognised. Read where a refusal is reported. */
    recognised: Recognised | undefined;
  };
}

/** A pepper that can be guessed protects nothing, so a shorter one counts as absent. */
const MIN_PEPPER_LENGTH = 16;
const MIB = 1024 * 1024;
const DEFAULT_BODY_MIB = 10;
const MAX_BODY_MIB = 16;

export interface Settings {
  /** Empty: no key is valid and none can be made. */
  readonly pepper: string;
  /** Bytes that the body of a model request may have. */
  readonly maxBodyBytes: number;
}

type SettingsEnv = Pick<Env, "FLOW_KEY_PEPPER" | "FLOW_MAX_BODY_MIB">;
let known:
  | { readonly pepper: string | undefined; readonly mib: string | undefined; readonly settings: Settings }
  | undefined;

/** What the variables of `env` mean. What is ignored of them is logged, once per isolate. */
export function settingsOf(env: SettingsEnv): Settings {
  const { FLOW_KEY_PEPPER: pepper, FLOW_MAX_BODY_MIB: mib } = env;
  if (known === undefined || known.pepper !== pepper || known.mib !== mib) {
    known = { pepper, mib, settings: { pepper: pepperOf(env), maxBodyBytes: maxBodyBytesOf(env) } };
  }
  return known.settings;
}

function pepperOf({ FLOW_KEY_PEPPER: pepper = "" }: SettingsEnv): string {
  if (pepper.length >= MIN_PEPPER_LENGTH) return pepper;
  const reason = pepper === "" ? "absent" : `shorter than ${MIN_PEPPER_LENGTH} characters`;
  log({ event: "variable_ignored", name: "FLOW_KEY_PEPPER", reason, effect: "no API key is valid" });
  return "";
}

function maxBodyBytesOf({ FLOW_MAX_BODY_MIB: text = "" }: SettingsEnv): number {
  const mib = /^[1-9][0-9]?$/.test(text) ? Number(text) : 0;
  if (mib >= 1 && mib <= MAX_BODY_MIB) return mib * MIB;
  if (text !== "") {
    const reason = `not a whole number from 1 to ${MAX_BODY_MIB}`;
    log({ event: "variable_ignored", name: "FLOW_MAX_BODY_MIB", reason, effect: `${DEFAULT_BODY_MIB} MiB` });
  }
  return DEFAULT_BODY_MIB * MIB;
}
