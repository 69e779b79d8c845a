/** Calls of tools in a provider's answer, in shapes that some client reads as a call and no document has. */
import { event } from "../../support/aws-event-stream.ts";
import type { Script } from "../../support/upstream.ts";
import type { Chance } from "./chance.ts";

type Json = Readonly<Record<string, unknown>>;

/** An event: its type where the wire names one, and what it says. */
type Event = readonly [type: string, body: Json];

interface CallWire {
  /** Text, then the call. */
  readonly opening: readonly Event[];
  call(args: string): readonly Event[];
  readonly closing: readonly Event[];
  whole(args: string): Json;
  /** `text`: what the event says, as JSON, where a key may stand twice. */
  frame(type: string, text: string): string | Uint8Array;
  readonly done?: string;
  readonly contentType?: string;
}

const data = (text: string): string => `data: ${text}\n\n`;
const typed = (type: string, text: string): string => {
  return `event: ${type}\n${data(`{"type":"${type}"${text === "{}" ? "}" : `,${text.slice(1)}`}`)}`;
};

const chunk = (delta: Json, finish: string | null = null): Event => [
  "",
  { id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] },
];
const usage = { prompt_tokens: 9, completion_tokens: 9, total_tokens: 18 };
const openAiCall = (args: string): Json => ({
  index: 0,
  id: "call_1",
  type: "function",
  function: { name: "wipe", arguments: args },
});

const OPENAI: CallWire = {
  opening: [chunk({ role: "assistant", content: "Well. " })],
  call: (args) => [chunk({ tool_calls: [openAiCall(args)] })],
  closing: [chunk({}, "tool_calls"), ["", { id: "c", choices: [], usage }]],
  whole: (args) => ({
    ...{ id: "c", object: "chat.completion", usage },
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: "Well.", tool_calls: [openAiCall(args)] },
        finish_reason: "tool_calls",
      },
    ],
  }),
  frame: (_, text) => data(text),
  done: "data: [DONE]\n\n",
};

const LEGACY: CallWire = {
  ...OPENAI,
  call: (args) => [chunk({ function_call: { name: "wipe", arguments: args } })],
  closing: [chunk({}, "function_call"), ["", { id: "c", choices: [], usage }]],
  whole: (args) => ({
    ...{ id: "c", object: "chat.completion", usage },
    choices: [
      { index: 0, message: { role: "assistant", content: null, function_call: { name: "wipe", arguments: args } } },
    ],
  }),
};

const ANTHROPIC: CallWire = {
  opening: [
    ["message_start", { message: { id: "m", role: "assistant", content: [], usage: { input_tokens: 3 } } }],
    ["content_block_start", { index: 0, content_block: { type: "text", text: "" } }],
    ["content_block_delta", { index: 0, delta: { type: "text_delta", text: "Well. " } }],
    ["content_block_stop", { index: 0 }],
  ],
  call: (args) => [
    ["content_block_start", { index: 1, content_block: { type: "tool_use", id: "t", name: "wipe", input: {} } }],
    ["content_block_delta", { index: 1, delta: { type: "input_json_delta", partial_json: args } }],
    ["content_block_stop", { index: 1 }],
  ],
  closing: [
    ["message_delta", { delta: { stop_reason: "tool_use" }, usage: { output_tokens: 9 } }],
    ["message_stop", {}],
  ],
  whole: (args) => ({
    ...{
      id: "m",
      type: "message",
      role: "assistant",
      stop_reason: "tool_use",
      usage: { input_tokens: 3, output_tokens: 9 },
    },
    content: [
      { type: "text", text: "Well." },
      { type: "tool_use", id: "t", name: "wipe", input: JSON.parse(args) as Json },
    ],
  }),
  frame: typed,
};

const geminiOf = (parts: readonly Json[], more: Json = {}): Json => ({
  candidates: [{ index: 0, content: { role: "model", parts }, ...more }],
  usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 9 },
});
const geminiCall = (args: string): Json => ({ functionCall: { name: "wipe", args: JSON.parse(args) as Json } });

const GEMINI: CallWire = {
  opening: [["", geminiOf([{ text: "Well. " }])]],
  call: (args) => [["", geminiOf([geminiCall(args)])]],
  closing: [["", geminiOf([{ text: "" }], { finishReason: "STOP" })]],
  whole: (args) => geminiOf([{ text: "Well." }, geminiCall(args)], { finishReason: "STOP" }),
  frame: (_, text) => data(text),
};

const BEDROCK: CallWire = {
  opening: [
    ["messageStart", { role: "assistant" }],
    ["contentBlockDelta", { contentBlockIndex: 0, delta: { text: "Well. " } }],
    ["contentBlockStop", { contentBlockIndex: 0 }],
  ],
  call: (args) => [
    ["contentBlockStart", { contentBlockIndex: 1, start: { toolUse: { toolUseId: "t", name: "wipe" } } }],
    ["contentBlockDelta", { contentBlockIndex: 1, delta: { toolUse: { input: args } } }],
    ["contentBlockStop", { contentBlockIndex: 1 }],
  ],
  closing: [
    ["messageStop", { stopReason: "tool_use" }],
    ["metadata", { usage: { inputTokens: 3, outputTokens: 9, totalTokens: 12 } }],
  ],
  whole: (args) => ({
    output: {
      message: {
        role: "assistant",
        content: [{ text: "Well." }, { toolUse: { toolUseId: "t", name: "wipe", input: JSON.parse(args) as Json } }],
      },
    },
    stopReason: "tool_use",
    usage: { inputTokens: 3, outputTokens: 9, totalTokens: 12 },
  }),
  frame: (type, text) => event(type, JSON.parse(text)),
  contentType: "application/vnd.amazon.eventstream",
};

