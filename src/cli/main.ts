/** `flow`: from words to a command, and from what it throws to a message and an exit code. */
import type { ParseArgsOptionsConfig } from "node:util";
import { approve, deny, listApprovals } from "./approvals.ts";
import { HELP } from "./help.ts";
import { createKey, listKeys, revokeKey, rotateKey } from "./keys.ts";
import { type Command, readInput } from "./options.ts";
import { applyRoutes, diffRoutes, listRoutes, promoteRoute, rollBackRoute } from "./routes.ts";
import { CommandError, EXIT_ERROR, EXIT_OK, type Terminal } from "./terminal.ts";
import { showTraces, TRACE_FILTERS } from "./traces.ts";

interface Entry {
  readonly run: Command;
  readonly usage: string;
  /** The least and the most words besides the command's own. */
  readonly words: readonly [number, number];
  readonly options: ParseArgsOptionsConfig;
}

const texts = (...names: readonly string[]): ParseArgsOptionsConfig =>
  Object.fromEntries(names.map((name) => [name, { type: "string" }]));
const lists = (...names: readonly string[]): ParseArgsOptionsConfig =>
  Object.fromEntries(names.map((name) => [name, { type: "string", multiple: true }]));

const POLICIES: ParseArgsOptionsConfig = { ...texts("dir"), ...lists("env"), prune: { type: "boolean" } };
const DECIDE = { words: [1, 1], options: texts("key", "reason") } as const;
const CREATE_KEY = {
  ...texts("name", "env", "budget", "rpm", "tpm", "concurrency", "expires"),
  ...lists("app", "route", "scope"),
};

const COMMANDS: Readonly<Record<string, Entry>> = {
  "routes list": { run: listRoutes, usage: "flow routes list [--env <env>]", words: [0, 0], options: texts("env") },
  "routes diff": { run: diffRoutes, usage: "flow routes diff [--env <env>]", words: [0, 0], options: POLICIES },
  "routes apply": {
    run: applyRoutes,
    usage: "flow routes apply [--env <env>] [--yes]",
    words: [0, 0],
    options: { ...POLICIES, ...texts("force") },
  },
  "routes promote": {
    run: promoteRoute,
    usage: "flow routes promote <route> --from <env> --to <env> [--force <reason>]",
    words: [1, 1],
    options: texts("from", "to", "force"),
  },
  "routes rollback": {
    run: rollBackRoute,
    usage: "flow routes rollback <env>/<route> [<version>]",
    words: [1, 2],
    options: {},
  },
  "keys list": { run: listKeys, usage: "flow keys list [--env <env>]", words: [0, 0], options: texts("env") },
  "keys create": {
    run: createKey,
    usage: "flow keys create --name <text> --env <env>",
    words: [0, 0],
    options: CREATE_KEY,
  },
  "keys rotate": {
    run: rotateKey,
    usage: "flow keys rotate <id> [--overlap <seconds>]",
    words: [1, 1],
    options: texts("overlap"),
  },
  "keys revoke": { run: revokeKey, usage: "flow keys revoke <id> [--yes]", words: [1, 1], options: {} },
  traces: { run: showTraces, usage: "flow traces [<id>]", words: [0, 1], options: texts(...TRACE_FILTERS) },
  "approvals approve": { run: approve, usage: "flow approvals approve <tool call id>", ...DECIDE },
  "approvals deny": { run: deny, usage: "flow approvals deny <tool call id>", ...DECIDE },
  approvals: {
    run: listApprovals,
    usage: "flow approvals [--status <status>]",
    words: [0, 0],
    options: texts("status", "key", "limit", "cursor"),
  },
};

/** Runs the command that `argv` asks for. Gives its exit code and never throws. */
export async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    if (argv.length === 0 || argv.includes("--help") || argv.includes("-h") || argv[0] === "help") {
      terminal.write(HELP);
      return argv.length === 0 ? EXIT_ERROR : EXIT_OK;
    }
    const two = argv.slice(0, 2).join(" ");
    const name = Object.hasOwn(COMMANDS, two) ? two : (argv[0] ?? "");
    const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (entry === undefined) throw new CommandError("There is no such command. `flow --help` lists them.");
    const rest = argv.slice(name.split(" ").length);
    return await entry.run(readInput(terminal, rest, entry.options, entry.words, entry.usage));
  } catch (error) {
    const known = error instanceof CommandError;
    // Only our own messages are shown: those of others may hold what was sent.
    terminal.writeError(`flow: ${known ? error.message : "The command failed unexpectedly."}\n`);
    return known ? error.exitCode : EXIT_ERROR;
  }
}
