/** A browser, where the machine has one, and an instance started as a newcomer starts it. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";

const ROOT = new URL("../..", import.meta.url).pathname;
const READY_MS = 90_000;
/** Nothing but the page itself: the background services of Chromium would look for hosts that are not there. */
const QUIET = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
  ...["--disable-component-update", "--disable-sync"],
];

/** The path of a Chromium or Chrome, `null` where there is none. */
export function browserPath(): string | null {
  const named = process.env["CHROMIUM_PATH"];
  if (named !== undefined && existsSync(named)) return named;
  for (const name of ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) {
    const found = spawnSync("sh", ["-c", `command -v ${name}`])
      .stdout.toString()
      .trim();
    if (found !== "") return found;
  }
  return null;
}

export function launch(path: string): Promise<Browser> {
  return chromium.launch({ executablePath: path, args: QUIET });
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface AxeResults {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}

/** What axe-core calls serious or critical, each with the first element that it stands on. */
export async function seriousIssues(page: Page): Promise<readonly string[]> {
  await page.evaluate(AXE);
  const { violations } = (await page.evaluate("axe.run()")) as AxeResults;
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  return serious.map(({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 120)}`);
}

/** Errors, uncaught exceptions and requests to other origins than `url`, as they come. */
export function faultsOf(page: Page, url: string): readonly string[] {
  const faults: string[] = [];
  page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`exception: ${error.message}`));
  page.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol.startsWith("http") && origin !== url) faults.push(`foreign request: ${request.url()}`);
  });
  return faults;
}

export interface Instance {
  readonly url: string;
  readonly keys: Readonly<Record<string, string>>;
  readonly adminToken: string;
  stop(): Promise<void>;
}

interface Announcement {
  readonly base_url: string;
  readonly admin_token: string;
  readonly keys: Readonly<Record<string, string>>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

/**
 * `npm start` on a port and a state of its own. Rejects with what it printed when it is not ready in time.
 *
 * @param own what the start takes besides, such as `--demo`
 * @param variables of the Worker, such as further operators
 */
export async function startInstance(
  own: readonly string[] = [],
  variables: Readonly<Record<string, string>> = {},
): Promise<Instance> {
  const directory = await mkdtemp(join(tmpdir(), "flow-site-"));
  const port = await freePort();
  const args = ["src/dev/start.ts", "--", ...own, "--port", String(port), "--persist-to", join(directory, "data")];
  const passed = Object.entries(variables).flatMap(([name, value]) => ["--var", `${name}:${value}`]);
  const child: ChildProcess = spawn(process.execPath, [...args, ...passed], {
    cwd: ROOT,
    detached: true,
    env: { ...process.env, FLOWLAYER_DIR: directory },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  child.stdout?.on("data", (data) => {
    printed += String(data);
  });
  child.stderr?.on("data", (data) => {
    printed += String(data);
  });
  const announcement = join(directory, "dev.json");
  const giveUpAt = Date.now() + READY_MS;
  let found: Announcement | null = null;
  while (found === null) {
    if (Date.now() > giveUpAt || child.exitCode !== null) throw new Error(`npm start did not get ready: ${printed}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
    if (!existsSync(announcement)) continue;
    const read = JSON.parse(readFileSync(announcement, "utf8")) as Announcement;
    if (read.base_url.endsWith(`:${port}`)) found = read;
  }
  return {
    url: found.base_url,
    keys: found.keys,
    adminToken: found.admin_token,
    async stop() {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      if (child.pid !== undefined) process.kill(-child.pid, "SIGTERM");
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