const COHERE: CallWire = {
  opening: [
    ["message-start", { id: "m", delta: { message: { role: "assistant", content: [] } } }],
    ["content-start", { index: 0, delta: { message: { content: { type: "text", text: "" } } } }],
    ["content-delta", { index: 0, delta: { message: { content: { text: "Well. " } } } }],
    ["content-end", { index: 0 }],
  ],
  call: (args) => [
    [
      "tool-call-start",
      {
        index: 0,
        delta: { message: { tool_calls: { id: "t", type: "function", function: { name: "wipe", arguments: args } } } },
      },
    ],
    ["tool-call-end", { index: 0 }],
  ],
  closing: [
    [
      "message-end",
      { delta: { finish_reason: "TOOL_CALL", usage: { tokens: { input_tokens: 3, output_tokens: 9 } } } },
    ],
  ],
  whole: (args) => ({
    ...{ id: "m", finish_reason: "TOOL_CALL", usage: { tokens: { input_tokens: 3, output_tokens: 9 } } },
    message: {
      role: "assistant",
      content: [{ type: "text", text: "Well." }],
      tool_calls: [{ id: "t", type: "function", function: { name: "wipe", arguments: args } }],
    },
  }),
  frame: typed,
};

/** Calls that clients of Responses run: of their own tools, and of tools that OpenAI defines for them. */
const RESPONSES_CALLS: readonly ((args: string) => Json)[] = [
  (args) => ({ type: "function_call", id: "fc", call_id: "t", name: "wipe", arguments: args }),
  (args) => ({ type: "custom_tool_call", id: "ct", call_id: "t", name: "wipe", input: args }),
  (args) => ({ type: "local_shell_call", id: "ls", call_id: "t", action: { type: "exec", command: ["wipe", args] } }),
  (args) => ({ type: "shell_call", id: "sh", call_id: "t", action: { commands: [`wipe ${args}`] } }),
  (args) => ({ type: "computer_call", id: "cc", call_id: "t", action: { type: "type", text: `wipe ${args}` } }),
  (args) => ({ type: "apply_patch_call", id: "ap", call_id: "t", operation: { type: "delete_file", path: args } }),
  (args) => ({ type: "mcp_call", id: "mc", name: "wipe", server_label: "s", arguments: args, output: args }),
  (args) => ({ type: "mcp_approval_request", id: "ma", name: "wipe", server_label: "s", arguments: args }),
  (args) => ({ type: "wipe_call", id: "wc", call_id: "t", name: "wipe", arguments: args }),
];

const said: Json = {
  ...{ type: "message", id: "m", role: "assistant", status: "completed" },
  content: [{ type: "output_text", text: "Well.", annotations: [] }],
};
const respond = (output: readonly Json[]): Json => ({
  ...{ id: "resp_h", object: "response", created_at: 1, status: "completed", model: "m", output },
  usage: { input_tokens: 3, output_tokens: 9, total_tokens: 12 },
});

function responsesWire(make: (args: string) => Json): CallWire {
  const at = { output_index: 0, item_id: "m", content_index: 0 };
  return {
    opening: [
      ["response.created", { response: { ...respond([]), status: "in_progress" } }],
      ["response.output_item.added", { output_index: 0, item: { ...said, content: [] } }],
      ["response.output_text.delta", { ...at, delta: "Well." }],
      ["response.output_item.done", { output_index: 0, item: said }],
    ],
    call: (args) => [
      ["response.output_item.added", { output_index: 1, item: { ...make(args), arguments: "" } }],
      ["response.function_call_arguments.delta", { output_index: 1, item_id: "fc", delta: args }],
      ["response.output_item.done", { output_index: 1, item: make(args) }],
    ],
    closing: [["response.completed", { response: respond([said]) }]],
    whole: (args) => respond([said, make(args)]),
    frame: typed,
  };
}

const OWN: ReadonlyMap<string, CallWire> = new Map(
  Object.entries({ anthropic: ANTHROPIC, google: GEMINI, bedrock: BEDROCK, cohere: COHERE }),
);

function wireNamed(chance: Chance, name: string): CallWire {
  if (name === "responses") return responsesWire(chance.pick(RESPONSES_CALLS));
  return OWN.get(name) ?? (chance.percent(15) ? LEGACY : OPENAI);
}

