/**
 * Bundles the Worker once per test run, with the same tool and settings as a deployment.
 *
 * Each run has its own directory, so that two runs in one checkout do not pull the bundle from under each other. A
 * bundle that fails does not fail the run: unit tests need none, and `startWorker` reports it to those that do.
 */
import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";

const ROOT = new URL("../..", import.meta.url).pathname;
/** Where the bundle lies, for the test processes: they are started after this has run and inherit the environment. */
export const BUNDLE_VARIABLE = "FLOW_TEST_BUNDLE";
export const BUNDLE_ERROR_VARIABLE = "FLOW_TEST_BUNDLE_ERROR";

/** Bundles into `directory`. Rejects with what the bundler printed. */
export async function bundle(directory: string): Promise<void> {
  const wrangler = createRequire(import.meta.url).resolve("wrangler");
  await promisify(execFile)(
    process.execPath,
    ["--no-warnings", wrangler, "deploy", "--dry-run", "--outdir", directory],
    { cwd: ROOT, env: { ...process.env, WRANGLER_SEND_METRICS: "false", CI: "1" } },
  );
}

export default async function setup(): Promise<() => Promise<void>> {
  const directory = join(ROOT, ".wrangler", `test-bundle-${process.pid}`);
  try {
    await bundle(directory);
    process.env[BUNDLE_VARIABLE] = directory;
  } catch (error) {
    process.env[BUNDLE_ERROR_VARIABLE] = error instanceof Error ? error.message : String(error);
  }
  return () => rm(directory, { recursive: true, force: true });
}
