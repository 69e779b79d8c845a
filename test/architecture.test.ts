/**
 * The shape of `src`, read as text: who may import whom, and the spellings that are not allowed.
 *
 * A type-only import counts against the table like any other, with one exception: `env.ts` names the Durable Object
 * classes as types and their files name `Env` as a type. It does not count as part of a cycle: it leaves no trace at
 * run time, and the table already keeps cycles inside one folder.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { expect, test } from "vitest";

const SRC = join(dirname(new URL(import.meta.url).pathname), "..", "src");
const MAX_LINES = 400;

/** Folder, or file at the top of `src`: what it may import besides itself. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  index: [
    ...["app", "approvals/tool-approvals", "control/control-plane", "health/provider-health"],
    ...["spend/key-ledger", "trail/trail-index"],
  ],
  app: ["chat", "v1", "admin", "openapi", "traces", "env", "errors", "fault", "lib"],
  v1: [
    ...[
      "chat/authenticate",
      "chat/read",
      "approvals",
      "control/client",
      "keys",
      "policy",
      "spend",
      "traces",
      "catalog",
    ],
    ...["env", "errors", "lists", "validation", "lib"],
  ],
  chat: [
    ...["policy", "spend", "health", "keys", "approvals", "traces", "providers", "catalog"],
    ...["openai", "env", "errors", "fault", "log", "lib"],
  ],
  policy: ["catalog", "errors", "lib"],
  keys: ["errors", "lib"],
  traces: ["errors", "log", "lib"],
  catalog: ["errors", "lib"],
  health: ["control/types", "errors", "log", "lib"],
  trail: ["traces", "errors", "log", "lib"],
  spend: ["openai", "catalog", "traces", "errors", "log", "lib"],
  providers: ["openai", "traces", "errors", "lib"],
  approvals: ["openai", "keys/hash", "errors", "lib"],
  control: ["approvals/types", "policy", "keys", "traces", "catalog", "env", "errors", "log", "lib"],
  admin: [
    ...["approvals", "control", "policy", "keys", "spend", "trail", "traces", "health", "providers", "catalog"],
    ...["openai", "env", "errors", "lists", "validation", "lib"],
  ],
  openapi: [
    ...["admin/promotions", "admin/routes", "approvals/decision", "approvals/types", "keys/record", "policy"],
    ...["traces/schema", "trail/types", "openai", "errors"],
  ],
  validation: ["errors", "lib"],
  fault: ["errors", "log"],
  lists: ["errors", "lib"],
  env: [],
  openai: ["errors", "validation", "lib"],
  errors: ["lib"],
  log: ["lib"],
  lib: [],
  dev: [],
  cli: ["policy", "validation", "lib"],
};

/** Each holds one Durable Object class. Only they need workerd; every other file also runs in plain Node. */
const DURABLE_OBJECTS = [
  ...["approvals/tool-approvals.ts", "control/control-plane.ts", "health/provider-health.ts"],
  ...["spend/key-ledger.ts", "trail/trail-index.ts"],
];
/** `handler.ts` composes the stages; the others are what they share: types, the record, one call upstream. */
const CHAT_COMPOSERS = ["chat/handler.ts"];
const CHAT_SHARED = ["chat/stages.ts", "chat/trace.ts", "chat/upstream-call.ts"];
/** A stage may have parts: `stream-pump.ts` is one of `stream.ts`. */
const stageOf = (path: string): string => stem(path).replace(/-.*$/, "");
/** The registry and what adapters share; every other file of `providers` is an adapter. */
const PROVIDER_REGISTRY = "providers/index.ts";
const ADAPTERS_SHARE = [
  ...["providers/adapter.ts", "providers/classify.ts", "providers/rows.ts", "providers/settings.ts"],
];
const isSharedByAdapters = (path: string): boolean => ADAPTERS_SHARE.includes(path) || path.endsWith("-wire.ts");

const stem = (path: string): string => path.replace(/\.[a-z]+$/, "");

