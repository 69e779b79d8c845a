/** `doctor`: the smoke test of a deployment. Each check says what it found and, where it failed, what to do. */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { type Json, listAll } from "../client.ts";
import type { CommandInput } from "../input.ts";
import { answeredBy, refusedCredentials, streamChat } from "../requests.ts";
import { type Colour, table } from "../table.ts";
import { CommandError, EXIT_ERROR, EXIT_OK } from "../terminal.ts";
import { type Probe, withProbe } from "./probe.ts";

type State = "ok" | "warning" | "failed" | "skipped";
interface Check {
  readonly name: string;
  readonly state: State;
  readonly detail: string;
}

const COLOURS: Readonly<Record<State, Colour>> = { ok: "green", warning: "yellow", failed: "red", skipped: "dim" };
const TRACE_WAIT_MS = 10_000;
const TRACE_PAUSE_MS = 200;
/** So that an operator sees at once whose requests they are. */
const AS_DOCTOR = { "x-flowlayer-app": "flow-layer-doctor" };
const WORKERS_DEV = ".workers.dev";
const MESSAGES = [{ role: "user", content: "Answer with the word pong." }];

export async function doctor(input: CommandInput): Promise<number> {
  const checks: Check[] = [];
  const add = (name: string, state: State, detail: string): void => void checks.push({ name, state, detail });
  const run = async (name: string, check: () => Promise<void>): Promise<void> => {
    try {
      await check();
    } catch (error) {
      add(name, "failed", error instanceof CommandError ? error.message : "failed unexpectedly");
    }
  };
  const env = input.text("env") ?? "production";
  await run("address", () => checkAddress(input, add));
  if (checks.every(({ state }) => state !== "failed")) {
    await run("admin token", () => checkAdmin(input, add));
  }
  // What the deployment itself reports as failed keeps none of the further checks from being tried.
  if (checks.every(({ name, state }) => name === "status" || state !== "failed")) {
    await run("providers", () => checkProviders(input, add));
    await run("routes", () => checkRoutes(input, env, add));
    await run("request", () => checkRequest(input, env, add));
  }
  input.print({ host: input.host().base.origin, checks }, () =>
    table(
      [
        { title: "CHECK", value: ({ name }: Check) => name, whole: true },
        { title: "STATE", value: ({ state }) => state, whole: true, colour: ({ state }) => COLOURS[state] },
        { title: "DETAIL", value: ({ detail }) => detail },
      ],
      checks,
      "",
      { ...input.look, columns: null },
    ),
  );
  return checks.some(({ state }) => state === "failed") ? EXIT_ERROR : EXIT_OK;
}

type Add = (name: string, state: State, detail: string) => void;

async function checkAddress(input: CommandInput, add: Add): Promise<void> {
  const client = input.openClient();
  const health = await client.call("GET", "/health");
  if (health["status"] !== "ok") throw new CommandError(`${client.origin} is no Flow Layer.`);
  const root = await client.call("GET", "/");
  add("address", "ok", `${client.origin}, version ${String(root["version"])} (${input.host().source})`);
}

async function checkAdmin(input: CommandInput, add: Add): Promise<void> {
  const client = input.client();
  await client.call("GET", "/admin/routes?limit=1");
  const isOpen = new URL(client.origin).hostname.endsWith(WORKERS_DEV);
  if (isOpen) {
    add(
      "admin token",
      "warning",
      `/admin answers at ${client.origin}: give it a host of its own with FLOW_ADMIN_HOST, and put Cloudflare Access before it`,
    );
  } else add("admin token", "ok", "the host takes it");
  const response = await client.send("GET", "/admin/status");
  const status = tryParseJson(await response.text());
  const all = isJsonObject(status) && Array.isArray(status["checks"]) ? status["checks"].filter(isJsonObject) : [];
  if (all.length === 0) return;
  const failed = all.filter(({ ok }) => ok !== true);
  // A secret that is missing takes one target away, and the route may have others.
  const isSecret = failed.every(({ name }) => String(name).startsWith("secrets:"));
  const detail = failed.map((each) => `${String(each["name"])}: ${String(each["detail"])}`).join("; ");
  if (failed.length === 0) add("status", "ok", `${all.length} checks passed`);
  else add("status", isSecret ? "warning" : "failed", detail);
}

async function checkProviders(input: CommandInput, add: Add): Promise<void> {
  const providers = await listAll(input.client(), "/admin/providers");
  const configured = providers.filter(({ configured }) => configured === true).map(({ id }) => String(id));
  const real = configured.filter((id) => id !== "sandbox");
  if (real.length > 0) add("providers", "ok", real.join(", "));
  else add("providers", "warning", "none is configured: set a secret, such as OPENAI_API_KEY");
  if (configured.includes("sandbox") && input.host().base.protocol === "https:") {
    add("sandbox", "warning", "FLOW_SANDBOX is set on a deployed host: routes may answer without a model");
  }
}

