/**
 * Python clients, unmodified, against the Worker and a scripted provider: each script under `python/` prints one line
 * per check, and each line is a test here.
 *
 * They run in `.venv`, made from the pinned `requirements.txt` where there is a Python that can. Where not, the reason is
 * printed and the tests are skipped.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Rig } from "../support/rig.ts";
import { checksOf, type Line, linesOf, startClients } from "./answers.ts";
import { startDoors } from "./door-routes.ts";
import { startEmbeddings } from "./embedding-routes.ts";
import { pythonOf } from "./venv.ts";

const SCRIPTS: readonly (readonly [start: typeof startClients, scripts: readonly string[]])[] = [
  [
    startClients,
    ["openai_sdk", "langchain_openai_sdk", "pydantic_ai_sdk", "instructor_sdk", "litellm_sdk", "openai_agents_sdk"],
  ],
  [
    startDoors,
    [
      ...["anthropic_sdk", "langchain_anthropic_sdk", "litellm_anthropic_sdk", "openai_responses_sdk"],
      ...["openai_agents_default_sdk", "pydantic_ai_default_sdk", "llama_index_sdk"],
    ],
  ],
  [startEmbeddings, ["embeddings_sdk"]],
];

const FOLDER = new URL("./python/", import.meta.url).pathname;
const { python, reason } = pythonOf();
if (python === null) console.log(`Python clients are skipped: ${reason}`);

async function run(script: string, rig: Rig, key: string): Promise<readonly Line[]> {
  const env = { ...process.env, FLOW_TEST_BASE_URL: rig.baseURL, FLOW_TEST_KEY: key, PYTHONPATH: FOLDER };
  const { stdout } = await promisify(execFile)(python ?? "", [`${FOLDER}${script}.py`], { env, timeout: 120_000 });
  return linesOf(stdout);
}

describe.skipIf(python === null).each(SCRIPTS)("Python clients", (start, scripts) => {
  let rig: Rig;
  let key: string;
  const runs = new Map<string, Promise<readonly Line[]>>();
  beforeAll(async () => {
    ({ rig, key } = await start());
    // Two at a time: most of a script is the import of its client.
    const lanes: Promise<unknown>[] = [Promise.resolve(), Promise.resolve()];
    for (const [at, script] of scripts.entries()) {
      const lane = at % lanes.length;
      const running = (lanes[lane] ?? Promise.resolve()).then(() => run(script, rig, key));
      runs.set(script, running);
      lanes[lane] = running.catch(() => {});
    }
  }, 60_000);
  afterAll(() => rig.stop());

  describe.each(scripts)("%s", (script) => {
    let lines: readonly Line[] = [];
    beforeAll(async () => {
      lines = (await runs.get(script)) ?? [];
    }, 250_000);

    test("every check ran", () => {
      expect(lines.length).toBeGreaterThanOrEqual(checksOf(`${FOLDER}${script}.py`).length);
      expect(lines.filter(({ ok }) => !ok)).toEqual([]);
    });
    test.each(checksOf(`${FOLDER}${script}.py`))("%s", (name) => {
      expect(lines.find(({ check }) => check === name)).toMatchObject({ ok: true });
    });
  });
});