type Files = ReadonlyMap<string, string>;

interface Import {
  readonly from: string;
  /** Path below `src`, or the name of a package. */
  readonly to: string;
  readonly inside: boolean;
  readonly typeOnly: boolean;
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
}

const FROM = /^\s*(?:import|export)\s+(type\s)?[^"';]*?from\s+"([^"]+)"/gm;
const BARE_OR_DYNAMIC = /(?:^\s*import|\bimport\()\s*"([^"]+)"/gm;

function importsOf(path: string, text: string): Import[] {
  const code = withoutComments(text);
  const found = [
    ...[...code.matchAll(FROM)].map(([, type, to = ""]) => ({ to, typeOnly: type !== undefined })),
    ...[...code.matchAll(BARE_OR_DYNAMIC)].map(([, to = ""]) => ({ to, typeOnly: false })),
  ];
  return found.map(({ to, typeOnly }) => {
    const inside = to.startsWith(".");
    return { from: path, to: inside ? posix.normalize(posix.join(posix.dirname(path), to)) : to, inside, typeOnly };
  });
}

const isEnvType = ({ from, to, typeOnly }: Import): boolean =>
  typeOnly &&
  ((from === "env.ts" && DURABLE_OBJECTS.includes(to)) || (to === "env.ts" && DURABLE_OBJECTS.includes(from)));

const unit = (path: string): string => (path.includes("/") ? path.slice(0, path.indexOf("/")) : stem(path));

function directionFaults(imports: readonly Import[]): string[] {
  const faults: string[] = [];
  for (const edge of imports) {
    const { from, to } = edge;
    const [source, target] = [unit(from), unit(to)];
    const allowed = ALLOWED[source];
    if (allowed === undefined) faults.push(`${from}: "${source}" has no row in the table of imports`);
    else if (source !== target && !allowed.includes(target) && !allowed.includes(stem(to)) && !isEnvType(edge)) {
      faults.push(`${from} imports ${to}`);
    }
    const between = source === "chat" && target === "chat" && stageOf(from) !== stageOf(to);
    if (between && !CHAT_COMPOSERS.includes(from) && !CHAT_SHARED.includes(to)) {
      faults.push(`${from} imports the stage ${to}`);
    }
    if (
      source === "providers" &&
      target === "providers" &&
      from !== PROVIDER_REGISTRY &&
      !isSharedByAdapters(to) &&
      stageOf(from) !== stageOf(to)
    ) {
      faults.push(`${from} imports the adapter ${to}`);
    }
  }
  return faults;
}

/** One line per import that closes a circle. */
function cycles(imports: readonly Import[]): string[] {
  const next = new Map<string, string[]>();
  for (const edge of imports) {
    if (edge.typeOnly) continue;
    next.set(edge.from, [...(next.get(edge.from) ?? []), edge.to]);
  }
  const faults: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) faults.push(`cycle: ${[...trail.slice(trail.indexOf(path)), path].join(" → ")}`);
    if (done.has(path) || trail.includes(path)) return;
    for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of next.keys()) visit(path, []);
  return faults;
}

interface Ban {
  readonly what: string;
  readonly pattern: RegExp;
  readonly except?: (path: string) => boolean;
}

const isDev = (path: string): boolean => path.startsWith("dev/");

