/** The types that `/flow.d.ts` serves, with the package whose types they add to. */
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";

const ROOT = new URL("../../..", import.meta.url).pathname;
/** Beside the packages, so that they are found. */
const WORK = new URL("../.types", import.meta.url).pathname;
afterAll(() => rmSync(WORK, { recursive: true, force: true }));

test("the types compile with the openai package: `route` is taken, `flow` is there", async () => {
  mkdirSync(WORK, { recursive: true });
  const types = readFileSync(join(ROOT, "src/site/content/flow.d.ts.txt"), "utf8");
  writeFileSync(join(WORK, "flow.d.ts"), types);
  const use = (member: string): string => `import OpenAI from "openai";
import type {} from "./flow.d.ts";
const client = new OpenAI({ apiKey: "k" });
const messages = [{ role: "user" as const, content: "Hello." }];
const answer = await client.chat.completions.create({ model: "flow/x", messages, route: { ${member} } });
const id: string | undefined = answer.flow?.trace_id;
const stream = await client.chat.completions.create({ model: "flow/x", messages, stream: true, route: { report: true } });
for await (const chunk of stream) console.log(chunk.flow?.cost_usd, id);
const response = await client.responses.create({ model: "flow/x", input: "Hello.", route: { fallback: true } });
console.log(response.flow?.provider);
`;
  writeFileSync(join(WORK, "good.ts"), use("latency_budget_ms: 1800"));
  writeFileSync(join(WORK, "bad.ts"), use("latency_budget: 1800"));
  const compile = (name: string) => {
    const options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"];
    const all = [...options, "--allowImportingTsExtensions", "--ignoreConfig", "--types", "node", join(WORK, name)];
    return promisify(execFile)(join(ROOT, "node_modules/.bin/tsc"), all, { cwd: WORK }).catch(
      (error: { stdout: string }) => {
        throw new Error(error.stdout);
      },
    );
  };
  await compile("good.ts");
  await expect(compile("bad.ts")).rejects.toThrow("latency_budget");
}, 60_000);
