/**
 * Bindings, variables and secrets of the Worker, what they mean, and the types Hono carries through a request.
 *
 * Bindings are typed by `worker-env.d.ts`, which `wrangler types` writes from wrangler.toml. Variables are read here alone,
 * and what they mean is worked out once per isolate: they change with a deployment only.
 */

import { placed } from "./durable/jurisdiction.ts";
import { type Operator, operatorsOf } from "./keys/operators.ts";
import { log } from "./lib/log.ts";
import { nearest } from "./lib/text/nearest.ts";

/** Bindings that a deployment may lack: tests run without pages, and older ones have no limits of rates. */
type MaybeBound = "ASSETS" | "ADMIN_ATTEMPTS";
export type Env = Omit<Cloudflare.Env, MaybeBound> & Partial<Pick<Cloudflare.Env, MaybeBound>>;

/** Every variable and secret of our own, and what it is for. Those of providers are in the provider table. */
export const VARIABLES = {
  FLOW_KEY_PEPPER:
    "Secret under every key's tail and hash, at least 16 characters. Absent or shorter: no key is valid.",
  FLOW_KEY_PEPPER_PREVIOUS:
    "The pepper before, while keys move to a new one: keys made under it stay valid. At least 16 characters.",
  FLOW_TRACE_DAYS: "Days for which traces are kept, a whole number from 1 to 30. Default 30.",
  FLOW_ADMIN_TOKEN: "Secret of the control plane, at least 32 characters. Absent or shorter: `/admin` is off.",
  FLOW_ADMIN_TOKENS:
    "Further operators, `name:token[:role]` separated by commas or white space. Roles: `read`, `approve`, `release`, `admin`.",
  FLOW_ADMIN_HOST: "When set, the only host that answers `/admin`.",
  FLOW_JURISDICTION:
    "`eu`, `us` or `fedramp`: where all Durable Objects live. Holds from the first start; another value is 503.",
  FLOW_SANDBOX: "`1`: the built-in `sandbox` provider may be called.",
  FLOW_LOG_REQUESTS: "`1`: a log line for every request, not only for those that failed or fell back.",
  FLOW_MAX_BODY_MIB: "Largest body of a model request in MiB, a whole number from 1 to 16. Default 10.",
  FLOW_RESPONSES_STORE: "`0`: no response is kept, whatever a policy says.",
  FLOW_ALLOW_PRIVATE_UPSTREAMS: "`1`: base URLs may be http and private. Local work only.",
  OTEL_EXPORTER_OTLP_ENDPOINT: "Base URL of a collector that takes OTLP over HTTP as JSON. Absent: no spans are sent.",
  OTEL_EXPORTER_OTLP_HEADERS: "Headers for it, `name=value` separated by commas, values percent-encoded.",
  OTEL_SERVICE_NAME: "Name of this service on its spans. Default `flow-layer`.",
  OTEL_RESOURCE_ATTRIBUTES:
    "Further attributes of the service, `name=value` separated by commas, values percent-encoded.",
} as const;
type Variable = keyof typeof VARIABLES;

