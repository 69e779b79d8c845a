/** The reference page, README.md and src/README.md against the code: what is looked up there must be what the Worker does. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { BUDGETS_KEY } from "../../src/budgets/record.ts";
import { VARIABLES } from "../../src/config.ts";
import { HEALTH_KEY } from "../../src/control/target-health.ts";
import { ERRORS } from "../../src/http/errors.ts";
import { keyRecordKey } from "../../src/keys/record.ts";
import { aliasIndexKey } from "../../src/policy/aliases.ts";
import { providerKey } from "../../src/policy/provider-record.ts";
import { RoutePolicy, routeIndexKey, routeKey } from "../../src/policy/schema.ts";
import { MONEY_KEY } from "../../src/prices/book.ts";
import { findProvider, providerIds } from "../../src/providers/index.ts";
import { baseUrlName } from "../../src/providers/provider-settings.ts";
import { ROWS } from "../../src/providers/rows.ts";
import { errorsMarkdown } from "../../src/site/errors.ts";
import { anchorOf } from "../../src/site/markdown.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const readme = readFileSync(join(ROOT, "README.md"), "utf8");
const reference = readFileSync(join(ROOT, "src/site/content/reference.md"), "utf8");

/** The lines of the section under a heading, up to the next heading of any level. */
function section(heading: string): string {
  const [, after] = reference.split(`\n${heading}\n`);
  if (after === undefined) throw new Error(`The reference has no heading "${heading}".`);
  return after.split(/\n#+ /)[0] ?? "";
}

/** Every text between backquotes. */
const quoted = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, inner = ""]) => inner);

