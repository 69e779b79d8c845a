/**
 * Python clients, unmodified, against the Worker and a scripted provider: each script under `python/` prints one line
 * per check, and each line is a test here.
 *
 * They run in `.venv`, made from the pinned `requirements.txt` where there is a Python that can. Where not, the reason is
 * printed and the tests are skipped.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Rig, startRig } from "../support/rig.ts";
import { type Call, chunks, completion, type Script } from "../support/upstream.ts";
import { pythonOf } from "./venv.ts";

const SCRIPTS = [
  ...["openai_sdk", "langchain_openai_sdk", "pydantic_ai_sdk", "instructor_sdk", "litellm_sdk", "openai_agents_sdk"],
] as const;

const FOLDER = new URL("./python/", import.meta.url).pathname;
const { python, reason } = pythonOf();
if (python === null) console.log(`Python clients are skipped: ${reason}`);

const TEXT = "It is sunny.";
const PERSON = '{"name":"Ada","age":36}';

interface Asked {
  readonly stream?: boolean;
  readonly messages: readonly { readonly role: string }[];
  readonly tools?: readonly { readonly function?: { readonly name: string } }[];
}

const bodyOf = (call: Call): Asked => JSON.parse(call.body) as Asked;

function saying(call: Call, text: string): Script {
  return bodyOf(call).stream === true ? { events: chunks(text) } : { json: completion({ text }) };
}

/** Two calls where tools are offered and none was run yet, else text. Empty `tools` are refused, as providers do. */
function answers(call: Call): Script {
  const asked = bodyOf(call);
  if (asked.tools?.length === 0) {
    return {
      status: 400,
      json: { error: { message: "[] is too short - 'tools'", code: "empty_array", param: "tools" } },
    };
  }
  const wantsTools = asked.tools !== undefined && !asked.messages.some(({ role }) => role === "tool");
  if (!wantsTools) return saying(call, TEXT);
  const toolCalls = ["Oslo", "Rome"].map((city, at) => ({
    id: `call_${at}`,
    name: asked.tools?.[0]?.function?.name ?? "",
    arguments: JSON.stringify({ city }),
  }));
  return asked.stream === true ? { events: chunks("", { toolCalls }) } : { json: completion({ toolCalls }) };
}

/** The person, by a call of the one tool that is offered or as JSON text. */
function structured(call: Call): Script {
  const { stream, tools } = bodyOf(call);
  const name = tools?.[0]?.function?.name;
  if (name === undefined) return saying(call, PERSON);
  const toolCalls = [{ id: "call_p", name, arguments: PERSON }];
  return stream === true ? { events: chunks("", { toolCalls }) } : { json: completion({ toolCalls }) };
}

const CUT: Script = {
  events: chunks("It is half", { finish: null, done: false, usage: null }),
  end: "reset",
  gapMs: 5,
};
const DOWN: Script = { status: 500, json: { error: { message: "boom", type: "server_error", code: null } } };
const BUSY: Script = {
  status: 429,
  headers: { "retry-after": "3" },
  json: { error: { message: "slow down", type: "rate_limit", code: "rate_limit_exceeded" } },
};
const TOO_LONG: Script = {
  status: 400,
  json: {
    error: {
      message: "This model's maximum context length is 4096 tokens.",
      type: "invalid_request_error",
      code: "context_length_exceeded",
    },
  },
};

interface Line {
  readonly check: string;
  readonly ok: boolean;
  readonly detail?: string;
}

async function run(script: string, rig: Rig, key: string): Promise<readonly Line[]> {
  const env = { ...process.env, FLOW_TEST_BASE_URL: rig.baseURL, FLOW_TEST_KEY: key, PYTHONPATH: FOLDER };
  const { stdout } = await promisify(execFile)(python ?? "", [`${FOLDER}${script}.py`], { env, timeout: 120_000 });
  return stdout
    .split("\n")
    .filter((line) => line.startsWith('{"check"'))
    .map((line) => JSON.parse(line) as Line);
}

/** The checks of a script, read from its text, so that each is a test even where the script dies. */
function checksOf(script: string): string[] {
  const text = readFileSync(`${FOLDER}${script}.py`, "utf8");
  return [...text.matchAll(/@check\("([^"]+)"\)/g)].map(([, name = ""]) => name);
}

describe.skipIf(python === null)("Python clients", () => {
  let rig: Rig;
  let key: string;
  beforeAll(async () => {
    rig = await startRig();
    key = (await rig.worker.createKey()).key;
    for (const [name, scripts] of Object.entries({
      answers,
      structured,
      cut: CUT,
      down: DOWN,
      busy: (call: Call) => (rig.upstream.callsTo("model-busy").length % 2 === 1 ? BUSY : answers(call)),
      short: TOO_LONG,
    })) {
      await rig.worker.putRoute("production", name, {
        targets: [{ provider: "openai", model: `model-${name}` }],
        retry: { same_target: 0 },
      });
      rig.upstream.scriptFor(`model-${name}`, scripts);
    }
  }, 60_000);
  afterAll(() => rig.stop());

  describe.each(SCRIPTS)("%s", (script) => {
    let lines: readonly Line[] = [];
    beforeAll(async () => {
      lines = await run(script, rig, key);
    }, 150_000);

    test("every check ran", () => {
      expect(lines.length).toBeGreaterThanOrEqual(checksOf(script).length);
      expect(lines.filter(({ ok }) => !ok)).toEqual([]);
    });
    test.each(checksOf(script))("%s", (name) => {
      expect(lines.find(({ check }) => check === name)).toMatchObject({ ok: true });
    });
  });
});
