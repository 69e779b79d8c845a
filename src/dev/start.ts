/**
 * `npm start`: a local instance that answers at once. Starts `wrangler dev`, makes the routes and keys that are missing
 * through the admin API like any operator, and announces the instance in `.flowlayer/dev.json` when all is ready.
 *
 * Arguments go to wrangler. Nothing that exists is overwritten, so changes to routes survive a restart. The Worker's
 * secrets reach wrangler in a file, never as arguments.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { SEED_ENVIRONMENTS, seedRoutes } from "./seed.ts";
import { type Announcement, type Secrets, StateDirectory } from "./state.ts";
import { envFile, userVariables, type Variables } from "./variables.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const REQUEST_TIMEOUT_MS = 10_000;
const PARENT_CHECK_MS = 500;

interface Instance {
  readonly baseUrl: string;
  readonly adminToken: string;
}

function request(baseUrl: string, method: string, path: string, token: string, body?: unknown): Promise<Response> {
  return fetch(baseUrl + path, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** Throws what the control plane said, which names the fault and never a secret. */
async function refused(what: string, response: Response): Promise<Error> {
  const body: unknown = await response.json().catch(() => null);
  const said = (body as { error?: { message?: unknown } } | null)?.error?.message;
  return new Error(`${what} failed with ${response.status}${typeof said === "string" ? `: ${said}` : "."}`);
}

async function ensureRoutes({ baseUrl, adminToken }: Instance, isSet: (secret: string) => boolean): Promise<void> {
  for (const env of SEED_ENVIRONMENTS) {
    for (const [name, policy] of Object.entries(seedRoutes(isSet))) {
      const path = `/admin/routes/${env}/${name}`;
      const found = await request(baseUrl, "GET", path, adminToken);
      await found.body?.cancel();
      if (found.status === 200) continue;
      const made = await request(baseUrl, "PUT", path, adminToken, policy);
      if (!made.ok) throw await refused(`Creating route ${name} of ${env}`, made);
      await made.body?.cancel();
    }
  }
}

async function isAccepted(baseUrl: string, key: string): Promise<boolean> {
  const response = await request(baseUrl, "GET", "/v1/models", key);
  await response.body?.cancel();
  return response.status === 200;
}

/** One key per environment: the kept one where it is still accepted, otherwise a new one. */
async function ensureKeys({ baseUrl, adminToken }: Instance, kept: Secrets["keys"]): Promise<Record<string, string>> {
  const keys: Record<string, string> = {};
  for (const env of SEED_ENVIRONMENTS) {
    const old = kept[env];
    if (old !== undefined && (await isAccepted(baseUrl, old))) {
      keys[env] = old;
      continue;
    }
    const body = { name: `npm start ${env}`, env };
    const response = await request(baseUrl, "POST", "/admin/keys", adminToken, body);
    if (!response.ok) throw await refused(`Creating a key of ${env}`, response);
    const { key } = (await response.json()) as { key: string };
    keys[env] = key;
  }
  return keys;
}

function greeting({ base_url, keys }: Announcement, state: StateDirectory): string {
  return `
The Flow Layer is ready. Try:

curl ${base_url}/v1/chat/completions \\
  -H "Authorization: Bearer ${keys["production"]}" \\
  -H "Content-Type: application/json" \\
  -H "X-FlowLayer-App: studio-console" \\
  -H "X-FlowLayer-Env: production" \\
  -d '{
    "model": "flow/best-reasoning",
    "messages": [
      { "role": "user", "content": "Compare these model routes for a code review agent." }
    ],
    "route": {
      "fallback": true,
      "latency_budget_ms": 1800
    }
  }'

Base URL for an OpenAI client:  ${base_url}/v1
Control plane:                  ${base_url}/admin
Keys and admin token:           ${state.file("dev.json")}
`;
}

