import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run } from "../unit/cli/harness.ts";
import { type ExampleRig, startExamples } from "./example-runner.ts";

const EXAMPLES = new URL("./examples", import.meta.url).pathname;

let rig: ExampleRig;
beforeAll(async () => {
  rig = await startExamples();
}, 60_000);
afterAll(() => rig.stop());

/** What an example prints when it worked. Examples in Python run in `examples.clients.ts`. */
const EXPECTED: Readonly<Record<string, string>> = {
  "curl.sh": "x-flowlayer-provider: sandbox",
  "fetch.mjs": "answering as deep-1",
  "fetch-stream.mjs": "data: [DONE]",
  "openai.mjs": "answering as deep-1",
  "openai-responses.mjs": "How long is it?",
  "ai-sdk.mjs": "answering as deep-1",
  "langchain.mjs": "answering as deep-1",
  "agent-loop.mjs": "search_docs",
  "embeddings.mjs": "2 vectors of",
};
/** Each has a test of its own. */
const SEPARATE = ["approval-ai-sdk.mjs", "approval-langchain.mjs", "claude-code.sh", "codex.toml"];

test("every example is run", () => {
  const found = readdirSync(EXAMPLES).filter((name) => !name.endsWith(".py"));
  expect(found.toSorted()).toEqual([...Object.keys(EXPECTED), ...SEPARATE].toSorted());
});

test.each(Object.entries(EXPECTED))(
  "%s",
  async (name, says) => {
    const command = name.endsWith(".sh") ? "bash" : process.execPath;
    expect(await rig.run(name, command)).toContain(says);
  },
  90_000,
);

test.each(["approval-ai-sdk.mjs", "approval-langchain.mjs"])(
  "%s goes on once its call is approved",
  async (name) => {
    const running = rig.run(name, process.execPath);
    await expect
      .poll(
        async () => {
          const pending = await rig.worker.admin("/admin/approvals?status=pending");
          const { data } = (await pending.json()) as { data: { tool_call_id: string }[] };
          for (const { tool_call_id: id } of data) {
            await rig.worker.admin(`/admin/approvals/${id}`, { method: "POST", body: { decision: "approve" } });
          }
          return data.length;
        },
        { timeout: 18_000 },
      )
      .toBeGreaterThan(0);
    expect(await running).toContain("deleted");
  },
  60_000,
);

test("the settings of coding agents are those that the command writes", async () => {
  const variables = { FLOW_LAYER_URL: rig.worker.url, FLOW_LAYER_API_KEY: rig.key, HOME: join("/", "nowhere") };
  const claude = await run(["code", "claude"], { variables });
  expect(claude.out.replaceAll(rig.key, "$FLOW_LAYER_API_KEY")).toBe(rig.text("claude-code.sh"));
  const codex = await run(["code", "codex"], { variables });
  for (const line of rig.text("codex.toml").split("\n").slice(1)) expect(codex.out).toContain(line);
});
