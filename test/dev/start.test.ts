/**
 * `npm start`, as a user runs it: a real process, a real port, state in directories of the test's own.
 *
 * The script itself is spawned and not npm, which passes no SIGTERM on and would leave processes behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";

const ROOT = new URL("../..", import.meta.url).pathname;
const READY_MS = 60_000;

interface DevFile {
  readonly base_url: string;
  readonly admin_token: string;
  readonly keys: Readonly<Record<string, string>>;
}

interface Started {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly exit: Promise<number | null>;
}

const directory = mkdtempSync(join(tmpdir(), "flow-start-"));
const stateDirectory = join(directory, "state");
const devFile = join(stateDirectory, "dev.json");
const running: Started[] = [];
afterEach(() => Promise.all(running.splice(0).map(stop)));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function stop({ child, exit }: Started): Promise<void> {
  child.kill("SIGTERM");
  await exit;
}

function start(port: number, ...more: string[]): Started {
  return startWith({}, port, ...more);
}

function startWith(variables: NodeJS.ProcessEnv, port: number, ...more: string[]): Started {
  const args = ["src/dev/start.js", "--", "--port", String(port), "--persist-to", join(directory, "data"), ...more];
  const env = { ...process.env, FLOWLAYER_DIR: stateDirectory, NO_COLOR: "1", ...variables };
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => (output += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (output += bytes.toString()));
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  const started = { child, output: () => output, exit };
  running.push(started);
  return started;
}

/** `dev.json` of an instance that is coming up. Throws with its output when it ends instead. */
async function ready(started: Started): Promise<DevFile> {
  let ended = false;
  void started.exit.then(() => {
    ended = true;
  });
  const deadline = Date.now() + READY_MS;
  while (!existsSync(devFile)) {
    if (ended || Date.now() > deadline) throw new Error(`npm start is not ready:\n${started.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return JSON.parse(readFileSync(devFile, "utf8")) as DevFile;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function chat({ base_url, keys }: DevFile, env: string, route: string): Promise<Response> {
  return fetch(`${base_url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${keys[env]}`, "content-type": "application/json", "x-flowlayer-env": env },
    body: JSON.stringify({ model: `flow/${route}`, messages: [{ role: "user", content: "Hello." }] }),
  });
}

test("a first start answers on every seeded route, and a second keeps keys and the operator's changes", async () => {
  const first = start(await freePort());
  const dev = await ready(first);
  expect(Object.keys(dev).toSorted()).toEqual(["admin_token", "base_url", "keys"]);
  expect(dev.admin_token.length).toBeGreaterThanOrEqual(32);
  expect(statSync(devFile).mode & 0o777).toBe(0o600);
  expect(statSync(stateDirectory).mode & 0o777).toBe(0o700);
  for (const env of ["production", "staging"]) {
    for (const route of ["best-reasoning", "fast-eval", "agent-reasoning"]) {
      const answer = await chat(dev, env, route);
      expect(answer.status, `${env} ${route}`).toBe(200);
      expect(answer.headers.get("x-flowlayer-provider")).toBe("sandbox");
      await answer.body?.cancel();
    }
  }
  await expect.poll(first.output).toContain(`curl ${dev.base_url}/v1/chat/completions`);
  expect(first.output()).not.toContain(dev.admin_token);

  const changed = await fetch(`${dev.base_url}/admin/routes/production/fast-eval`, {
    method: "PUT",
    headers: { authorization: `Bearer ${dev.admin_token}`, "content-type": "application/json" },
    body: JSON.stringify({ targets: [{ provider: "sandbox", model: "mine" }] }),
  });
  expect(changed.status).toBe(200);
  await stop(first);
  expect(existsSync(devFile)).toBe(false);

  // The second start has a provider, whose key is wrong: routes that nobody changed follow, the changed one stays.
  const provider = createHttpServer((_request, response) => {
    response.writeHead(401, { "content-type": "application/json" });
    response.end('{"error":{"message":"Incorrect API key provided.","type":"invalid_request_error"}}');
  });
  await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
  const { port } = provider.address() as AddressInfo;
  const variables = { OPENAI_API_KEY: "sk-wrong", OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1` };
  const second = startWith(variables, await freePort());
  const again = await ready(second);
  await expect.poll(second.output).toContain("Configured: openai");
  const fallenBack = await chat(again, "staging", "best-reasoning");
  expect(fallenBack.headers.get("x-flowlayer-provider")).toBe("sandbox");
  expect(fallenBack.headers.get("x-flowlayer-fallback-reason")).toBe("auth");
  await fallenBack.body?.cancel();
  await expect.poll(second.output).toMatch(/"fallback_reason":"auth","attempt_log":"openai\/\S+;auth;401;/);
  await new Promise((resolve) => provider.close(resolve));
  expect(again.keys).toEqual(dev.keys);
  expect(again.admin_token).toBe(dev.admin_token);
  const answer = await chat(again, "production", "fast-eval");
  expect(answer.headers.get("x-flowlayer-model")).toBe("mine");
  await answer.body?.cancel();

  // A third one on the same state is refused and leaves the second alone.
  const third = start(await freePort());
  expect(await third.exit).toBe(1);
  expect(third.output()).toContain(`runs at ${again.base_url}`);
  expect(existsSync(devFile)).toBe(true);
}, 120_000);

test("a taken port is a clear error and leaves no dev.json", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const { port } = server.address() as AddressInfo;
  const started = start(port);
  expect(await started.exit).toBe(1);
  expect(started.output()).toMatch(/address already in use/i);
  expect(existsSync(devFile)).toBe(false);
  await new Promise((resolve) => server.close(resolve));
}, 60_000);

test("a control plane that refuses ends the start with its reason", async () => {
  const started = start(await freePort(), "--var", "FLOW_ADMIN_TOKEN:short");
  expect(await started.exit).toBe(1);
  expect(started.output()).toMatch(/npm start: Reading the providers failed with 503/);
  expect(existsSync(devFile)).toBe(false);
}, 60_000);
