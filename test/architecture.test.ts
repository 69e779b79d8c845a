/**
 * The shape of `src`, read as text: who may import whom, and the spellings that are not allowed.
 *
 * A type-only import counts against the table like any other, with one exception: the files of Durable Objects name `Env` as
 * a type. It does not count as part of a cycle: it leaves no trace at
 * run time, and the table already keeps cycles inside one folder.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { expect, test } from "vitest";
import { englishFindings } from "./lint/english.ts";

const SRC = join(dirname(new URL(import.meta.url).pathname), "..", "src");
const MAX_LINES = 400;

/**
 * Folder or file: which folders and files it may import besides its own folder at the top of `src`. The longest path
 * that fits decides. `lib/log` is meant only where it is named.
 */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  index: [
    "config",
    ...["app", "approvals/tool-approvals", "control/control-plane", "health/provider-health", "budgets/budget-pool"],
    "conversation-store/conversation-store",
    ...["ledger/key-ledger", "trace-index/trail-index", "spend-archive/spend-archive", "repricing/repricing-job"],
  ],
  app: [
    "relay/refusal",
    "doors",
    "admin/app",
    "admin/access/authorize",
    "admin/access/session",
    "openapi/served",
    "traces",
    "config",
    "http",
  ],
  doors: [
    ...["relay/authenticate", "approvals", "control/client", "keys", "policy", "ledger/client", "traces", "catalog"],
    "prices",
    ...[
      "config",
      "http/body",
      "http/errors",
      "http/json-body",
      "http/pagination",
      "http/query",
      "http/trace-filters",
      "lib",
    ],
  ],
  // A door: how its key, request, errors and answers look. The relay does the rest.
  "doors/chat": ["config", "http/errors", "relay", "wires/asked", "wires/openai-chat", "lib"],
  "doors/azure": [
    ...["config", "http/errors", "relay", "doors/chat", "doors/embeddings", "wires/openai-chat"],
    ...["wires/openai-embeddings", "lib"],
  ],
  "doors/messages": [
    ...["config", "http", "relay", "pricing/count", "wires/anthropic-messages/door"],
    ...["wires/anthropic-messages/same-wire", "wires/openai-chat", "conversation", "lib"],
  ],
  "doors/embeddings": ["config", "http/errors", "relay", "wires/openai-embeddings", "lib"],
  // A page's request, in the place of a client's.
  "doors/run": [
    ...["config", "control", "doors/chat", "doors/messages", "doors/responses", "http", "keys/record", "relay"],
    ...["traces/schema", "lib"],
  ],
  // What doors that are not chat have in common.
  "doors/gate-view": [...["conversation", "relay/door", "wires/known-members", "wires/openai-chat/request-fields"]],
  "doors/to-request": ["conversation", "wires/known-members", "wires/openai-chat", "lib"],
  "doors/responses": [
    ...["config", "conversation", "conversation-store/client", "http", "relay", "pricing/count", "policy/schema"],
    ...["wires/openai-responses", "wires/openai-chat", "lib"],
  ],
  relay: [
    ...["budgets", "prices", "policy", "pricing", "ledger/types", "health", "keys", "approvals", "traces", "providers"],
    ...["catalog", "wires/openai-chat/chunk", "wires/openai-chat/request-fields", "wires/openai-chat/read-demand"],
    ...[
      "wires/wire",
      "wires/asked",
      "wires/bridge",
      "wires/event-items",
      "wires/openai-chat/door-wire",
      "wires/openai-chat/stream/items",
    ],
    ...["conversation", "config", "embedding"],
    ...["http/body", "http/errors", "http/headers", "http/internal-error", "lib"],
  ],
  // Limits above keys: what isolates, ledgers and the pools of budgets say to each other.
  budgets: ["durable", "notices/types", "lib"],
  "budgets/budget-pool": ["budgets", "notices/types", "control/client", "config", "durable", "lib"],
  repricing: [
    "config",
    "ledger/repricing",
    "control/client",
    "control/types",
    "keys/record",
    "prices/book",
    "trace-index",
    "durable",
    "lib",
    "lib/log",
  ],
  "spend-archive": ["config", "trace-index", "traces/filter", "durable", "http/errors", "lib"],
  // What a model costs now: operators' prices over the catalogue's.
  prices: ["catalog", "lib"],
  "relay/embedding": [
    ...["embedding", "catalog/spaces", "pricing", "providers", "http/errors", "lib"],
    ...["wires/openai-chat/chunk", "wires/openai-chat/request-fields", "wires/openai-embeddings"],
  ],
  // Vectors, and how a batch is divided: no wire, no provider.
  embedding: ["lib"],
  "relay/plan": [
    "http/hints",
    "policy",
    "health",
    "providers",
    "wires/asked",
    "catalog",
    "traces",
    "conversation",
    "http/errors",
    "lib",
  ],
  "relay/refusal": ["config", "http/errors", "http/refusal-log", "ledger/client", "traces"],
  "relay/admission/admission": [
    ...[
      "budgets/types",
      "keys/record",
      "pricing",
      "ledger/client",
      "ledger/key-ledger",
      "conversation",
      "http/errors",
      "lib",
    ],
    ...["wires/openai-chat/request-fields", "wires/openai-chat/read-demand"],
  ],
  "relay/request/explained": ["ledger/client", "relay", "http/errors"],
  "relay/settle": ["pricing", "ledger/client", "keys", "traces", "config", "lib", "lib/log"],
  policy: ["catalog", "lib"],
  keys: ["lib"],
  traces: ["lib", "lib/log"],
  catalog: ["lib"],
  health: ["config", "control/types", "durable", "lib"],
  "trace-index": ["config", "prices/book", "traces", "durable", "http/errors", "lib", "lib/log"],
  pricing: ["conversation", "catalog", "lib"],
  ledger: [
    "notices/types",
    "budgets/types",
    "traces",
    "durable",
    "lib",
    "lib/log",
    "conversation/usage",
    "catalog/model-facts",
    "prices/book",
    "pricing/fold",
  ],
  "ledger/key-ledger": [
    ...["budgets/types", "notices/types", "config", "ledger", "trace-index/spread/router", "traces", "lib"],
  ],
  "ledger/client": ["traces", "durable", "http/errors", "lib", "lib/log"],
  providers: ["wires/openai-chat", "conversation/part", "traces/schema", "lib"],
  "providers/adapter": [
    ...[
      "catalog/model-facts",
      "conversation/part",
      "wires/asked",
      "wires/openai-chat",
      "wires/wire",
      "traces/schema",
      "lib",
    ],
  ],
  // How a provider embeds, beside its chat.
  "providers/embeddings": ["embedding", "wires/openai-embeddings", "pricing/count", "lib"],
  "providers/model-limits": ["catalog"],
  "providers/anthropic": ["wires/anthropic-messages/wire", "wires/bridge", "wires/wire"],
  // APIs of a provider that clients speak as well: the face of each is the wire's, the row says where.
  "providers/native/same-wire": ["conversation", "wires/openai-chat", "wires/wire", "lib"],
  "providers/native/messages": ["wires/anthropic-messages", "lib"],
  "providers/native/responses": ["wires/openai-responses", "lib"],
  // OpenAI's other API, for requests that chat completions refuse.
  "providers/native/responses-for-tools": [
    ...["conversation", "wires/bridge", "wires/openai-chat", "wires/openai-responses", "wires/wire", "lib"],
  ],
  "providers/index": ["wires"],
  // A provider of another wire: the bridge, its own wire, and nothing of the others.
  "providers/bedrock": ["embedding", "wires/bridge", "wires/bedrock", "wires/wire", "traces/schema", "lib"],
  "providers/cohere": ["embedding", "wires/bridge", "wires/cohere", "traces/schema", "lib"],
  "providers/google": ["embedding", "wires/bridge", "wires/gemini", "traces/schema", "lib"],
  "wires/bedrock/embeddings": ["embedding", "providers/embeddings/adapter", "lib"],
  "wires/cohere/embeddings": ["embedding", "providers/embeddings/adapter", "lib"],
  "wires/gemini/embeddings": ["embedding", "providers/embeddings/adapter", "lib"],
  "wires/openai-embeddings": [
    ...["embedding", "providers/embeddings/adapter", "wires/openai-chat/request-fields"],
    ...["http/errors", "http/validation-errors", "lib"],
  ],
  wires: [...["conversation", "providers/adapter", "providers/classify", "providers/provider-settings", "lib"]],
  "wires/openai-responses": [
    ...["conversation", "providers/adapter", "providers/classify", "http/errors", "http/validation-errors", "lib"],
  ],
  "wires/openai-chat": [
    ...["conversation", "providers/adapter", "providers/provider-settings", "providers/provider-row", "lib"],
  ],
  "wires/openai-chat/request-fields": ["conversation", "http/body", "http/errors", "http/validation-errors", "lib"],
  conversation: ["lib"],
  "conversation-store": ["config", "durable", "http/errors", "lib"],
  approvals: ["config", "conversation", "keys/hash", "durable", "http/errors", "lib"],
  control: [
    "notices",
    "budgets/record",
    "approvals/types",
    "prices",
    "policy",
    "keys",
    "catalog",
    "config",
    "durable",
    "lib",
    "lib/log",
  ],
  admin: [
    "notices/types",
    ...[
      "budgets",
      "conversation-store/client",
      "durable/call",
      "repricing/types",
      "spend-archive",
      "prices",
      "approvals",
      "control",
      "policy",
      "keys",
      "ledger/client",
      "trace-index",
      "traces",
      "health",
      "providers",
    ],
    ...[
      "catalog",
      "config",
      "http/body",
      "http/errors",
      "http/json-body",
      "http/pagination",
      "http/query",
      "http/trace-filters",
      "http/attempts",
      "lib",
    ],
  ],
  "admin/demo-rows": ["catalog", "ledger/client", "pricing", "traces/schema", "lib"],
  // A request is read and planned as its door does it.
  "admin/explain": [
    ...["config", "control", "doors/messages/request", "doors/responses/request", "http/body", "http/errors"],
    ...[
      "http/json-body",
      "http/query",
      "keys/record",
      "policy/schema",
      "relay/embedding/operation",
      "relay/explain",
      "relay/resolve",
      "relay/trace",
    ],
    ...["wires/anthropic-messages/door", "wires/openai-chat/door-wire", "wires/openai-chat/request-fields"],
    ...["wires/openai-responses/wire", "wires/openai-embeddings/request-fields", "lib"],
  ],
  openapi: [
    ...["doors/messages/request", "doors/responses/request", "doors/run/run"],
    ...[
      "admin/promotions",
      "admin/explain",
      "admin/provider-switch",
      "admin/webhooks",
      "admin/routes",
      "admin/settings",
      "admin/money/reprice",
      "prices/request",
      "budgets/record",
      "approvals/decision",
      "approvals/types",
      "keys/record",
      "policy",
    ],
    ...[
      "traces/schema",
      "trace-index/types",
      "wires/openai-embeddings/request-fields",
      "wires/openai-chat/request-fields",
      "http/errors",
      "lib/text/name-patterns",
    ],
  ],
  // What the build has written.
  "openapi/served": ["../.wrangler/openapi"],
  http: ["lib"],
  "http/jurisdiction": ["durable/jurisdiction", "http/errors"],
  "http/internal-error": ["lib/log"],
  "http/refusal-log": ["http/errors", "lib", "lib/log"],
  durable: ["lib"],
  notices: ["lib", "lib/log"],
  "notices/types": [],
  config: ["durable/jurisdiction", "keys/operators", "lib/log", "lib/text/nearest"],
  lib: [],
  "lib/stored": ["lib/log"],
  "doors/pages": ["config", "admin/access/operator", "site/security-headers", "lib"],
  // Pages say what a provider takes from the rows that requests are written by.
  site: ["catalog", "http/errors", "providers/rows", "providers/provider-row", "lib/json"],
  // Islands that parse what the API answers, and write an attempt as headers and the log do.
  "site/console": ["lib/json", "traces/attempt-log"],
  "site/build": ["openapi/document", "providers/index"],
  dev: [],
  cli: ["policy", "http/validation-errors", "lib"],
};
/** Not part of its folder: who logs says so. */
const BY_NAME_ONLY = ["lib/log"];

