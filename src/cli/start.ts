/** Runs the command with the process's own arguments, terminal and network. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { main } from "./main.ts";
import { EXIT_ERROR } from "./terminal.ts";

async function ask(question: string, isSecret = false): Promise<string> {
  // What is typed is echoed by readline itself: a secret goes nowhere.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const options = isSecret ? { output: silent, terminal: true } : { output: process.stderr };
  const terminal = createInterface({ input: process.stdin, ...options });
  if (isSecret) process.stderr.write(question);
  const ended = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
  terminal.once("SIGINT", () => process.exit(130));
  const answer = await Promise.race([terminal.question(isSecret ? "" : question).catch(() => ""), ended]);
  terminal.close();
  if (isSecret) process.stderr.write("\n");
  return answer;
}

async function readInput(): Promise<string> {
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const piece of process.stdin) text += String(piece);
  return text;
}

const OPENERS: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  darwin: ["open"],
  win32: ["cmd", "/c", "start", ""],
};

function open(address: string): Promise<boolean> {
  const [program = "xdg-open", ...args] = OPENERS[process.platform] ?? ["xdg-open"];
  return new Promise((resolve) => {
    const child = spawn(program, [...args, address], { stdio: "ignore", detached: true });
    child.once("error", () => resolve(false));
    child.once("spawn", () => {
      child.unref();
      resolve(true);
    });
  });
}

// A reader that went away, as `head` does, needs no report.
process.stdout.on("error", () => process.exit(EXIT_ERROR));

process.exitCode = await main(process.argv.slice(2), {
  variables: process.env,
  directory: process.cwd(),
  // The answer is read from the one and the question written to the other: stdout may be a file.
  isInteractive: process.stdin.isTTY === true && process.stderr.isTTY === true,
  columns: process.stdout.isTTY === true ? process.stdout.columns : undefined,
  hasColour: process.stdout.isTTY === true && (process.env["NO_COLOR"] ?? "") === "",
  write: (text) => void process.stdout.write(text),
  writeError: (text) => void process.stderr.write(text),
  ask,
  readInput,
  open,
  fetch,
});
