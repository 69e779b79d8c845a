/**
 * Routes for clients of Messages and Responses: each on a target of its own wire and on one that is translated, with a
 * scripted model that calls tools, thinks, answers with structure, counts media, or fails.
 */
import { type Rig, startRig } from "../support/rig.ts";
import type { Call, Script, ScriptSource } from "../support/upstream.ts";
import { agentScript, cutInTheMiddle, SIGNATURE, type Step } from "./agent-scripts.ts";

const TEXT: Step = { text: "It is sunny." };
const PERSON = { name: "Ada", age: 36 };
const CITIES = ["Oslo", "Rome"].map((city) => ({ name: "*", input: { city } }));

const weather = agentScript([{ text: "I look.", calls: CITIES }, TEXT], TEXT);
const thinking = agentScript([{ thinking: "Hm.", calls: CITIES.slice(0, 1) }, TEXT], { thinking: "Hm.", ...TEXT });
const structured = agentScript([{ calls: [{ name: "*", input: PERSON }] }, TEXT], { text: JSON.stringify(PERSON) });

/** Thinking that was signed has to come back before the result of its call, as Anthropic demands. */
function strictThinking(call: Call): Script {
  if (call.path.endsWith("/messages") && call.body.includes('"tool_use"') && !call.body.includes(SIGNATURE)) {
    const message = "Expected `thinking`, but found `tool_use`.";
    return { status: 400, json: { type: "error", error: { type: "invalid_request_error", message } } };
  }
  return thinking(call);
}

/** Says which media the request had. */
function media(call: Call): Script {
  const count = (pattern: RegExp): number => call.body.match(pattern)?.length ?? 0;
  const images = count(/"type":\s*"(image|image_url|input_image)"/g);
  const files = count(/"type":\s*"(document|file|input_file)"/g);
  return agentScript([], { text: `images ${images}, documents ${files}` })(call);
}

const TOO_LONG: Script = {
  status: 400,
  json: {
    type: "error",
    error: {
      ...{ type: "invalid_request_error", code: "context_length_exceeded" },
      message: "This model's maximum context length is 4096 tokens.",
    },
  },
};
const DOWN: Script = { status: 500, json: { type: "error", error: { type: "api_error", message: "boom" } } };
const slow = (call: Call): Script => ({ ...weather(call), gapMs: 1_500 });
const cut = (call: Call): Script => cutInTheMiddle(agentScript([], { text: "It is half a long answer." })(call));

const SCRIPTS: Readonly<Record<string, ScriptSource>> = {
  ...{ weather, structured, media, slow, cut, thinking: strictThinking },
  ...{ down: DOWN, short: TOO_LONG },
};

/** For clients that send names of models which they know. */
const ALIASES: Readonly<Record<string, readonly string[]>> = { "structured-chat": ["gpt-4o"] };

const TARGETS = { chat: "groq", claude: "anthropic", openai: "openai" } as const;

/** A rig with the routes `<script>-<target>`, and a key for all of them. */
export async function startDoors(): Promise<{ readonly rig: Rig; readonly key: string }> {
  const rig = await startRig();
  for (const [target, provider] of Object.entries(TARGETS)) {
    for (const [script, source] of Object.entries(SCRIPTS)) {
      const name = `${script}-${target}`;
      await rig.worker.putRoute("production", name, {
        targets: [{ provider, model: `model-${name}` }],
        retry: { same_target: 0 },
        aliases: ALIASES[name] ?? [],
      });
      rig.upstream.scriptFor(`model-${name}`, source);
    }
  }
  return { rig, key: (await rig.worker.createKey()).key };
}