async function checkRoutes(input: CommandInput, env: string, add: Add): Promise<void> {
  const client = input.client();
  const routes = (await listAll(client, "/admin/routes")).filter((route) => route["env"] === env);
  if (routes.length === 0) {
    add("routes", "warning", `there is none in ${env}: flow-layer routes apply`);
    return;
  }
  const usable = new Set(
    (await listAll(client, "/admin/providers")).filter(({ configured }) => configured === true).map(({ id }) => id),
  );
  const dead = routes.filter((route) => !providersOf(route).some((provider) => usable.has(provider)));
  if (dead.length === 0) add("routes", "ok", `${routes.length} in ${env}`);
  else add("routes", "failed", `no configured target: ${dead.map(({ name }) => String(name)).join(", ")}`);
}

function providersOf({ policy }: Json): unknown[] {
  const targets = isJsonObject(policy) ? policy["targets"] : undefined;
  return Array.isArray(targets) ? targets.filter(isJsonObject).map(({ provider }) => provider) : [];
}

/** One request on a real route, its trace, and how the end of a broken stream reaches a client. */
async function checkRequest(input: CommandInput, env: string, add: Add): Promise<void> {
  const client = input.client();
  const routes = (await listAll(client, "/admin/routes")).filter((route) => route["env"] === env && isChat(route));
  const route = input.text("route") ?? String(routes[0]?.["name"] ?? "");
  const providers = await listAll(client, "/admin/providers");
  const hasSandbox = providers.some(({ id, configured }) => id === "sandbox" && configured === true);
  if (route === "" && !hasSandbox) {
    add("request", "skipped", "there is no route to try");
    return;
  }
  const others = route === "" ? [] : [route];
  // Two keys, as what the second one's request leaves is erased. Both are made first: a host may take a minute to know one.
  await withProbe(input, { env, others, command: "doctor" }, (real) =>
    withProbe(input, { env, command: "doctor", isErased: true }, async (broken) => {
      if (route !== "") await checkRoute(input, real, route, add);
      if (hasSandbox) await checkBroken(input, broken, add);
      else {
        const remedy = "it needs the sandbox: set FLOW_SANDBOX=1 for the test, and take it away again";
        add("broken stream", "skipped", remedy);
      }
    }),
  );
}

async function checkRoute(input: CommandInput, probe: Probe, route: string, add: Add): Promise<void> {
  const request = { model: `flow/${route}`, max_tokens: 16, messages: MESSAGES };
  const answered = await probe.settled(() => streamChat(probe.client, request, () => {}, AS_DOCTOR));
  const refusing = refusedCredentials(answered.headers);
  const state = answered.endedWell && answered.error === null ? (refusing.length === 0 ? "ok" : "warning") : "failed";
  const advice = refusing.map((provider) => `; ${provider} refused the key of this host: check its secret`).join("");
  add("request", state, `flow/${route}: ${answeredBy(answered.headers)}${advice}`);
  const id = answered.headers.get("x-request-id") ?? "";
  if (await isTraced(input, id)) add("trace", "ok", id);
  else add("trace", "failed", `${id} is not there after ${TRACE_WAIT_MS / 1_000} s`);
}

async function checkBroken(input: CommandInput, probe: Probe, add: Add): Promise<void> {
  const target = { provider: "sandbox", model: "broken", params: { fail: "midstream", chunk_interval_ms: 20 } };
  await probe.publish({ targets: [target], fallback: { enabled: false }, retry: { same_target: 0 } });
  const request = { model: `flow/${probe.route}`, messages: MESSAGES };
  const broken = await probe.settled(() => streamChat(probe.client, request, () => {}, AS_DOCTOR));
  const code = broken.error?.["code"];
  if (code !== "stream_interrupted") add("broken stream", "failed", "the error event did not arrive before the end");
  else if (broken.endedWell || broken.isDone)
    add("broken stream", "failed", "the event came, and the body ended as if it were whole");
  else add("broken stream", "ok", "the error event came before the end, and the body ended abnormally");
  // Erased as soon as it is written and before it is sent on, it is in no list and no sum.
  await isTraced(input, broken.headers.get("x-request-id") ?? "");
}

function isChat({ policy }: Json): boolean {
  return isJsonObject(policy) && (policy["embedding"] === undefined || policy["embedding"] === null);
}

/** Waits for the trace of a request that is over. */
async function isTraced(input: CommandInput, id: string): Promise<boolean> {
  for (const until = Date.now() + TRACE_WAIT_MS; Date.now() < until; ) {
    const response = await input.client().send("GET", `/admin/traces/${encodeURIComponent(id)}`);
    await response.body?.cancel();
    if (response.ok) return true;
    await new Promise((resolve) => setTimeout(resolve, TRACE_PAUSE_MS));
  }
  return false;
}