function startWrangler(args: readonly string[]): ChildProcess {
  const wrangler = createRequire(import.meta.url).resolve("wrangler");
  return spawn(process.execPath, ["--no-warnings", wrangler, "dev", ...args], {
    cwd: ROOT,
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: {
      // Without these a start waits for the network: for the sample of `request.cf` and for usage metrics.
      CLOUDFLARE_CF_FETCH_ENABLED: "false",
      WRANGLER_SEND_METRICS: "false",
      ...process.env,
      // The file below is not read when somebody switched env files off.
      CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV: "true",
    },
  });
}

/** Passes signals on, and ends the child when this process's own parent has gone: npm forwards no SIGTERM. */
function tieToLife(child: ChildProcess): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) child.kill("SIGTERM");
  }, PARENT_CHECK_MS).unref();
}

/** Where wrangler listens, out of its report. `null` for any other message. */
function readyUrl(message: unknown): string | null {
  if (typeof message !== "string") return null;
  const { event, ip, port } = JSON.parse(message) as { event?: string; ip?: string; port?: number };
  if (event !== "DEV_SERVER_READY" || port === undefined) return null;
  const everywhere = ip === undefined || ["localhost", "127.0.0.1", "0.0.0.0", "::", "::1", "*"].includes(ip);
  return `http://${everywhere ? "localhost" : ip}:${port}`;
}

/** Removes a `dev.json` that nobody answers for. One of a running instance stays: its port may be the one taken. */
async function removeStale(state: StateDirectory): Promise<void> {
  const old = state.announcement();
  const key = Object.values(old?.keys ?? {})[0];
  if (old !== null && key !== undefined) {
    if (await isAccepted(old.base_url, key).catch(() => false)) return;
  }
  state.remove("dev.json");
}

/** Makes what is missing, then announces the instance. */
async function seed(baseUrl: string, user: Variables, secrets: Secrets, state: StateDirectory): Promise<void> {
  const adminToken = user["FLOW_ADMIN_TOKEN"] ?? secrets.adminToken;
  await ensureRoutes({ baseUrl, adminToken }, (secret) => (user[secret] ?? "") !== "");
  const keys = await ensureKeys({ baseUrl, adminToken }, secrets.keys);
  state.keep({ ...secrets, keys: { ...secrets.keys, ...keys } });
  const announcement = { base_url: baseUrl, admin_token: adminToken, keys };
  state.announce(announcement);
  // Whoever finds the file may take the instance for ready, so it goes with the instance.
  process.on("exit", () => {
    if (state.announcement()?.base_url === baseUrl) state.remove("dev.json");
  });
  console.log(greeting(announcement, state));
}

async function main(): Promise<void> {
  const given = process.argv.slice(2);
  const args = given[0] === "--" ? given.slice(1) : given;
  const state = new StateDirectory(resolve(ROOT, process.env["FLOWLAYER_DIR"] ?? ".flowlayer"));
  const user = userVariables(ROOT, args);
  const secrets = state.secrets();
  await removeStale(state);
  const generated = {
    FLOW_KEY_PEPPER: secrets.pepper,
    FLOW_ADMIN_TOKEN: secrets.adminToken,
    FLOW_SANDBOX: "1",
    FLOW_LOG_REQUESTS: "1",
  };
  state.write("worker.env", envFile({ ...generated, ...user.devVars }));

  // The last of several env files wins, so ours comes before any the user names.
  const child = startWrangler(["--env-file", state.file("worker.env"), ...args]);
  tieToLife(child);
  let phase: "starting" | "started" | "failed" = "starting";
  child.on("exit", (code) => process.exit(phase === "failed" ? 1 : (code ?? 1)));
  child.on("message", (message) => {
    const baseUrl = readyUrl(message);
    // Wrangler reports again after each reload.
    if (baseUrl === null || phase !== "starting") return;
    phase = "started";
    seed(baseUrl, user.all, secrets, state).catch((error: unknown) => {
      phase = "failed";
      console.error(`\nnpm start: ${error instanceof Error ? error.message : String(error)}`);
      child.kill("SIGTERM");
    });
  });
}

await main();
