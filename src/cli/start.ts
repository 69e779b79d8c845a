/** Runs the command with the process's own arguments, terminal and network. */
import { createInterface } from "node:readline/promises";
import { main } from "./main.ts";
import { EXIT_ERROR } from "./terminal.ts";

async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const ended = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
  const answer = await Promise.race([terminal.question(question).catch(() => ""), ended]);
  terminal.close();
  return answer;
}

// A reader that went away, as `head` does, needs no report.
process.stdout.on("error", () => process.exit(EXIT_ERROR));

process.exitCode = await main(process.argv.slice(2), {
  variables: process.env,
  directory: process.cwd(),
  // The answer is read from the one and the question written to the other: stdout may be a file.
  isInteractive: process.stdin.isTTY === true && process.stderr.isTTY === true,
  write: (text) => void process.stdout.write(text),
  writeError: (text) => void process.stderr.write(text),
  ask,
  fetch,
});
