/**
 * `npm run build`: writes `.site/`, the pages and files that Workers Static Assets serves.
 *
 * Pages are JSX, which Node does not run: they are bundled first, by the bundler that wrangler brings. The old folder is
 * replaced in one step, so that a server that reads it meanwhile never sees half a site.
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { type BuildOptions, build } from "esbuild";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "../..");
const OUT = join(ROOT, ".site");
const OPENAPI = join(ROOT, ".wrangler", "openapi.txt");
const ISLANDS = ["page", "docs", "models", "run"] as const;

const COMMON: BuildOptions = {
  bundle: true,
  format: "esm",
  jsx: "automatic",
  jsxImportSource: "hono/jsx",
  write: false,
  logLevel: "warning",
};

const EXAMPLES = join(ROOT, "test/clients/examples");
const LANGUAGES: Readonly<Record<string, string>> = { sh: "bash", mjs: "js", py: "python", toml: "toml" };
/** What the examples name in place of the host, and what pages name. */
const EXAMPLE_HOST = "http://localhost:8787";
const PAGE_HOST = "https://YOUR-HOST";

/** Puts the tested files of `test/clients/examples` where the text names them. Throws for one that is not there. */
async function withExamples(markdown: string): Promise<string> {
  let text = markdown;
  for (const [comment, name = "", tab = ""] of markdown.matchAll(/<!-- example: ([\w.-]+)((?: tab="[^"]*")?) -->/g)) {
    const code = await readFile(join(EXAMPLES, name), "utf8");
    const language = LANGUAGES[name.split(".").at(-1) ?? ""] ?? "";
    const shown = code.trimEnd().replaceAll(EXAMPLE_HOST, PAGE_HOST);
    text = text.replace(comment, () => `\`\`\`${language}${tab} example=${name}\n${shown}\n\`\`\``);
  }
  return text;
}

/** Where the site lies below `.site`: files under `/assets/` may be kept for ever, as their names hold their hash. */
async function assetsOf(files: Map<string, string>) {
  const add = (name: string, extension: string, text: string): string => {
    const hash = createHash("sha256").update(text).digest("hex").slice(0, 10);
    files.set(`assets/${name}-${hash}.${extension}`, text);
    return `/assets/${name}-${hash}.${extension}`;
  };
  const scripts: Record<string, string> = {};
  for (const name of ISLANDS) {
    const built = await build({
      ...COMMON,
      entryPoints: [join(HERE, `islands/${name}.ts`)],
      minify: true,
      target: "es2022",
    });
    scripts[name] = add(name, "js", built.outputFiles?.[0]?.text ?? "");
  }
  const consoleAssets = await consoleOf(files);
  const css = await Promise.all(PAGE_SHEETS.map((name) => readFile(join(HERE, `styles/${name}.css`), "utf8")));
  const withoutScript = add("noscript", "css", await readFile(join(HERE, "styles/noscript.css"), "utf8"));
  return { style: add("site", "css", css.join("\n")), withoutScript, scripts, console: consoleAssets };
}

/** Style sheets of every page, in their order. */
const PAGE_SHEETS = ["tokens", "site", "home", "reading", "models"] as const;

/** What the console loads lies below `/console/`, so that the fence of `FLOW_ADMIN_HOST` holds for it too. */
async function consoleOf(files: Map<string, string>) {
  const built = await build({
    ...COMMON,
    jsxImportSource: "hono/jsx/dom",
    entryPoints: { console: join(HERE, "console/main.tsx") },
    outdir: OUT,
    splitting: true,
    minify: true,
    target: "es2022",
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
  });
  let script = "";
  for (const { path, text } of built.outputFiles ?? []) {
    const name = `console/${basename(path)}`;
    files.set(name, text);
    if (basename(path).startsWith("console-")) script = `/${name}`;
  }
  const alone = await build({
    ...COMMON,
    entryPoints: [join(HERE, "console/here.ts")],
    minify: true,
    target: "es2022",
  });
  const hereText = alone.outputFiles?.[0]?.text ?? "";
  const here = `console/here-${createHash("sha256").update(hereText).digest("hex").slice(0, 10)}.js`;
  files.set(here, hereText);
  const sheets = [...PAGE_SHEETS, "console", "console-parts", "console-figures", "console-pages", "chart"].map((name) =>
    readFile(join(HERE, `styles/${name}.css`), "utf8"),
  );
  const css = (await Promise.all(sheets)).join("\n");
  const hash = createHash("sha256").update(css).digest("hex").slice(0, 10);
  files.set(`console/style-${hash}.css`, css);
  return { script, style: `/console/style-${hash}.css`, here: `/${here}` };
}

/** `site.ts` and all that it needs, as a module that Node runs. */
async function loadSite(directory: string) {
  const built = await build({
    ...COMMON,
    entryPoints: {
      site: join(HERE, "site.ts"),
      openapi: join(HERE, "../openapi/document.ts"),
      policy: join(HERE, "policy-schema.ts"),
      providers: join(HERE, "../providers/index.ts"),
    },
    outdir: directory,
    platform: "node",
    loader: { ".json": "json" },
    write: true,
    entryNames: "[name]",
    outExtension: { ".js": ".mjs" },
  });
  void built;
  const load = (name: string) => import(pathToFileURL(join(directory, `${name}.mjs`)).href);
  return {
    site: (await load("site")) as typeof import("./site.ts"),
    openapi: (await load("openapi")) as typeof import("../openapi/document.ts"),
    policy: (await load("policy")) as typeof import("./policy-schema.ts"),
    providers: (await load("providers")) as typeof import("../providers/index.ts"),
  };
}

/** Changes with every file that the site is made from: an unchanged one is not built again. */
async function inputsDigest(): Promise<string> {
  const hash = createHash("sha256");
  const folders = [
    "site",
    "catalog",
    "openapi",
    "policy",
    "providers",
    "http",
    "doors",
    "admin",
    "approvals",
    "traces",
    "trace-index",
    "keys",
    "wires/openai-chat",
  ];
  for (const folder of [...folders.map((each) => join("src", each)), "test/clients/examples"]) {
    const names = await readdir(join(ROOT, folder), { recursive: true, withFileTypes: true });
    for (const entry of names.toSorted((a, b) => (join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1))) {
      if (entry.isFile()) hash.update(entry.name).update(await readFile(join(entry.parentPath, entry.name)));
    }
  }
  return hash.digest("hex");
}

async function main(): Promise<void> {
  const digest = await inputsDigest();
  const stamp = join(ROOT, ".wrangler", "site.digest");
  const built = await readFile(stamp, "utf8").catch(() => "");
  const isWhole =
    (await readdir(OUT).catch(() => [])).length > 0 && (await readFile(OPENAPI).catch(() => null)) !== null;
  if (built === digest && isWhole) return;
  await mkdir(join(ROOT, ".wrangler"), { recursive: true });
  const work = await mkdtemp(join(ROOT, ".wrangler", "site-"));
  try {
    const files = new Map<string, string>();
    const assets = await assetsOf(files);
    const { site, openapi, policy, providers } = await loadSite(work);
    const document = openapi.openApiDocument();
    const content: Record<string, string> = {};
    for (const file of await readdir(join(HERE, "content"))) {
      if (!file.endsWith(".md")) continue;
      content[file.slice(0, -3)] = await withExamples(await readFile(join(HERE, "content", file), "utf8"));
    }
    const flowTypes = await readFile(join(HERE, "content", "flow.d.ts.txt"), "utf8");
    const schemas = (document["components"] as { schemas?: Record<string, unknown> } | undefined)?.schemas ?? {};
    const policySchema = JSON.stringify(
      policy.policySchema(schemas["Policy"] as Readonly<Record<string, unknown>>, providers.providerIds()),
      null,
      2,
    );
    const openapiText = JSON.stringify(document);
    // The Worker serves it as it is, from a module of text: it is no asset, so that its answer is like all others.
    await writeFile(OPENAPI, openapiText);
    for (const [path, text] of site.siteFiles({ content, openapi: openapiText, policySchema, flowTypes, assets }))
      files.set(path, text);
    const fresh = join(work, "site");
    for (const [path, text] of files) {
      await mkdir(dirname(join(fresh, path)), { recursive: true });
      await writeFile(join(fresh, path), text);
    }
    // Deleting thousands of files takes long enough for a running server to miss one, so the old ones are moved away.
    await rename(OUT, join(work, "old")).catch(() => {});
    await rename(fresh, OUT);
    await writeFile(stamp, digest);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

await main();
