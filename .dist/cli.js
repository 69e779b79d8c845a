#!/usr/bin/env node
/**
 * The package's command. In a checkout it runs the sources, on the Node that `npm ci` brings where this one cannot read
 * them; an installed package has them built into one file beside this one.
 *
 * Plain JavaScript that old versions of Node read too, so that they get a sentence and no stack.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const OLDEST_NODE = 22;
const sources = new URL("../src/cli/start.ts", import.meta.url);
const major = Number(process.versions.node.split(".")[0]);

if (!existsSync(sources)) {
  if (major >= OLDEST_NODE) await import("./flow-layer.js");
  else fail(`this is Node ${process.versions.node}. Install Node ${OLDEST_NODE} or later.`);
} else if (process.features.typescript && existsSync(new URL("../node_modules/commander", import.meta.url))) {
  await import(sources.href);
} else {
  handOver();
}

function handOver() {
  let node;
  try {
    node = createRequire(import.meta.url).resolve("node/bin/node");
  } catch {
    fail("the packages are not installed. Run `npm ci` first.");
    return;
  }
  const ended = spawnSync(node, [fileURLToPath(sources), ...process.argv.slice(2)], { stdio: "inherit" });
  process.exitCode = ended.status ?? 1;
}

function fail(message) {
  process.stderr.write(`flow-layer: ${message}\n`);
  process.exitCode = 1;
}