/** An answer in the wire `name` that calls with `marker` in its arguments, mostly in no shape that there is. */
export function callAnswer(chance: Chance, name: string, marker: string, stream: boolean): Script {
  const wire = wireNamed(chance, name);
  const args = JSON.stringify({ path: marker });
  if (!stream)
    return { body: mutated(chance, wire.whole(args), marker), headers: { "content-type": "application/json" } };
  const textOf = ([type, body]: Event): [string, string] => [type, JSON.stringify(body)];
  const called = wire.call(args).map((each): [string, string] => {
    const [type, body] = each;
    return textOf(each)[1].includes(marker) ? [type, mutated(chance, body, marker)] : textOf(each);
  });
  const before = chance.percent(80) ? wire.opening : [];
  const frames = [...before.map(textOf), ...called, ...wire.closing.map(textOf)].map((each) => wire.frame(...each));
  const events = [...frames, ...(wire.done === undefined ? [] : [wire.done])].map((frame) =>
    typeof frame === "string" && frame.includes(marker) ? reframed(chance, frame) : frame,
  );
  return {
    events: chance.percent(10) ? [damaged(chance, events)] : events,
    ...(wire.contentType === undefined ? {} : { headers: { "content-type": wire.contentType } }),
    ...(chance.percent(15) ? { sliceBytes: 1 + chance.below(40) } : {}),
    ...(chance.percent(10) ? { end: chance.pick(["fin", "reset"] as const) } : {}),
  };
}

/** The text of `body` after up to three changes to what stands above the marker. */
function mutated(chance: Chance, body: Json, marker: string): string {
  let value: unknown = body;
  for (let count = chance.below(4); count > 0; count--) value = changed(chance, value, marker);
  const text = JSON.stringify(value);
  return chance.percent(15) ? withTwin(chance, text, marker) : text;
}

/** Finds the way to the marker and changes one step of it. */
function changed(chance: Chance, value: unknown, marker: string): unknown {
  const isBelow = (each: unknown): boolean => JSON.stringify(each)?.includes(marker) ?? false;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  const found = entries.find(([, each]) => isBelow(each));
  if (found === undefined) return value;
  const [key, below] = found;
  const deeper = typeof below === "object" && below !== null && chance.percent(70);
  if (deeper) return replaced(value, key, changed(chance, below, marker));
  switch (chance.below(7)) {
    case 0:
      return Array.isArray(value) ? [...value, ...value] : renamed(value as Json, key, chance.spelled(key));
    case 1:
      return replaced(value, key, [below]);
    case 2:
      return replaced(value, key, { 0: below });
    case 3:
      return Array.isArray(value) ? { ...value } : { ...(value as Json), [`x_${key}`]: below, [key]: undefined };
    case 4:
      return Array.isArray(value)
        ? value[0]
        : { ...(value as Json), ...(Array.isArray(below) ? { tool_calls: below } : (below as Json)) };
    case 5:
      return Array.isArray(value) ? [value] : { index: chance.pick(["0", -1, 9e9, null]), ...(value as Json) };
    default:
      return typeof below === "string" && below.startsWith("{") ? replaced(value, key, JSON.parse(below)) : value;
  }
}

function replaced(value: object, key: string, below: unknown): unknown {
  if (!Array.isArray(value)) return { ...value, [key]: below };
  return value.map((each, at) => (String(at) === key ? below : (each as unknown)));
}

function renamed(value: Json, key: string, name: string): Json {
  return Object.fromEntries(Object.entries(value).map(([each, below]) => [each === key ? name : each, below]));
}

/** Gives one of the keys above the marker a second, harmless time, before or after. */
function withTwin(chance: Chance, text: string, marker: string): string {
  const keys = [...text.slice(0, text.indexOf(marker)).matchAll(/"([A-Za-z_]+)":/g)];
  if (keys.length === 0) return text;
  const { index, 1: key = "" } = chance.pick(keys);
  return `${text.slice(0, index)}"${key}":${chance.pick(["null", "[]", "{}", '"a"'])},${text.slice(index)}`;
}

/** The same event in another of the ways that SSE allows, or nearly allows. */
function reframed(chance: Chance, frame: string): string {
  switch (chance.below(8)) {
    case 0:
      return frame.replaceAll("\n", "\r\n");
    case 1:
      return frame.replaceAll("\n", "\r");
    case 2:
      return frame.replace("data: ", "data:");
    case 3:
      return frame.replace("data: ", "\ufeffdata: ");
    case 4: {
      const at = frame.indexOf(",") + 1;
      return at === 0 ? frame : `${frame.slice(0, at)}\ndata: ${frame.slice(at)}`;
    }
    case 5:
      return `id: 1\nretry: 1\n${frame}`;
    default:
      return frame;
  }
}

/** Bytes changed, taken out or doubled. */
function damaged(chance: Chance, events: readonly (string | Uint8Array)[]): Uint8Array {
  const bytes = [...Buffer.concat(events.map((each) => Buffer.from(each)))];
  for (let count = 1 + chance.below(3); count > 0; count--) {
    const at = chance.below(bytes.length);
    const kind = chance.below(3);
    if (kind === 0) bytes[at] = chance.below(256);
    else if (kind === 1) bytes.splice(at, 1 + chance.below(9));
    else bytes.splice(at, 0, ...bytes.slice(at, at + 1 + chance.below(30)));
  }
  return Uint8Array.from(bytes);
}