/** A variable or secret; `undefined` where it is absent or empty. An empty line of `.dev.vars` sets nothing. */
function variable(env: object, name: Variable): string | undefined {
  const value: unknown = Reflect.get(env, name);
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Variables and secrets by name, for the provider table, which knows which of them it wants. */
export function secretsOf(env: object): Readonly<Record<string, unknown>> {
  // A Worker's bindings and variables are one object.
  return env as Readonly<Record<string, unknown>>;
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
const MAX_TRACE_DAYS = 30;

const EXPORTER_VARIABLES = [
  "OTEL_EXPORTER_OTLP_ENDPOINT",
  "OTEL_EXPORTER_OTLP_HEADERS",
  "OTEL_SERVICE_NAME",
  "OTEL_RESOURCE_ATTRIBUTES",
  "FLOW_ALLOW_PRIVATE_UPSTREAMS",
] as const;

export interface Settings {
  /** Empty: no key is valid and none can be made. */
  readonly pepper: string;
  /** Keys made under it stay valid. Empty: there is none, or no pepper at all. */
  readonly previousPepper: string;
  /** Days for which traces are kept. */
  readonly traceDays: number;
  /** Bytes that the body of a model request may have. */
  readonly maxBodyBytes: number;
  /** Who may use the control plane. Empty: the control plane is off. */
  readonly operators: readonly Operator[];
  /** The only host that answers `/admin`, in lower case; empty: any. */
  readonly adminHost: string;
  readonly logsEveryRequest: boolean;
  /** Where Durable Objects live; empty: wherever they are asked for first. */
  readonly jurisdiction: string;
  /** Responses may be kept for `previous_response_id`. */
  readonly storesResponses: boolean;
  /** The built-in provider answers, so this is local work or a trial. */
  readonly hasSandbox: boolean;
  readonly allowsPrivateUpstreams: boolean;
  /** Where spans go, under the names that OpenTelemetry gives its variables. */
  readonly exporter: { readonly [Name in (typeof EXPORTER_VARIABLES)[number]]?: string };
}

interface Known {
  /** The object that was read last: the runtime hands the same one to most requests. */
  env: object;
  readonly values: readonly (string | undefined)[];
  readonly settings: Settings;
}
let known: Known | undefined;

/** What the variables of `env` mean. What is ignored of them is logged, once per isolate. */
export function settingsOf(env: object): Settings {
  if (known?.env === env) return known.settings;
  const values = Object.keys(VARIABLES).map((name) => variable(env, name as Variable));
  if (known !== undefined && values.every((value, at) => value === known?.values[at])) {
    known.env = env;
    return known.settings;
  }
  known = { env, values, settings: readSettings((name) => variable(env, name)) };
  tellUnknown(env);
  return known.settings;
}

/** A misspelled variable does nothing, so that its operator would look for the fault everywhere else. */
function tellUnknown(env: object): void {
  for (const name of Object.keys(env)) {
    if (!name.startsWith("FLOW_") || Object.hasOwn(VARIABLES, name)) continue;
    const reason = `no such variable; the nearest is ${nearest(name, Object.keys(VARIABLES))}`;
    log({ event: "variable_ignored", name, reason, effect: "none" });
  }
}

type Read = (name: Variable) => string | undefined;

function readSettings(read: Read): Settings {
  const pepper = pepperOf(read("FLOW_KEY_PEPPER"));
  return {
    pepper,
    previousPepper: pepper === "" ? "" : previousPepperOf(read("FLOW_KEY_PEPPER_PREVIOUS")),
    maxBodyBytes: wholeNumberOf("FLOW_MAX_BODY_MIB", read, MAX_BODY_MIB, DEFAULT_BODY_MIB) * MIB,
    traceDays: wholeNumberOf("FLOW_TRACE_DAYS", read, MAX_TRACE_DAYS, MAX_TRACE_DAYS),
    operators: usableOperators(read),
    adminHost: (read("FLOW_ADMIN_HOST") ?? "").trim().toLowerCase(),
    logsEveryRequest: switchOf("FLOW_LOG_REQUESTS", read, false),
    storesResponses: switchOf("FLOW_RESPONSES_STORE", read, true),
    jurisdiction: read("FLOW_JURISDICTION") ?? "",
    hasSandbox: switchOf("FLOW_SANDBOX", read, false),
    allowsPrivateUpstreams: switchOf("FLOW_ALLOW_PRIVATE_UPSTREAMS", read, false),
    exporter: given(read, EXPORTER_VARIABLES),
  };
}

/** Those of `names` that are set. */
function given<Name extends Variable>(read: Read, names: readonly Name[]): { readonly [Each in Name]?: string } {
  const found = names.map((name) => [name, read(name)] as const).filter(([, value]) => value !== undefined);
  // The names are those of the parameter, and each value is a text.
  return Object.fromEntries(found) as { readonly [Each in Name]?: string };
}

function usableOperators(read: Read): readonly Operator[] {
  const { usable, ignored } = operatorsOf(read("FLOW_ADMIN_TOKEN"), read("FLOW_ADMIN_TOKENS"));
  for (const { name, reason } of ignored) log({ event: "admin_token_ignored", name, reason });
  return usable;
}

function pepperOf(pepper = ""): string {
  if (pepper.length >= MIN_PEPPER_LENGTH) return pepper;
  const reason = pepper === "" ? "absent" : `shorter than ${MIN_PEPPER_LENGTH} characters`;
  log({ event: "variable_ignored", name: "FLOW_KEY_PEPPER", reason, effect: "no API key is valid" });
  return "";
}

function previousPepperOf(pepper = ""): string {
  if (pepper === "" || pepper.length >= MIN_PEPPER_LENGTH) return pepper;
  const reason = `shorter than ${MIN_PEPPER_LENGTH} characters`;
  log({ event: "variable_ignored", name: "FLOW_KEY_PEPPER_PREVIOUS", reason, effect: "no key made under it is valid" });
  return "";
}

/** A variable that is `0` or `1`. */
function switchOf(name: Variable, read: Read, normal: boolean): boolean {
  const text = read(name);
  if (text === "0" || text === "1") return text === "1";
  if (text !== undefined) {
    log({ event: "variable_ignored", name, reason: "neither 0 nor 1", effect: `it is ${normal ? 1 : 0}` });
  }
  return normal;
}

/** A variable that is a number from 1 to `most`. */
function wholeNumberOf(name: Variable, read: Read, most: number, normal: number): number {
  const text = read(name) ?? "";
  const number = /^[1-9][0-9]?$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= most) return number;
  const reason = `not a whole number from 1 to ${most}`;
  if (text !== "") log({ event: "variable_ignored", name, reason, effect: `it is ${normal}` });
  return normal;
}

/** `env` as all code gets it: its objects in the jurisdiction of the deployment. Made once per environment object. */
export function inJurisdiction<Bindings extends object>(env: Bindings): Bindings {
  const { jurisdiction } = settingsOf(env);
  if (jurisdiction === "") return env;
  const made = placedEnvironments.get(env) ?? placed(env, jurisdiction);
  placedEnvironments.set(env, made);
  return made as Bindings;
}

const placedEnvironments = new WeakMap<object, object>();
