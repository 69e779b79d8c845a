/**
 * A scripted model for agents: the same steps, written in whichever wire the router calls.
 *
 * The next step follows from the request: it is the one after all calls that the conversation already holds. So a step
 * that is asked for twice, by a retry or at the next target, is the same step.
 */
import { type Call, chunks, completion, type Script } from "../support/upstream.ts";

export interface StepCall {
  /** `*`: the first tool that is offered. */
  readonly name: string;
  /** Arguments of a function; a text for a custom tool. */
  readonly input: Readonly<Record<string, unknown>> | string;
}

export interface Step {
  readonly text?: string;
  readonly thinking?: string;
  readonly calls?: readonly StepCall[];
}

type Json = Readonly<Record<string, unknown>>;

/** Signature of scripted thinking: a request that brings it back to another provider shows it. */
export const SIGNATURE = "c2lnbmVkIGJ5IHRoZSBzY3JpcHQ=";

const list = (value: unknown): readonly Json[] => (Array.isArray(value) ? (value as Json[]) : []);
const idOf = (at: number): string => `call_step_${at}`;
const args = ({ input }: StepCall): string => JSON.stringify(typeof input === "string" ? { input } : input);
const event = (name: string, data: object): string =>
  `event: ${name}\ndata: ${JSON.stringify({ type: name, ...data })}\n\n`;

/** Calls that the conversation of `body` already holds, in any wire. */
function callsIn(body: Json): number {
  const turns = list(body["messages"]);
  const ofChat = turns.flatMap((turn) => list(turn["tool_calls"]));
  const ofMessages = turns.flatMap((turn) => list(turn["content"])).filter((part) => part["type"] === "tool_use");
  const ofResponses = list(body["input"]).filter(({ type }) => String(type).endsWith("_call"));
  return ofChat.length + ofMessages.length + ofResponses.length;
}

/** Are tools offered that the agent runs? A request without is an aside: a title, a summary. */
const hasTools = (body: Json): boolean => list(body["tools"]).length > 0;

/** The step that follows in `body`, and how many calls came before it. */
function stepFor(body: Json, steps: readonly Step[], aside: Step): readonly [Step, number] {
  if (!hasTools(body)) return [aside, 0];
  const made = callsIn(body);
  let before = 0;
  for (const step of steps) {
    if (before === made) return [withNames(step, body), before];
    before += step.calls?.length ?? 0;
  }
  return [steps.at(-1) ?? aside, made];
}

/** Names of the custom tools that are offered: their calls have a text for an input. */
function customTools(body: Json): ReadonlySet<string> {
  const custom = list(body["tools"]).filter(({ type }) => type === "custom");
  return new Set(custom.map((tool) => String(((tool["custom"] as Json | undefined) ?? tool)["name"])));
}

/** `step`, whose calls name a tool that is offered. */
function withNames(step: Step, body: Json): Step {
  const [first] = list(body["tools"]);
  const detail = (first?.["function"] ?? first?.["custom"] ?? first) as Json | undefined;
  const name = String(detail?.["name"] ?? "");
  const calls = step.calls?.map((call) => (call.name === "*" ? { ...call, name } : call));
  return calls === undefined ? step : { ...step, calls };
}

function chatScript(body: Json, { text = "", calls = [] }: Step, before: number): Script {
  const custom = customTools(body);
  const toolCalls = calls.map((call, at) => ({
    ...{ id: idOf(before + at), name: call.name, isCustom: custom.has(call.name) },
    arguments: custom.has(call.name) ? String(call.input) : args(call),
  }));
  const model = String(body["model"]);
  const more = toolCalls.length === 0 ? { model } : { model, toolCalls };
  return body["stream"] === true ? { events: chunks(text, more) } : { json: completion({ text, ...more }) };
}

function messagesScript(body: Json, { text, thinking, calls = [] }: Step, before: number): Script {
  const content: Json[] = [
    ...(thinking === undefined ? [] : [{ type: "thinking", thinking, signature: SIGNATURE }]),
    ...(text === undefined ? [] : [{ type: "text", text }]),
    ...calls.map((call, at) => ({
      ...{ type: "tool_use", id: idOf(before + at), name: call.name, input: JSON.parse(args(call)) as Json },
    })),
  ];
  const usage = { input_tokens: 20, output_tokens: 8 };
  const stop = calls.length > 0 ? "tool_use" : "end_turn";
  const message = { id: "msg_script", type: "message", role: "assistant", model: body["model"] };
  if (body["stream"] !== true) return { json: { ...message, content, stop_reason: stop, stop_sequence: null, usage } };
  const blocks = content.flatMap((block, index) => {
    const { thinking: thought, text: said, input, ...rest } = block;
    const empty = { ...rest, ...(thought === undefined ? {} : { thinking: "", signature: "" }) };
    const start = {
      ...empty,
      ...(said === undefined ? {} : { text: "" }),
      ...(input === undefined ? {} : { input: {} }),
    };
    const deltas =
      thought !== undefined
        ? [
            { type: "thinking_delta", thinking: thought },
            { type: "signature_delta", signature: SIGNATURE },
          ]
        : said !== undefined
          ? [{ type: "text_delta", text: said }]
          : [{ type: "input_json_delta", partial_json: JSON.stringify(input) }];
    return [
      event("content_block_start", { index, content_block: start }),
      ...deltas.map((delta) => event("content_block_delta", { index, delta })),
      event("content_block_stop", { index }),
    ];
  });
  const begun = {
    ...message,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { ...usage, output_tokens: 1 },
  };
  return {
    events: [
      event("message_start", { message: begun }),
      ...blocks,
      event("message_delta", { delta: { stop_reason: stop, stop_sequence: null }, usage }),
      event("message_stop", {}),
    ],
  };
}

