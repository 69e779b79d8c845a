/**
 * Claude Code and Codex, unmodified, on a task of three tools against the Worker and a scripted provider.
 *
 * They run where npm can fetch them for this machine. Where not, the reason is printed; `coding-agents.test.ts` plays what
 * they send without them. They see no network but this machine.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, startChatRig, type TestRoute } from "../support/chat.ts";
import type { ScriptSource } from "../support/upstream.ts";
import { run as runCommand } from "../unit/cli/harness.ts";
import { agentScript, cutInTheMiddle, type Step, type StepCall } from "./agent-scripts.ts";
import { installed, isolatedEnv } from "./installs.ts";

const RUN_MS = 50_000;
const DONE = "The file has 2 lines.";
const TASK = "Write notes.txt with two lines and count them.";
const DOWN = { status: 529, json: { type: "error", error: { type: "overloaded_error", message: "Overloaded" } } };

const TOO_LONG = {
  status: 400,
  json: { error: { message: "This model's maximum context length is 4096 tokens.", code: "context_length_exceeded" } },
};

const { folder, reason } = installed("cli");
/** The first line of `--version`, or why there is none. */
function tried(command: string): string | null {
  if (folder === null) return reason;
  // Without its install script the command is a stub that says so.
  const script = join(folder, "node_modules/@anthropic-ai/claude-code/install.cjs");
  if (command === "claude" && existsSync(script)) spawnSync(process.execPath, [script], { timeout: RUN_MS });
  const { status, error, stderr } = spawnSync(join(folder, "node_modules/.bin", command), ["--version"]);
  return status === 0 ? null : `${command} does not start here: ${error?.message ?? String(stderr).trim()}`;
}

