/**
 * `npm start`, in plain JavaScript, because a Node without type stripping has to read it: such a Node hands over to the
 * one that `npm ci` installs.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const entry = new URL("./start.ts", import.meta.url);

if (!existsSync(new URL("../../node_modules/wrangler/package.json", import.meta.url))) {
  fail(`The packages are not installed. Run \`npm ci\` in ${root} first.`);
} else if (process.features.typescript) {
  await import(entry.href);
} else {
  handOver();
}

function handOver() {
  let node;
  try {
    node = createRequire(import.meta.url).resolve("node/bin/node");
  } catch {
    fail(`Node ${process.versions.node} is too old. Run \`npm ci\`, which brings Node 24, or use Node 22.18 or later.`);
    return;
  }
  const child = spawn(node, [fileURLToPath(entry), ...process.argv.slice(2)], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code) => process.exit(code ?? 1));
}

function fail(message) {
  process.stderr.write(`npm start: ${message}\n`);
  process.exitCode = 1;
}
