/** `npm run build:cli`: the command in one file, for the package. It needs no package and no Node newer than 22. */
import { join } from "node:path";
import { build } from "esbuild";

const ROOT = join(import.meta.dirname, "../..");

await build({
  entryPoints: [join(ROOT, "src/cli/start.ts")],
  outfile: join(ROOT, ".dist/flow-layer.js"),
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node22",
  // commander is CommonJS at heart for some paths; a bundle of ES modules has no `require` of its own.
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  legalComments: "inline",
  logLevel: "warning",
});