/** Cells of a table's rows, without its head. */
function tableRows(text: string): string[][] {
  const lines = text.split("\n").filter((line) => line.startsWith("| "));
  return lines.slice(1).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** What the router itself says on OpenAI's wire. */
const OWN_WIRE = ["wires/openai-chat/request-fields.ts", "wires/openai-chat/chunk.ts"];

/** What may send an error. Elsewhere under `providers/` and `wires/` equal words are the providers' own codes. */
function sources(): string[] {
  const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  return files
    .filter(
      (file) =>
        file.endsWith(".ts") &&
        file !== "http/errors.ts" &&
        (!/^(?:providers|wires)\//.test(file) || OWN_WIRE.includes(file)),
    )
    .map((file) => readFileSync(join(ROOT, "src", file), "utf8"));
}

test("the table of providers lists every provider, in the order of the registry and no other", () => {
  expect(tableRows(section("## Providers")).map(([id = ""]) => quoted(id)[0])).toEqual(providerIds());
});

test.each(ROWS)("$id stands with its secrets and its base URL", (row) => {
  const cells = tableRows(section("## Providers")).find(([id]) => id === `\`${row.id}\``) ?? [];
  const inUrl = [...(row.baseUrl ?? "").matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
  expect(quoted(cells[1] ?? "")).toEqual([...row.secrets, ...inUrl]);
  expect(quoted(cells[2] ?? "")).toEqual([row.baseUrl ?? baseUrlName(row.id)]);
  expect(cells[1]?.includes("optional")).toBe(row.keyless === true);
});

/** Providers that are no row, with the sets of secrets that switch each on. */
test.each([
  { id: "anthropic", sets: [["ANTHROPIC_API_KEY"]] },
  { id: "azure", sets: [["AZURE_API_KEY", "AZURE_RESOURCE_NAME"]] },
  {
    id: "bedrock",
    sets: [
      ["AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION"],
      ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"],
    ],
  },
  { id: "cohere", sets: [["COHERE_API_KEY"]] },
  { id: "google", sets: [["GEMINI_API_KEY"], ["GOOGLE_API_KEY"], ["GOOGLE_GENERATIVE_AI_API_KEY"]] },
])(
  "$id, with a protocol of its own, stands with the secrets and the base URL that it is called with",
  ({ id, sets }) => {
    const cells = tableRows(section("## Providers")).find(([cell]) => cell === `\`${id}\``) ?? [];
    expect(new Set(quoted(cells[1] ?? ""))).toEqual(new Set(sets.flat()));
    const url = (quoted(cells[2] ?? "")[0] ?? "").replace(/\{\w+\}/g, "value");
    for (const names of sets) {
      const secrets = Object.fromEntries(names.map((name) => [name, "value"]));
      expect(findProvider(id)?.configure(secrets)?.baseUrl).toBe(url);
    }
    expect(findProvider(id)?.configure({})).toBeNull();
    expect(quoted(section("### Providers with their own protocol"))).toContain(id);
  },
);

test("the page of errors has a section with a remedy for every code that the Worker sends", () => {
  const text = sources().join("\n");
  const sent = Object.keys(ERRORS).filter((code) => text.includes(`"${code}"`));
  const page = errorsMarkdown();
  const sections = [...page.matchAll(/^## (\w+)\n\nStatus (\d+)/gm)].map(([, code, status]) => [code, Number(status)]);
  const wanted = sent.map((code) => [code, ERRORS[code as keyof typeof ERRORS].status]);
  expect(sections).toEqual(expect.arrayContaining(wanted));
});

test("README.md is short, and what it shows is the tested file", () => {
  expect(Buffer.byteLength(readme)).toBeLessThan(11_000);
  const examples = join(ROOT, "test/clients/examples");
  const shown = [...readme.matchAll(/```(?:js|python)\n([\s\S]*?)```/g)].map(([, code = ""]) => code);
  const tested = readdirSync(examples).map((name) => readFileSync(join(examples, name), "utf8"));
  expect(shown.length).toBeGreaterThan(4);
  expect(shown.filter((code) => !tested.includes(code))).toEqual([]);
  expect(readme).toContain(readFileSync(join(examples, "curl.sh"), "utf8"));
});

test.each(["README.md", ".github/CONTRIBUTING.md", "src/README.md", "src/providers/README.md"])(
  "the links of %s lead to files that are there",
  (name) => {
    const text = readFileSync(join(ROOT, name), "utf8");
    const links = [...text.matchAll(/\]\((?!https?:|\/|#)([^)#]+)(?:#([^)]*))?\)/g)];
    for (const [, path = "", anchor] of links) {
      const file = join(ROOT, dirname(name), path);
      expect(existsSync(file), `${name}: ${path}`).toBe(true);
      if (anchor === undefined) continue;
      const titles = [...readFileSync(file, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) => anchorOf(title));
      expect(titles, `${name}: ${path}#${anchor}`).toContain(anchor);
    }
  },
);

test("the variables are those of the environment", () => {
  const declared = Object.keys(VARIABLES).filter((name) => name.startsWith("FLOW_"));
  const rows = tableRows(section("## Variables and secrets"));
  const listed = rows.flatMap(([name = ""]) => quoted(name)).filter((name) => name.startsWith("FLOW_"));
  expect(listed.toSorted()).toEqual(declared.toSorted());
});

test("the example policy is valid, and whatever it does not call an example is the default", () => {
  const jsonc = /```jsonc\n([\s\S]*?)```/.exec(section("## Policy"))?.[1] ?? "";
  const example = RoutePolicy.parse(JSON.parse(jsonc.replace(/\/\/.*$/gm, "")));
  const { targets } = example;
  const defaults = RoutePolicy.parse({ targets: targets.map(({ provider, model }) => ({ provider, model })) });
  const { description: _, ...rest } = example;
  expect({
    ...rest,
    latency: { ...rest.latency, budget_ms: undefined },
    spend: { ...rest.spend, max_request_usd: undefined },
    limits: { ...rest.limits, max_output_tokens: undefined },
    embedding: undefined,
  }).toEqual(defaults);
  // A new member of the schema has to appear here.
  expect(Object.keys(example).toSorted()).toEqual(Object.keys(RoutePolicy.shape).toSorted());
});

test("every variable of .dev.vars.example is one that the Worker reads", () => {
  const names = readFileSync(join(ROOT, ".dev.vars.example"), "utf8").matchAll(/^(?:# )?([A-Z][A-Z0-9_]+)=/gm);
  const known = new Set([
    ...quoted(section("## Variables and secrets")),
    ...quoted(section("## Providers")),
    ...ROWS.flatMap((row) => [...row.secrets, baseUrlName(row.id)]),
  ]);
  expect([...names].map(([, name = ""]) => name).filter((name) => !known.has(name))).toEqual([]);
});

test("src/README.md maps every folder, and names every object and every KV key", () => {
  const map = readFileSync(join(ROOT, "src/README.md"), "utf8");
  const folders = readdirSync(join(ROOT, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const rows = map.slice(map.indexOf("## Map"), map.indexOf("## Who imports whom"));
  expect(folders.map(({ name }) => name).filter((name) => !rows.includes(`\`${name}/\``))).toEqual([]);
  const classes = [...readFileSync(join(ROOT, "wrangler.toml"), "utf8").matchAll(/class_name = "(\w+)"/g)];
  expect(classes.map(([, name = ""]) => name).filter((name) => !map.includes(`| \`${name}\` |`))).toEqual([]);
  const keys = [
    ...[keyRecordKey("<id>"), routeKey("<env>", "<name>"), routeIndexKey("<env>"), aliasIndexKey("<env>")],
    ...[providerKey("<id>"), HEALTH_KEY, MONEY_KEY, BUDGETS_KEY],
  ];
  expect(keys.filter((key) => !map.includes(`\`${key}\``))).toEqual([]);
});

test("test/CATALOGUE.md has every id of the tables", () => {
  const catalogue = readFileSync(join(ROOT, "test/CATALOGUE.md"), "utf8");
  const listed = new Set(
    [...catalogue.matchAll(/^\| ([BFP]\d.*?) \|/gm)].flatMap(([, cell = ""]) =>
      cell.split(", ").flatMap((part) => {
        const [first = "", last = first] = part.split(" to ");
        const [from, to] = [Number(first.slice(1)), Number(last.slice(1))];
        return Array.from({ length: to - from + 1 }, (_, at) => `${first[0]}${from + at}`);
      }),
    ),
  );
  const wanted = { B: 104, F: 64, P: 25 };
  const ids = Object.entries(wanted).flatMap(([letter, count]) =>
    Array.from({ length: count }, (_, at) => `${letter}${at + 1}`),
  );
  expect(ids.filter((id) => !listed.has(id))).toEqual([]);
});