/** Members of an item that grow after it was added. */
const EMPTY: Readonly<Record<string, Json>> = {
  message: { content: [] },
  reasoning: { summary: [] },
  function_call: { arguments: "" },
  custom_tool_call: { input: "" },
};

function responsesScript(body: Json, { text, thinking, calls = [] }: Step, before: number): Script {
  const custom = customTools(body);
  const output: Json[] = [
    ...(thinking === undefined
      ? []
      : [
          {
            ...{ type: "reasoning", id: "rs_script", summary: [{ type: "summary_text", text: thinking }] },
            encrypted_content: SIGNATURE,
          },
        ]),
    ...(text === undefined
      ? []
      : [
          {
            ...{ type: "message", id: "msg_script", role: "assistant", status: "completed" },
            content: [{ type: "output_text", text, annotations: [] }],
          },
        ]),
    ...calls.map((call, at) => {
      const id = idOf(before + at);
      const own = { call_id: id, name: call.name, status: "completed" };
      return custom.has(call.name)
        ? { type: "custom_tool_call", id: `ctc_${id}`, ...own, input: String(call.input) }
        : { type: "function_call", id: `fc_${id}`, ...own, arguments: args(call) };
    }),
  ];
  const usage = {
    ...{ input_tokens: 20, input_tokens_details: { cached_tokens: 0 }, output_tokens: 8, total_tokens: 28 },
    output_tokens_details: { reasoning_tokens: 0 },
  };
  const base = { id: "resp_script", object: "response", created_at: 1_795_000_000, model: body["model"] };
  const nothing = { tools: [], error: null, incomplete_details: null };
  const whole = { ...base, ...nothing, status: "completed", output, usage };
  if (body["stream"] !== true) return { json: whole };
  let sequence = 0;
  const numbered = (name: string, data: object): string => event(name, { sequence_number: sequence++, ...data });
  return {
    events: [
      numbered("response.created", { response: { ...base, ...nothing, status: "in_progress", output: [] } }),
      ...output.flatMap((item, index) => {
        const at = { item_id: item["id"], output_index: index };
        const summary = { ...at, summary_index: 0 };
        const empty = EMPTY[String(item["type"])] ?? {};
        const isCall = item["type"] === "function_call";
        return [
          numbered("response.output_item.added", {
            output_index: index,
            item: { ...item, ...empty, status: "in_progress" },
          }),
          ...(item["type"] === "reasoning"
            ? [
                numbered("response.reasoning_summary_part.added", {
                  ...summary,
                  part: { type: "summary_text", text: "" },
                }),
                numbered("response.reasoning_summary_text.delta", { ...summary, delta: thinking }),
                numbered("response.reasoning_summary_text.done", { ...summary, text: thinking }),
                numbered("response.reasoning_summary_part.done", {
                  ...{ ...summary, part: { type: "summary_text", text: thinking } },
                }),
              ]
            : []),
          ...(item["type"] === "message"
            ? [
                numbered("response.content_part.added", {
                  ...{ ...at, content_index: 0, part: { type: "output_text", text: "", annotations: [] } },
                }),
                numbered("response.output_text.delta", { ...at, content_index: 0, delta: text }),
                numbered("response.output_text.done", { ...at, content_index: 0, text }),
                numbered("response.content_part.done", {
                  ...{ ...at, content_index: 0, part: { type: "output_text", text, annotations: [] } },
                }),
              ]
            : []),
          ...(isCall
            ? [
                numbered("response.function_call_arguments.delta", { ...at, delta: item["arguments"] }),
                numbered("response.function_call_arguments.done", { ...at, arguments: item["arguments"] }),
              ]
            : []),
          ...(item["type"] === "custom_tool_call"
            ? [
                numbered("response.custom_tool_call_input.delta", { ...at, delta: item["input"] }),
                numbered("response.custom_tool_call_input.done", { ...at, input: item["input"] }),
              ]
            : []),
          numbered("response.output_item.done", { output_index: index, item }),
        ];
      }),
      numbered("response.completed", { response: whole }),
    ],
  };
}

/** Answers every request with the step that follows in it. `aside`: what a request without tools gets. */
export function agentScript(steps: readonly Step[], aside: Step = { text: "A short title" }): (call: Call) => Script {
  return (call) => {
    const body = JSON.parse(call.body) as Json;
    const [step, before] = stepFor(body, steps, aside);
    if (call.path.endsWith("/messages")) return messagesScript(body, step, before);
    if (call.path.endsWith("/responses")) return responsesScript(body, step, before);
    return chatScript(body, step, before);
  };
}

/** `script`, whose stream the provider cuts after its first content. */
export function cutInTheMiddle(script: Script): Script {
  const events = script.events ?? [];
  return { ...script, events: events.slice(0, Math.max(3, Math.floor(events.length / 2))), end: "reset", gapMs: 5 };
}