const BANS: readonly Ban[] = [
  { what: "the type any", pattern: /(?:[:<|&,(=]\s*|\bas\s+|\bextends\s+)any\b(?!\s*[:(?])/ },
  { what: "@ts-ignore or its kin", pattern: /@ts-(?:ignore|nocheck|expect-error)/ },
  { what: "an enum", pattern: /^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?enum\s/m },
  { what: "console", pattern: /\bconsole\s*\.\s*\w+\s*\(/, except: (path) => path === "log.ts" || isDev(path) },
  { what: "JSON.parse", pattern: /\bJSON\s*\.\s*parse\b/, except: (path) => path === "lib/json.ts" || isDev(path) },
  { what: "import { z }", pattern: /import\s+\{[^}]*\bz\b[^}]*\}\s+from\s+"zod/ },
  { what: "zod other than zod/mini", pattern: /from\s+"zod"/ },
  // Values are bound. A module's constant may stand in a statement: it is text of ours.
  { what: "a value inside SQL text", pattern: /[sS]ql\s*\.exec(?:<[^(]*>)?\(\s*`[^`]*\$\{(?![A-Z][A-Z0-9_]*\})/ },
  { what: "Object.assign", pattern: /\bObject\s*\.\s*assign\b/ },
];

function spellingFaults(path: string, text: string): string[] {
  const code = withoutComments(text);
  const faults = BANS.filter((ban) => {
    const subject = ban.what.startsWith("@") ? text : code;
    return ban.pattern.test(subject) && ban.except?.(path) !== true;
  }).map((ban) => `${path}: ${ban.what}`);
  const lines = text.replace(/\n$/, "").split("\n").length;
  if (lines > MAX_LINES) faults.push(`${path}: ${lines} lines`);
  return faults;
}

/** Everything in `files` that breaks a rule, one line each. */
function faults(files: Files): string[] {
  const imports = [...files].flatMap(([path, text]) => importsOf(path, text));
  const inside = imports.filter((edge) => edge.inside);
  const runtime = imports
    .filter(({ from, to }) => to === "cloudflare:workers" && !DURABLE_OBJECTS.includes(from))
    .map(({ from }) => `${from} imports cloudflare:workers`);
  const spellings = [...files].flatMap(([path, text]) => spellingFaults(path, text));
  return [...directionFaults(inside), ...cycles(inside), ...runtime, ...spellings];
}

function readSources(): Files {
  const names = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  return new Map(
    names.map((name) => [relative(".", name).replaceAll("\\", "/"), readFileSync(join(SRC, name), "utf8")]),
  );
}

test("src keeps the direction of imports and the spellings", () => {
  const sources = readSources();
  expect(sources.size).toBeGreaterThan(10);
  expect(faults(sources)).toEqual([]);
});

test.each<{ name: string; files: Record<string, string>; fault: string }>([
  {
    name: "an import against the direction",
    files: { "lib/a.ts": 'import { log } from "../log.ts";' },
    fault: "lib/a.ts imports log.ts",
  },
  {
    name: "a type-only import against the direction",
    files: { "policy/a.ts": 'import type { Env } from "../env.ts";' },
    fault: "policy/a.ts imports env.ts",
  },
  {
    name: "an import over several lines",
    files: { "keys/a.ts": 'import {\n  one,\n  two,\n} from "../chat/plan.ts";' },
    fault: "keys/a.ts imports chat/plan.ts",
  },
  {
    name: "an export from another folder",
    files: { "keys/a.ts": 'export { one } from "../spend/b.ts";' },
    fault: "keys/a.ts imports spend/b.ts",
  },
  {
    name: "a dynamic import",
    files: { "keys/a.ts": 'const spend = await import("../spend/b.ts");' },
    fault: "keys/a.ts imports spend/b.ts",
  },
  {
    name: "the index taking more of a folder than its class",
    files: { "index.ts": 'export { price } from "./spend/price.ts";' },
    fault: "index.ts imports spend/price.ts",
  },
  {
    name: "a folder that is not in the table",
    files: { "utils/a.ts": 'import { b } from "./b.ts";' },
    fault: 'utils/a.ts: "utils" has no row in the table of imports',
  },
  {
    name: "a stage importing a stage",
    files: { "chat/attempt.ts": 'import { plan } from "./plan.ts";' },
    fault: "chat/attempt.ts imports the stage chat/plan.ts",
  },
  {
    name: "an adapter importing an adapter",
    files: { "providers/anthropic.ts": 'import { sign } from "./bedrock.ts";' },
    fault: "providers/anthropic.ts imports the adapter providers/bedrock.ts",
  },
  {
    name: "a cycle",
    files: { "keys/a.ts": 'import { type A, b } from "./b.ts";', "keys/b.ts": 'import { a } from "./a.ts";' },
    fault: "cycle: keys/a.ts → keys/b.ts → keys/a.ts",
  },
  {
    name: "the runtime's module outside a Durable Object",
    files: { "chat/plan.ts": 'import { env } from "cloudflare:workers";' },
    fault: "chat/plan.ts imports cloudflare:workers",
  },
  { name: "any as a type", files: { "lib/a.ts": "const a: any = 1;" }, fault: "lib/a.ts: the type any" },
  { name: "any in a cast", files: { "lib/a.ts": "f(a as any);" }, fault: "lib/a.ts: the type any" },
  { name: "any in a type argument", files: { "lib/a.ts": "new Map<string, any>();" }, fault: "lib/a.ts: the type any" },
  { name: "an ignored error", files: { "lib/a.ts": "// @ts-ignore\n" }, fault: "lib/a.ts: @ts-ignore or its kin" },
  { name: "an enum", files: { "lib/a.ts": "export const enum A { B }" }, fault: "lib/a.ts: an enum" },
  { name: "console", files: { "chat/plan.ts": 'console.log("x");' }, fault: "chat/plan.ts: console" },
  { name: "JSON.parse", files: { "chat/plan.ts": "JSON.parse(text);" }, fault: "chat/plan.ts: JSON.parse" },
  { name: "import { z }", files: { "openai.ts": 'import { z } from "zod/mini";' }, fault: "openai.ts: import { z }" },
  {
    name: "all of zod",
    files: { "openai.ts": 'import * as z from "zod";' },
    fault: "openai.ts: zod other than zod/mini",
  },
  {
    name: "SQL from a template literal",
    files: { "spend/key-ledger.ts": "this.#sql.exec<{ a: number }>(\n  `SELECT a FROM t WHERE id = $" + "{id}`);" },
    fault: "spend/key-ledger.ts: a value inside SQL text",
  },
  { name: "Object.assign", files: { "lib/a.ts": "Object.assign(a, b);" }, fault: "lib/a.ts: Object.assign" },
  { name: "a long file", files: { "lib/a.ts": "x;\n".repeat(401) }, fault: "lib/a.ts: 401 lines" },
])("the check finds $name", ({ files, fault }) => {
  expect(faults(new Map(Object.entries(files)))).toContain(fault);
});

test("the check leaves alone what is allowed", () => {
  const files = {
    "index.ts": 'import { app } from "./app.ts";\nexport { KeyLedger } from "./spend/key-ledger.ts";',
    "env.ts": 'import type { KeyLedger } from "./spend/key-ledger.ts";',
    "spend/key-ledger.ts":
      'import { DurableObject } from "cloudflare:workers";\nimport type { Env } from "../env.ts";\nsql.exec("SELECT 1");',
    "chat/handler.ts": 'import { plan } from "./plan.ts";',
    "chat/stream.ts": 'import { pump } from "./stream-pump.ts";',
    "chat/stream-pump.ts": 'import type { Control } from "./stream.ts";',
    "chat/plan.ts": 'import type { Trace } from "./trace.ts";\nimport * as z from "zod/mini";',
    "providers/index.ts": 'import { groq } from "./openai-compatible.ts";',
    "log.ts": "console.log(1);",
    "providers/rows.ts": 'export const groq = { source: "https://console.groq.com/docs/openai" };',
    "control/control-plane.ts": "this.#sql.exec(`SELECT a\\n FROM t $" + "{WHERE}`);",
    "lib/json.ts":
      "// in any case: any one of them\nexport const parseJson = (text: string): unknown => JSON.parse(text);",
    "lib/a.ts": "x;\n".repeat(400),
  };
  expect(faults(new Map(Object.entries(files)))).toEqual([]);
});
