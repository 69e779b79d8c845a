/** `flow-layer`: from words to a command, and from what it throws to a message and an exit code. */
import { CommanderError } from "commander";
import { RefusedError } from "./client.ts";
import { completionWords } from "./completion.ts";
import { programOf, usageMessage } from "./program.ts";
import { ROOT } from "./root.ts";
import { CommandError, EXIT_ERROR, EXIT_OK, type Terminal } from "./terminal.ts";
import { jsonText } from "./text.ts";
import { VERSION } from "./version.ts";

/** Runs the command that `argv` asks for. Gives its exit code and never throws. */
export async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  if (argv[0] === "__complete") {
    terminal.write(`${completionWords(ROOT, argv.slice(1)).join("\n")}\n`);
    return EXIT_OK;
  }
  const ended = { exitCode: EXIT_OK };
  const program = programOf(ROOT, terminal, VERSION, ended);
  try {
    if (argv.length === 0) {
      program.outputHelp();
      return EXIT_ERROR;
    }
    await program.parseAsync([...argv], { from: "user" });
    return ended.exitCode;
  } catch (error) {
    return report(error, terminal, argv, (message) => usageMessage(program, message, argv));
  }
}

function report(
  error: unknown,
  terminal: Terminal,
  argv: readonly string[],
  explain: (message: string) => string,
): number {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT_OK;
  // Only our own messages are shown: those of others may hold what was sent.
  const known = error instanceof CommandError;
  let message = known ? error.message : "The command failed unexpectedly.";
  if (error instanceof CommanderError) {
    // Its help was shown: there is nothing to add.
    if (error.code === "commander.help") return EXIT_ERROR;
    message = explain(error.message);
  }
  const exitCode = known ? error.exitCode : EXIT_ERROR;
  terminal.writeError(`flow-layer: ${message}\n`);
  if (argv.includes("--json") && !(known && error.isReported)) {
    const details = error instanceof RefusedError ? error.details : { message };
    terminal.write(jsonText({ error: { ...details, message, exit_code: exitCode } }));
  }
  return exitCode;
}
