/** What the scripted provider answers to the clients of other languages, and how their checks are read. */
import { readFileSync } from "node:fs";
import { type Rig, startRig } from "../support/rig.ts";
import { type Call, chunks, completion, type Script } from "../support/upstream.ts";

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

/** A rig with a route per kind of answer, and a key for all of them. */
export async function startClients(): Promise<{ readonly rig: Rig; readonly key: string }> {
  const rig = await startRig();
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
  return { rig, key: (await rig.worker.createKey()).key };
}

/** What a client's program prints for each of its checks. */
export interface Line {
  readonly check: string;
  readonly ok: boolean;
  readonly detail?: string;
}

export function linesOf(stdout: string): readonly Line[] {
  return stdout
    .split("\n")
    .filter((line) => line.startsWith('{"check"') || line.includes('"check":'))
    .map((line) => JSON.parse(line) as Line);
}

/** The checks of a program, read from its text, so that each is a test even where it dies. */
export function checksOf(path: string): string[] {
  return [...readFileSync(path, "utf8").matchAll(/\bcheck\("([^"]+)"/g)].map(([, name = ""]) => name);
}
