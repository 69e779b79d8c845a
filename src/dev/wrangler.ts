/**
 * The child process: `wrangler dev` in a process group of its own, so that its end takes esbuild and workerd with it. Its
 * output comes here line by line.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const PARENT_CHECK_MS = 500;
/** Longer than a clean end takes: what is left of the group then hangs. */
const KILL_AFTER_MS = 5_000;
const HAS_GROUPS = process.platform !== "win32";

export interface WranglerEvents {
  /** A line of its standard output or error output. */
  readonly onLine: (line: string) => void;
  /** Where it listens. Comes again after each reload. */
  readonly onReady: (baseUrl: string) => void;
  readonly onExit: (code: number | null) => void;
}

export interface Wrangler {
  /** Ends it and all that it started. */
  stop(): void;
}

export function startWrangler(cwd: string, args: readonly string[], events: WranglerEvents): Wrangler {
  const script = createRequire(import.meta.url).resolve("wrangler");
  const child = spawn(process.execPath, ["--no-warnings", script, "dev", ...args], {
    cwd,
    detached: HAS_GROUPS,
    // No keyboard: one of wrangler's hotkeys publishes the machine through a tunnel.
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: {
      // Without these a start waits for the network: for the sample of `request.cf` and for usage metrics.
      CLOUDFLARE_CF_FETCH_ENABLED: "false",
      WRANGLER_SEND_METRICS: "false",
      ...process.env,
      // Our file is not read when somebody switched env files off.
      CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV: "true",
      NO_COLOR: "1",
      FORCE_COLOR: "0",
    },
  });
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface({ input: stream }).on("line", events.onLine);
  }
  child.on("message", (message) => {
    const baseUrl = readyUrl(message);
    if (baseUrl !== null) events.onReady(baseUrl);
  });
  child.on("exit", (code) => {
    // esbuild outlives a wrangler that failed while it started, and would keep our output open.
    signalGroup(child, "SIGKILL");
    events.onExit(code);
  });
  const stop = (): void => {
    signalGroup(child, "SIGTERM");
    setTimeout(() => signalGroup(child, "SIGKILL"), KILL_AFTER_MS).unref();
  };
  tieToLife(stop);
  return { stop };
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (HAS_GROUPS) process.kill(-child.pid, signal);
    else child.kill(signal);
  } catch {
    // The group is gone already.
  }
}

/** Ends the child on signals, and when this process's own parent has gone: npm forwards no SIGTERM. */
function tieToLife(stop: () => void): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) stop();
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