/** Each holds one Durable Object class. Only they need workerd; every other file also runs in plain Node. */
const DURABLE_OBJECTS = [
  ...["approvals/tool-approvals.ts", "control/control-plane.ts", "health/provider-health.ts"],
  ...[
    "ledger/key-ledger.ts",
    "budgets/budget-pool.ts",
    "trace-index/trail-index.ts",
    "spend-archive/spend-archive.ts",
    "repricing/repricing-job.ts",
    "conversation-store/conversation-store.ts",
  ],
];
/** Put the parts of a request's way together; the others share types and the record. */
const RELAY_COMPOSERS = [
  ...["relay/relay.ts", "relay/explain.ts", "relay/request/run.ts", "relay/request/explained.ts"],
  "relay/request/embeddings.ts",
  "relay/request/count.ts",
];
const RELAY_SHARED = [
  ...["relay/types.ts", "relay/trace.ts", "relay/billing.ts", "relay/received.ts", "relay/affinity.ts"],
  ...["relay/last-words.ts", "relay/door.ts", "relay/trace-members.ts"],
];
/** Parts that call others: an attempt opens the stream of its answer, and what is held ends as streams do. */
const RELAY_CALLS = [
  ["relay/attempts/attempt.ts", "relay/streaming/stream.ts"],
  ["relay/approval/resume.ts", "relay/streaming/ends.ts"],
  ["relay/deliver.ts", "relay/approval/approval.ts"],
] as const;
/** The registry and what adapters share; every other file of `providers` is an adapter or a part of one. */
const PROVIDER_REGISTRY = "providers/index.ts";
const ADAPTERS_SHARE = [
  ...[
    "providers/adapter.ts",
    "providers/classify.ts",
    "providers/rows.ts",
    "providers/provider-settings.ts",
    "providers/credential-pool.ts",
    "providers/provider-row.ts",
    "providers/model-limits.ts",
    "providers/openai/chat-translation.ts",
    "providers/refusals.ts",
    "providers/embeddings/adapter.ts",
    "providers/embeddings/rows.ts",
    "providers/embeddings/openai.ts",
    "providers/embeddings/sandbox.ts",
  ],
  ...[
    "providers/native/same-wire.ts",
    "providers/native/messages.ts",
    "providers/native/responses.ts",
    "providers/native/row-wires.ts",
  ],
  ...["providers/row-members.ts", "providers/native/messages-errors.ts", "providers/native/missing-paths.ts"],
  "providers/native/responses-for-tools.ts",
  "providers/diagnosis.ts",
];
/** What every wire may take of OpenAI's, besides the files directly under `wires`. */
const WIRES_SHARE = [
  ...[
    "wires/openai-chat/request-fields.ts",
    "wires/openai-chat/chat-wire.ts",
    "wires/openai-chat/chunk.ts",
    "wires/openai-chat/usage.ts",
  ],
];
/** The files that join wires: they speak chat on one side and any wire on the other. */
const WIRE_BRIDGES: readonly string[] = ["wires/asked.ts", "wires/bridge.ts"];

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

