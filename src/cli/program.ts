/** The command tree as a commander program. Unknown words and options are refused, with the nearest known one. */
import { Command as Program } from "commander";
import { type CommandInput, inputOf } from "./input.ts";
import type { CommandSpec } from "./spec.ts";
import type { Terminal } from "./terminal.ts";
import { safe } from "./text.ts";

const GLOBAL_OPTIONS = [
  ["--json", "JSON on the standard output, errors included"],
  ["--profile <name>", "a host that `flow-layer login` has kept"],
  ["--url <url>", "the host; otherwise FLOW_LAYER_URL, the local instance, the default profile"],
  ["--wide", "tables whole, however wide"],
  ["-y, --yes", "do not ask"],
] as const;

/** A list option gathers what it is given each time; a word behind it is not one more value. */
const gather = (value: string, before: unknown): string[] => [
  ...(Array.isArray(before) ? before.map(String) : []),
  value,
];

export interface Ended {
  exitCode: number;
}

/** The program for one run. Commander's own errors are thrown; `ended` gets the exit code of a command that ran. */
export function programOf(root: CommandSpec, terminal: Terminal, version: string, ended: Ended): Program {
  const program = new Program(root.name);
  program.version(version, "-V, --version", "print the version");
  fill(program, root, terminal, ended);
  for (const [flags, description] of GLOBAL_OPTIONS) program.option(flags, description);
  program.showHelpAfterError(false);
  return program;
}

function fill(program: Program, spec: CommandSpec, terminal: Terminal, ended: Ended): void {
  program.exitOverride().description(spec.summary).allowExcessArguments(false);
  program.helpOption("-h, --help", "help for this command").configureHelp({
    showGlobalOptions: true,
    sortSubcommands: false,
    helpWidth: Math.min(terminal.columns ?? 80, 100),
    // Long names leave few columns, and commander would then not wrap at all.
    minWidthToWrap: 20,
  });
  program.configureOutput({
    writeOut: (text) => terminal.write(text),
    writeErr: (text) => terminal.writeError(text),
    // The error is reported once, where it is caught.
    outputError: () => {},
  });
  for (const [flags, description] of spec.options ?? []) {
    if (flags.includes("...>")) program.option(flags.replace("...>", ">"), `${description} (may be repeated)`, gather);
    else program.option(flags, description);
  }
  if (spec.notes !== undefined) program.addHelpText("after", `\n${spec.notes}`);
  for (const child of childrenOf(spec)) {
    const command = program.command(child.name, { hidden: spec.commands?.includes(child) !== true });
    fill(command, child, terminal, ended);
    command.copyInheritedSettings(program);
  }
  const { run } = spec;
  if (run !== undefined) {
    program.action(async () => {
      ended.exitCode = await run(readInput(program, terminal));
    });
  }
}

/** A group that lists by itself takes `list` as well, as `keys` and `routes` have it. */
function childrenOf({ commands = [], options, summary, run }: CommandSpec): readonly CommandSpec[] {
  const isListed = run === undefined || commands.length === 0 || commands.some(({ name }) => name === "list");
  return isListed ? commands : [...commands, { name: "list", summary, run, ...(options ? { options } : {}) }];
}

function readInput(program: Program, terminal: Terminal): CommandInput {
  const usage = `${pathOf(program)} ${program.usage()}`;
  const values = Object.entries(program.optsWithGlobals()).map(([name, value]) => {
    const dashed = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    // Commander has `--no-stream` as `stream: false`; commands ask for the option as it is written.
    return value === false ? [`no-${dashed}`, true] : [dashed, value];
  });
  return inputOf(terminal, program.args, Object.fromEntries(values), usage);
}

const pathOf = (program: Program): string =>
  program.parent === null ? program.name() : `${pathOf(program.parent)} ${program.name()}`;

/** What commander has to say of a command line, in one line that names the help. */
export function usageMessage(program: Program, message: string, argv: readonly string[]): string {
  let command = program;
  for (const word of argv) {
    const next = command.commands.find((each) => each.name() === word);
    if (next === undefined) break;
    command = next;
  }
  const said = safe(
    message
      .replace(/^error: /, "")
      .replaceAll("\n", " ")
      .trim(),
  );
  return `${said}${/[.?)!]$/.test(said) ? "" : "."} See \`${pathOf(command)} --help\`.`;
}