let rig: ChatRig;
let home: string;
let work: string;
beforeAll(async () => {
  rig = await startChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => {
  rig.upstream.reset();
  home = mkdtempSync(join(tmpdir(), "agent-home-"));
  work = mkdtempSync(join(tmpdir(), "agent-work-"));
});
afterEach(() => {
  for (const each of [home, work]) rmSync(each, { recursive: true, force: true });
});

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn(join(folder ?? "", "node_modules/.bin", command), args, {
      ...{ cwd: work, env: { ...isolatedEnv(home), ...env }, timeout: RUN_MS },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (data) => (stdout += String(data)));
    child.stderr.on("data", (data) => (stderr += String(data)));
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Plays `steps` at every target of `route`; `spoil` changes what a target answers, by its place and the call's number. */
function play(
  route: TestRoute,
  steps: readonly Step[],
  spoil?: (target: number, call: number) => "down" | "cut" | "long" | null,
): void {
  const script = agentScript(steps);
  for (const [target, model] of route.models.entries()) {
    const source: ScriptSource = (call) => {
      const fault = spoil?.(target, rig.upstream.callsTo(model).length) ?? null;
      if (fault === "down") return DOWN;
      if (fault === "long") return TOO_LONG;
      return fault === "cut" ? cutInTheMiddle(script(call)) : script(call);
    };
    rig.upstream.scriptFor(model, source);
  }
}

const notes = (): string => (existsSync(join(work, "notes.txt")) ? readFileSync(join(work, "notes.txt"), "utf8") : "");

const CASES = [
  { name: "on a target that speaks chat only", providers: ["groq"], spoil: undefined },
  { name: "on a target of OpenAI", providers: ["openai"], spoil: undefined },
  { name: "on a target of Anthropic", providers: ["anthropic"], spoil: undefined },
  {
    name: "while the first provider dies in the middle of the task",
    providers: ["anthropic", "openai", "groq"],
    spoil: (target: number, call: number) => (target === 0 && call > 1 ? ("down" as const) : null),
  },
  {
    name: "while a stream is cut in its middle",
    providers: ["groq"],
    spoil: (_: number, call: number) => (call === 2 ? ("cut" as const) : null),
  },
];

const claudeReason = tried("claude");
if (claudeReason !== null) console.log(`Claude Code is left out: ${claudeReason}`);

const isLong = (_: number, call: number): "long" | null => (call === 2 ? "long" : null);

describe.skipIf(claudeReason !== null)("Claude Code", () => {
  const claude = async (route: TestRoute): Promise<unknown> => {
    const model = route.model.replace("flow/", "anthropic/flow-");
    const args = ["-p", TASK, "--output-format", "json", "--allowedTools", "Write,Read,Bash"];
    const { stdout } = await run("claude", args, {
      ...{ ANTHROPIC_BASE_URL: rig.worker.url, ANTHROPIC_AUTH_TOKEN: route.key, ANTHROPIC_MODEL: model },
      ...{ ANTHROPIC_DEFAULT_HAIKU_MODEL: model, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1" },
    });
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}");
  };

  const steps = (): readonly Step[] => {
    const path = join(work, "notes.txt");
    return [
      { text: "I write it.", calls: [{ name: "Write", input: { file_path: path, content: "one\ntwo\n" } }] },
      { thinking: "Now I look.", calls: [{ name: "Read", input: { file_path: path } }] },
      { calls: [{ name: "Bash", input: { command: "wc -l < notes.txt", description: "Counts lines" } }] },
      { text: DONE },
    ];
  };

  test.each(CASES)("does its task $name", async ({ providers, spoil }) => {
    const route = await rig.route({ providers });
    play(route, steps(), spoil);
    expect(await claude(route)).toMatchObject({ is_error: false, result: DONE });
    expect(notes()).toBe("one\ntwo\n");
    // The whole task is one conversation to the router, by the header that Claude Code sends.
    const seen = async () => {
      const traces = await rig.traces(route);
      const sessions = new Set(traces.map(({ session_id: session }) => session));
      return { apis: new Set(traces.map(({ api }) => api)), sessions: sessions.size, areAll: traces.length >= 4 };
    };
    await expect.poll(seen, { timeout: 5_000 }).toEqual({ apis: new Set(["messages"]), sessions: 1, areAll: true });
  });

  test("runs with the settings that `flow-layer code claude --write` writes", async () => {
    const route = await rig.route({ providers: ["groq"] });
    play(route, steps());
    const variables = { FLOW_LAYER_URL: rig.worker.url, FLOW_LAYER_API_KEY: route.key };
    const name = route.model.slice(5);
    const words = ["code", "claude", "--write", "--route", name, "--fast-route", name];
    expect((await runCommand(words, { variables, directory: work })).code).toBe(0);
    const args = ["-p", TASK, "--output-format", "json", "--allowedTools", "Write,Read,Bash"];
    const { stdout } = await run("claude", args, { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1" });
    expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}")).toMatchObject({ is_error: false, result: DONE });
  });

  test("shortens a conversation that is too long by itself, and goes on", async () => {
    const route = await rig.route({ providers: ["groq"] });
    // Asked for a summary, the model says the second step.
    play(route, [...steps().slice(0, 1), { text: DONE }], isLong);
    expect(await claude(route)).toMatchObject({ is_error: false, result: DONE });
    expect(rig.upstream.calls.length).toBeGreaterThan(3);
  });
});

const codexReason = tried("codex");
if (codexReason !== null) console.log(`Codex is left out: ${codexReason}`);

describe.skipIf(codexReason !== null)("Codex", () => {
  const stepsWith = (write: StepCall): readonly Step[] => [
    { text: "I look first.", calls: [{ name: "get_goal", input: {} }] },
    { thinking: "Now I write.", calls: [write] },
    { calls: [{ name: "exec_command", input: { cmd: "wc -l < notes.txt" } }] },
    { text: DONE },
  ];
  const PATCH = "*** Begin Patch\n*** Add File: notes.txt\n+one\n+two\n*** End Patch\n";
  const PRINT = "printf 'one\\ntwo\\n' > notes.txt";

  async function codex(model: string, key: string): Promise<Ran> {
    const settings = [
      ...[`model = "${model}"`, 'model_provider = "flow"', "[model_providers.flow]", 'name = "The Flow Layer"'],
      ...[`base_url = "${rig.worker.url}/v1"`, 'env_key = "FLOW_LAYER_API_KEY"', 'wire_api = "responses"'],
    ];
    mkdirSync(join(home, ".codex"), { recursive: true });
    writeFileSync(join(home, ".codex", "config.toml"), settings.join("\n"));
    const args = ["exec", "--skip-git-repo-check", "--json", "-s", "danger-full-access", TASK];
    return run("codex", args, { FLOW_LAYER_API_KEY: key, CODEX_HOME: join(home, ".codex") });
  }

  const textOf = ({ stdout }: Ran): string =>
    stdout
      .split("\n")
      .flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as { item?: { type: string; text?: string } }] : []))
      .flatMap(({ item }) => (item?.type === "agent_message" ? [item.text ?? ""] : []))
      .at(-1) ?? "";

  test.each(CASES)("does its task $name", async ({ providers, spoil }) => {
    const route = await rig.route({ providers });
    play(route, stepsWith({ name: "exec_command", input: { cmd: PRINT } }), spoil);
    const ran = await codex(route.model, route.key);
    expect(ran).toMatchObject({ code: 0 });
    expect(textOf(ran)).toBe(DONE);
    expect(notes()).toBe("one\ntwo\n");
    const apis = async () => new Set((await rig.traces(route)).map(({ api }) => api));
    await expect.poll(apis, { timeout: 5_000 }).toEqual(new Set(["responses"]));
  });

  test("runs with the settings that `flow-layer code codex --write` writes", async () => {
    const route = await rig.route({ providers: ["groq"] });
    play(route, stepsWith({ name: "exec_command", input: { cmd: PRINT } }));
    const variables = { FLOW_LAYER_URL: rig.worker.url, FLOW_LAYER_API_KEY: route.key, CODEX_HOME: home };
    const written = await runCommand(["code", "codex", "--write", "--route", route.model.slice(5)], { variables });
    expect(written.code).toBe(0);
    const args = ["exec", "--skip-git-repo-check", "--json", "-s", "danger-full-access"];
    const env = { FLOW_LAYER_API_KEY: route.key, CODEX_HOME: home };
    const ran = await run("codex", [...args, "--profile", "flow-layer", TASK], env);
    expect(ran).toMatchObject({ code: 0 });
    expect(textOf(ran)).toBe(DONE);
  });

  test("knows a conversation that is too long", async () => {
    const route = await rig.route({ providers: ["groq"] });
    play(route, stepsWith({ name: "exec_command", input: { cmd: PRINT } }), isLong);
    const { stdout } = await codex(route.model, route.key);
    expect(stdout).toContain("ran out of room in the model's context window");
  });

  // Codex knows the model by the alias, and offers a custom tool.
  test.each([["openai"], ["anthropic"], ["groq"]])("patches a file through %s", async (provider) => {
    const alias = { openai: "gpt-5.5", anthropic: "gpt-5.5-pro", groq: "gpt-5.5-mini" }[provider] ?? "";
    const route = await rig.route({ providers: [provider], policy: { aliases: [alias] } });
    play(route, stepsWith({ name: "apply_patch", input: PATCH }));
    const ran = await codex(alias, route.key);
    expect(ran).toMatchObject({ code: 0 });
    expect(textOf(ran)).toBe(DONE);
    expect(notes()).toBe("one\ntwo\n");
  });

  test("has its tools where it offers them inside the input", async () => {
    const route = await rig.route({ providers: ["groq"], policy: { aliases: ["gpt-6-sol"] } });
    const code = `const ran = await tools.exec_command({ cmd: "printf 'one\\\\ntwo\\\\n' > notes.txt" }); text(ran.output)`;
    play(route, [{ calls: [{ name: "functions__exec", input: code }] }, { text: DONE }]);
    const ran = await codex("gpt-6-sol", route.key);
    expect(textOf(ran)).toBe(DONE);
    expect(notes()).toBe("one\ntwo\n");
  });
});