const isConfigType = ({ from, to, typeOnly }: Import): boolean =>
  typeOnly && to === "config.ts" && DURABLE_OBJECTS.includes(from);

const folderOf = (path: string): string => (path.includes("/") ? path.slice(0, path.indexOf("/")) : stem(path));

/** Below the folder at the top: a folder there, or a file with all that has its name before a dash. */
function partOf(path: string): string {
  const [, part = "", file] = path.split("/");
  return file === undefined ? stem(part).replace(/-.*$/, "") : part;
}

/** The row of the table that is meant for a file. */
function rowOf(path: string): readonly string[] | undefined {
  for (let name = stem(path); ; name = posix.dirname(name)) {
    const row = ALLOWED[name];
    if (row !== undefined || !name.includes("/")) return row;
  }
}

function isInRow(row: readonly string[], from: string, to: string): boolean {
  if (row.includes(stem(to))) return true;
  if (BY_NAME_ONLY.includes(stem(to))) return false;
  return folderOf(from) === folderOf(to) || row.some((name) => to.startsWith(`${name}/`));
}

/** An import inside one folder, of a part that is none of the importer's business. */
function partFault(from: string, to: string): string | null {
  const folder = folderOf(from);
  if (folder !== folderOf(to) || partOf(from) === partOf(to)) return null;
  const isCall = RELAY_CALLS.some(([caller, called]) => caller === from && called === to);
  if (folder === "relay" && !RELAY_COMPOSERS.includes(from) && !RELAY_SHARED.includes(to) && !isCall) return "part";
  if (folder === "providers" && from !== PROVIDER_REGISTRY && !ADAPTERS_SHARE.includes(to)) return "adapter";
  if (folder === "wires" && !WIRE_BRIDGES.includes(from) && to.split("/").length > 2 && !WIRES_SHARE.includes(to))
    return "wire";
  return null;
}

