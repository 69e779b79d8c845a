/**
 * go-openai and LangChain4j, unmodified, against the Worker and a scripted provider: a program each, which prints one
 * line per check.
 *
 * They run where Go, or Java with Maven, can fetch the pinned packages. Where not, the reason is printed and the rule by
 * which the client reads a cut stream is tested in its place.
 */
import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Rig } from "../support/rig.ts";
import { checksOf, type Line, linesOf, startClients } from "./answers.ts";

const HERE = new URL("./", import.meta.url).pathname;
const JARS = new URL("../../.clients/java", import.meta.url).pathname;
const INSTALL_MS = 200_000;
const RUN_MS = 120_000;

interface Client {
  readonly name: string;
  readonly source: string;
  readonly cwd: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Fetches what is pinned; what it needs is missing where it fails. */
  readonly install: readonly string[];
}

const CLIENTS: readonly Client[] = [
  {
    ...{ name: "go-openai", source: `${HERE}go/main.go`, cwd: `${HERE}go`, command: "go", args: ["run", "."] },
    install: ["go", "mod", "download"],
  },
  {
    ...{ name: "LangChain4j", source: `${HERE}java/LangChain4j.java`, cwd: `${HERE}java`, command: "java" },
    args: ["-cp", `${JARS}/*`, "LangChain4j.java"],
    install: ["mvn", "-q", "-B", "dependency:copy-dependencies", `-DoutputDirectory=${JARS}`],
  },
];

/** Why a client cannot run here; `null` where it can. */
function missing({ name, cwd, command, install }: Client): string | null {
  if (spawnSync(command, [command === "go" ? "version" : "-version"]).status !== 0)
    return `there is no ${command} here.`;
  const [program = "", ...args] = install;
  const { status, error, stdout, stderr } = spawnSync(program, args, { cwd, timeout: INSTALL_MS });
  if (status === 0) return null;
  const said = `${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}`.trim().split("\n").at(-1) ?? "";
  return `${program} could not fetch ${name}: ${said}`;
}

const clients = CLIENTS.map((client) => ({ ...client, reason: missing(client) }));
for (const { name, reason } of clients) if (reason !== null) console.log(`${name} is left out: ${reason}`);

let rig: Rig;
let key: string;
beforeAll(async () => {
  ({ rig, key } = await startClients());
}, 60_000);
afterAll(() => rig.stop());

describe.each(clients.filter(({ reason }) => reason === null))("$name", ({ source, cwd, command, args }) => {
  let lines: readonly Line[] = [];
  beforeAll(async () => {
    const env = { ...process.env, FLOW_TEST_BASE_URL: rig.baseURL, FLOW_TEST_KEY: key };
    const { stdout } = await promisify(execFile)(command, [...args], { cwd, env, timeout: RUN_MS });
    lines = linesOf(stdout);
  }, RUN_MS + 10_000);

  test.each(checksOf(source))("%s", (name) => {
    expect(lines.find(({ check }) => check === name)).toMatchObject({ ok: true });
  });
});

/** go-openai looks for an `error` that is the event's first member; LangChain4j and the AI SDK for a body that breaks. */
test("the rules by which clients tell that a stream was cut", async () => {
  const response = await fetch(`${rig.baseURL}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "flow/cut", stream: true, messages: [{ role: "user", content: "hi" }] }),
  });
  let text = "";
  const reading = (async () => {
    for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) text += piece;
  })();
  await expect(reading).rejects.toThrow();
  const last = text.trim().split("\n\n").at(-1);
  expect(last).toMatch(/^data:\s*\{"error":/);
  expect(text).not.toContain("[DONE]");
});
