/**
 * `npm start`: a local instance that answers at once. Starts `wrangler dev`, makes the routes and keys that are missing
 * through the admin API like any operator, and announces the instance in `.flowlayer/dev.json` when all is ready.
 *
 * Arguments that are not its own go to wrangler. What somebody changed is not overwritten. The Worker's secrets reach
 * wrangler in a file, never as arguments.
 */
import { resolve } from "node:path";
import { greeting } from "./greeting.ts";
import { Instance } from "./instance.ts";
import { takeLock } from "./lock.ts";
import { readOptions, type StartOptions } from "./options.ts";
import { Output } from "./output.ts";
import { seedInstance } from "./seeding.ts";
import { StartError } from "./start-error.ts";
import { type Secrets, StateDirectory } from "./state.ts";
import { envFile, privateAddresses, type UserVariables, userVariables } from "./variables.ts";
import { startWrangler } from "./wrangler.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const DEFAULT_PORT = 8787;

/** Everything that is not a log line: standard output is for those where a program reads it. */
const say = (text: string, isJson: boolean): boolean => (isJson ? process.stderr : process.stdout).write(`${text}\n`);

/** Takes the state directory for this process until it ends. Throws where another one has it. */
function lock(state: StateDirectory): void {
  const taken = takeLock(state.file("lock"));
  if (!taken.held) {
    const address = state.announcement()?.base_url;
    const where = address === undefined ? "is starting" : `runs at ${address}`;
    throw new StartError(
      `an instance with the state in ${state.path} ${where} (process ${taken.pid}). Use it, stop it first, or give the second one a place of its own: FLOWLAYER_DIR=.flowlayer/second npm start -- --port 8788 --persist-to .wrangler/second`,
    );
  }
  // An announcement that is still there is of an instance that was killed.
  state.remove("dev.json");
  process.on("exit", () => {
    state.remove("dev.json");
    taken.release();
  });
}

/** The variables of ours that go along with the user's. */
function generated(secrets: Secrets, user: UserVariables): Readonly<Record<string, string>> {
  const isPrivate = privateAddresses(user.all).length > 0;
  return {
    FLOW_KEY_PEPPER: secrets.pepper,
    FLOW_ADMIN_TOKEN: secrets.adminToken,
    FLOW_SANDBOX: "1",
    FLOW_LOG_REQUESTS: "1",
    ...(isPrivate ? { FLOW_ALLOW_PRIVATE_UPSTREAMS: "1" } : {}),
  };
}

/** Makes what is missing, then announces the instance. */
async function prepare(
  baseUrl: string,
  user: UserVariables,
  secrets: Secrets,
  state: StateDirectory,
  options: StartOptions,
): Promise<string> {
  const adminToken = user.all["FLOW_ADMIN_TOKEN"] ?? secrets.adminToken;
  const instance = new Instance(baseUrl, adminToken);
  const seeding = await seedInstance(instance, user.all, secrets.seeded, options.reseed);
  const keys = await instance.ensureKeys(secrets.keys);
  if (options.demo) await instance.demo(keys["production"] ?? "");
  state.keep({ ...secrets, keys: { ...secrets.keys, ...keys }, seeded: seeding.versions });
  const announcement = { base_url: baseUrl, admin_token: adminToken, keys };
  state.announce(announcement);
  const ignored =
    user.ignored.length === 0
      ? ""
      : `\nNot used: ${user.ignored.join(", ")} of your environment, which other tools use too. Put them into .dev.vars to call models with them.\n`;
  return greeting(announcement, state.file("dev.json"), seeding) + ignored;
}

/** Wrangler's failure in our words where we know it, else in its own. */
function failure(output: string, port: number): string {
  if (/address already in use/i.test(output)) {
    return `port ${port} is taken (address already in use). Choose another one: npm start -- --port ${port + 1}`;
  }
  return `the Worker did not start. Wrangler says:\n${output}`;
}

function main(): void {
  const options = readOptions(process.argv.slice(2));
  const isJson = options.json || process.stdout.isTTY !== true;
  const hasColour = !isJson && (process.env["NO_COLOR"] ?? "") === "";
  const state = new StateDirectory(resolve(ROOT, process.env["FLOWLAYER_DIR"] ?? ".flowlayer"));
  const user = userVariables(ROOT, options.wrangler, process.env);
  lock(state);
  const secrets = state.secrets();
  state.write("worker.env", envFile({ ...generated(secrets, user), ...user.own }));
  say("Starting the Flow Layer...", isJson);

  const output = new Output(isJson, hasColour);
  let phase: "starting" | "started" | "failed" = "starting";
  // The last of several env files wins, so ours comes before any the user names.
  const args = ["--env-file", state.file("worker.env"), ...options.wrangler];
  const wrangler = startWrangler(ROOT, args, {
    onLine: (line) => output.line(line),
    onReady(baseUrl) {
      if (phase !== "starting") return;
      phase = "started";
      prepare(baseUrl, user, secrets, state, options).then(
        (text) => {
          say(text, isJson);
          output.ready();
        },
        (error: unknown) => {
          phase = "failed";
          report(error);
          wrangler.stop();
        },
      );
    },
    onExit(code) {
      if (phase === "starting" && code !== 0 && code !== null) {
        report(new StartError(failure(output.kept(), options.port ?? DEFAULT_PORT)));
      }
      process.exit(phase === "failed" ? 1 : (code ?? 0));
    },
  });
}

function report(error: unknown): void {
  process.stderr.write(`\nnpm start: ${error instanceof StartError ? error.message : String(error)}\n`);
}

try {
  main();
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  report(error);
  process.exitCode = 1;
}