function directionFaults(imports: readonly Import[]): string[] {
  const faults: string[] = [];
  for (const edge of imports) {
    const { from, to } = edge;
    const row = rowOf(from);
    if (row === undefined) faults.push(`${from}: "${folderOf(from)}" has no row in the table of imports`);
    else if (!isInRow(row, from, to) && !isConfigType(edge)) faults.push(`${from} imports ${to}`);
    const part = partFault(from, to);
    if (part !== null) faults.push(`${from} imports the ${part} ${to}`);
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
  { what: "console", pattern: /\bconsole\s*\.\s*\w+\s*\(/, except: (path) => path === "lib/log.ts" || isDev(path) },
  { what: "JSON.parse", pattern: /\bJSON\s*\.\s*parse\b/, except: (path) => path === "lib/json.ts" || isDev(path) },
  { what: "import { z }", pattern: /import\s+\{[^}]*\bz\b[^}]*\}\s+from\s+"zod/ },
  { what: "zod other than zod/mini", pattern: /from\s+"zod"/ },
  // Values are bound. A module's constant may stand in a statement: it is text of ours.
  { what: "a value inside SQL text", pattern: /[sS]ql\s*\.exec(?:<[^(]*>)?\(\s*`[^`]*\$\{(?![A-Z][A-Z0-9_]*\})/ },
  // Code of another release may know other columns.
  {
    what: "an INSERT without names of columns",
    pattern: /\bINSERT(?:\s+OR\s+\w+)?\s+INTO\s+\w+\s+(?:VALUES|SELECT)\b/,
  },
  // No space before the sign, as only patterns have it. A build step reads our own texts.
  {
    what: "a repeated group in a pattern",
    pattern: /\)(?:[*+](?![+)-])|\{\d*,\})/,
    except: (path) => path.startsWith("site/"),
  },
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
  // What a tool has written keeps no rules of ours.
  const isOurs = (name: string): boolean => /\.tsx?$/.test(name) && !name.endsWith(".d.ts");
  const names = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter(isOurs);
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
    files: { "lib/a.ts": 'import { price } from "../pricing/price.ts";' },
    fault: "lib/a.ts imports pricing/price.ts",
  },
  {
    name: "the log in a folder that may take only the rest of lib",
    files: { "policy/a.ts": 'import { log } from "../lib/log.ts";' },
    fault: "policy/a.ts imports lib/log.ts",
  },
  {
    name: "the log in lib",
    files: { "lib/a.ts": 'import { log } from "./log.ts";' },
    fault: "lib/a.ts imports lib/log.ts",
  },
  {
    name: "a file of a folder of which others are allowed",
    files: { "doors/models/a.ts": 'import { plan } from "../../relay/plan.ts";' },
    fault: "doors/models/a.ts imports relay/plan.ts",
  },
  {
    name: "a file with a row of its own, which its folder's does not widen",
    files: { "wires/openai-chat/request-fields.ts": 'import { rows } from "../../providers/rows.ts";' },
    fault: "wires/openai-chat/request-fields.ts imports providers/rows.ts",
  },
  {
    name: "a type-only import against the direction",
    files: { "policy/a.ts": 'import type { Env } from "../config.ts";' },
    fault: "policy/a.ts imports config.ts",
  },
  {
    name: "an import over several lines",
    files: { "keys/a.ts": 'import {\n  one,\n  two,\n} from "../relay/plan.ts";' },
    fault: "keys/a.ts imports relay/plan.ts",
  },
  {
    name: "an export from another folder",
    files: { "keys/a.ts": 'export { one } from "../ledger/b.ts";' },
    fault: "keys/a.ts imports ledger/b.ts",
  },
  {
    name: "a dynamic import",
    files: { "keys/a.ts": 'const ledger = await import("../ledger/b.ts");' },
    fault: "keys/a.ts imports ledger/b.ts",
  },
  {
    name: "the index taking more of a folder than its class",
    files: { "index.ts": 'export { price } from "./pricing/price.ts";' },
    fault: "index.ts imports pricing/price.ts",
  },
  {
    name: "a folder that is not in the table",
    files: { "utils/a.ts": 'import { b } from "./b.ts";' },
    fault: 'utils/a.ts: "utils" has no row in the table of imports',
  },
  {
    name: "a part of the relay importing another",
    files: { "relay/attempts/attempt.ts": 'import { plan } from "../plan.ts";' },
    fault: "relay/attempts/attempt.ts imports the part relay/plan.ts",
  },
  {
    name: "a part of the relay importing what puts the parts together",
    files: { "relay/plan.ts": 'import { relay } from "./relay.ts";' },
    fault: "relay/plan.ts imports the part relay/relay.ts",
  },
  {
    name: "an adapter importing an adapter",
    files: { "providers/azure.ts": 'import { find } from "./workers-ai.ts";' },
    fault: "providers/azure.ts imports the adapter providers/workers-ai.ts",
  },
  {
    name: "an adapter importing a wire that is not OpenAI's",
    files: { "providers/azure.ts": 'import { sign } from "../wires/bedrock/bedrock.ts";' },
    fault: "providers/azure.ts imports wires/bedrock/bedrock.ts",
  },
  {
    name: "a wire importing a wire",
    files: { "wires/gemini/request.ts": 'import { sign } from "../bedrock/bedrock.ts";' },
    fault: "wires/gemini/request.ts imports the wire wires/bedrock/bedrock.ts",
  },
  {
    name: "a wire importing of OpenAI's what wires do not share",
    files: { "wires/gemini/request.ts": 'import { toOpenAiRequest } from "../openai-chat/request.ts";' },
    fault: "wires/gemini/request.ts imports the wire wires/openai-chat/request.ts",
  },
  {
    name: "what wires share importing a wire",
    files: { "wires/closed-schema.ts": 'import { sign } from "./bedrock/bedrock.ts";' },
    fault: "wires/closed-schema.ts imports the wire wires/bedrock/bedrock.ts",
  },
  {
    name: "a cycle",
    files: { "keys/a.ts": 'import { type A, b } from "./b.ts";', "keys/b.ts": 'import { a } from "./a.ts";' },
    fault: "cycle: keys/a.ts → keys/b.ts → keys/a.ts",
  },
  {
    name: "the runtime's module outside a Durable Object",
    files: { "relay/plan.ts": 'import { env } from "cloudflare:workers";' },
    fault: "relay/plan.ts imports cloudflare:workers",
  },
  { name: "any as a type", files: { "lib/a.ts": "const a: any = 1;" }, fault: "lib/a.ts: the type any" },
  { name: "any in a cast", files: { "lib/a.ts": "f(a as any);" }, fault: "lib/a.ts: the type any" },
  { name: "any in a type argument", files: { "lib/a.ts": "new Map<string, any>();" }, fault: "lib/a.ts: the type any" },
  { name: "an ignored error", files: { "lib/a.ts": "// @ts-ignore\n" }, fault: "lib/a.ts: @ts-ignore or its kin" },
  { name: "an enum", files: { "lib/a.ts": "export const enum A { B }" }, fault: "lib/a.ts: an enum" },
  { name: "console", files: { "relay/plan.ts": 'console.log("x");' }, fault: "relay/plan.ts: console" },
  { name: "JSON.parse", files: { "relay/plan.ts": "JSON.parse(text);" }, fault: "relay/plan.ts: JSON.parse" },
  {
    name: "import { z }",
    files: { "policy/schema.ts": 'import { z } from "zod/mini";' },
    fault: "policy/schema.ts: import { z }",
  },
  {
    name: "all of zod",
    files: { "policy/schema.ts": 'import * as z from "zod";' },
    fault: "policy/schema.ts: zod other than zod/mini",
  },
  {
    name: "SQL from a template literal",
    files: { "ledger/key-ledger.ts": "this.#sql.exec<{ a: number }>(\n  `SELECT a FROM t WHERE id = $" + "{id}`);" },
    fault: "ledger/key-ledger.ts: a value inside SQL text",
  },
  {
    name: "an INSERT by position",
    files: { "ledger/a.ts": 'sql.exec("INSERT OR IGNORE INTO t\n VALUES (?)", 1);' },
    fault: "ledger/a.ts: an INSERT without names of columns",
  },
  {
    name: "a repeated group in a pattern",
    files: { "lib/a.ts": 'const STRING = /"(?:[^"]|\\\\.)*"/y;' },
    fault: "lib/a.ts: a repeated group in a pattern",
  },
  { name: "Object.assign", files: { "lib/a.ts": "Object.assign(a, b);" }, fault: "lib/a.ts: Object.assign" },
  { name: "a long file", files: { "lib/a.ts": "x;\n".repeat(401) }, fault: "lib/a.ts: 401 lines" },
])("the check finds $name", ({ files, fault }) => {
  expect(faults(new Map(Object.entries(files)))).toContain(fault);
});

