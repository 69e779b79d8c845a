/** The arguments of `npm start`: its own, and the rest, which are wrangler's. */
import { StartError } from "./start-error.ts";

const MAX_PORT = 65_535;

export interface StartOptions {
  /** Log lines as JSON, for programs: also without a terminal. */
  readonly json: boolean;
  /** Puts the example routes back to what a first start would make. */
  readonly reseed: boolean;
  /** Fills the trail with made-up requests of the last hour, once. */
  readonly demo: boolean;
  /** What wrangler gets. */
  readonly wrangler: readonly string[];
  /** The port that was asked for; `undefined`: that of wrangler.toml. */
  readonly port: number | undefined;
}

/** Throws `StartError` for a port that is none. */
export function readOptions(argv: readonly string[]): StartOptions {
  const given = argv[0] === "--" ? argv.slice(1) : argv;
  const own = ["--json", "--reseed", "--demo"];
  return {
    json: given.includes("--json"),
    reseed: given.includes("--reseed"),
    demo: given.includes("--demo"),
    wrangler: given.filter((argument) => !own.includes(argument)),
    port: portOf(given),
  };
}

function portOf(args: readonly string[]): number | undefined {
  const at = args.indexOf("--port");
  const text = at === -1 ? args.find((each) => each.startsWith("--port="))?.slice("--port=".length) : args[at + 1];
  if (text === undefined) {
    if (at !== -1) throw new StartError("--port needs a number: npm start -- --port 9000");
    return undefined;
  }
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : -1;
  if (port >= 0 && port <= MAX_PORT) return port;
  throw new StartError(`--port must be a number from 0 to ${MAX_PORT}, not \`${text}\`: npm start -- --port 9000`);
}
