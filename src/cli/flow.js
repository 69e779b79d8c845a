#!/usr/bin/env node
/**
 * The package's `flow` command. Plain JavaScript, because a Node without type stripping has to read it: such a Node hands
 * over to the one that the package brings.
 */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const entry = new URL("./start.ts", import.meta.url);

if (process.features.typescript) {
  await import(entry.href);
} else {
  process.exitCode = handOver();
}

function handOver() {
  let node;
  try {
    node = createRequire(import.meta.url).resolve("node/bin/node");
  } catch {
    process.stderr.write("flow: This Node cannot run TypeScript. Use Node 22.18 or later, or run `npm ci` first.\n");
    return 1;
  }
  return spawnSync(node, [fileURLToPath(entry), ...process.argv.slice(2)], { stdio: "inherit" }).status ?? 1;
}
