/** The examples that the documentation shows, run as they are: only the address of the local instance is replaced. */
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { seedRoutes } from "../../src/dev/seed.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const EXAMPLES = join(ROOT, "test/clients/examples");
/** Beside the packages, so that they are found, and not in git. */
const WORK = join(ROOT, "test/clients/.work");
export const LOCAL_ADDRESS = "http://localhost:8787";

export interface ExampleRig {
  readonly worker: TestWorker;
  readonly key: string;
  /** Runs an example with `command`; gives its standard output. Throws where it fails. */
  run(name: string, command: string): Promise<string>;
  /** The example's text with the address of this instance. */
  text(name: string): string;
  stop(): Promise<void>;
}

/** An instance with the routes that `npm start` makes, and nothing else. */
export async function startExamples(): Promise<ExampleRig> {
  const worker = await startWorker();
  for (const [name, policy] of Object.entries(seedRoutes(() => false))) {
    await worker.putRoute("production", name, policy);
  }
  const { key } = await worker.createKey({ name: "examples", env: "production" });
  mkdirSync(WORK, { recursive: true });
  const text = (name: string): string =>
    readFileSync(join(EXAMPLES, name), "utf8").replaceAll(LOCAL_ADDRESS, worker.url.replace(/\/$/, ""));
  return {
    ...{ worker, key, text },
    async run(name, command) {
      const file = join(WORK, name);
      writeFileSync(file, text(name));
      const env = { ...process.env, FLOW_LAYER_API_KEY: key, NODE_OPTIONS: "" };
      const { stdout } = await promisify(execFile)(command, [file], { cwd: ROOT, env, timeout: 60_000 });
      return stdout;
    },
    async stop() {
      rmSync(WORK, { recursive: true, force: true });
      await worker.stop();
    },
  };
}