test("the check leaves alone what is allowed", () => {
  const files = {
    "index.ts": 'import { app } from "./app.ts";\nexport { KeyLedger } from "./ledger/key-ledger.ts";',
    "ledger/key-ledger.ts":
      'import { DurableObject } from "cloudflare:workers";\nimport type { Env } from "../config.ts";\nsql.exec("SELECT 1");',
    "relay/relay.ts": 'import { plan } from "./plan.ts";',
    "relay/streaming/stream.ts": 'import { pump } from "./pump.ts";',
    "relay/streaming/pump.ts": 'import type { Control } from "./stream.ts";',
    "relay/plan.ts": 'import type { Trace } from "./trace.ts";\nimport * as z from "zod/mini";',
    "relay/settle.ts": 'import { log } from "../lib/log.ts";',
    "providers/index.ts":
      'import { groq } from "./openai-compatible.ts";\nimport { cohere } from "../wires/cohere/cohere.ts";',
    "providers/sandbox.ts": 'import { answer } from "./sandbox-answer.ts";',
    "wires/gemini/stream.ts":
      'import { close } from "../closed-schema.ts";\nimport { hasError } from "../openai-chat/chunk.ts";',
    "lib/log.ts": "console.log(1);",
    "providers/rows.ts": 'export const groq = { source: "https://console.groq.com/docs/openai" };',
    "control/control-plane.ts": "this.#sql.exec(`SELECT a\\n FROM t $" + "{WHERE}`);",
    "lib/json.ts":
      "// in any case: any one of them\nexport const parseJson = (text: string): unknown => JSON.parse(text);",
    "lib/a.ts": "x;\n".repeat(400),
  };
  expect(faults(new Map(Object.entries(files)))).toEqual([]);
});

/** `test/lint/english.ts` has the table: each finding says what to write instead. */
test("comments, messages and documents keep to the words of the glossary", () => {
  expect(englishFindings(join(SRC, ".."))).toEqual([]);
});
