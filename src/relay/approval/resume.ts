/** A held step, given from the record to the same request sent again: nobody is asked, nothing is billed. */
import { calledTools } from "../../approvals/calls.ts";
import { type Release, releaseChoices, toolApproval } from "../../approvals/release.ts";
import { StreamGate } from "../../approvals/stream-gate.ts";
import type { StoredStep } from "../../approvals/types.ts";
import type { Deadlines } from "../../lib/deadline.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../lib/json.ts";
import { interruptedEvent } from "../../wires/openai-chat/chunk.ts";
import type { Say, ToolApproval } from "./approval.ts";

type Json = Readonly<Record<string, unknown>>;

const NO_USAGE = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
const DONE = "data: [DONE]\n\n";

const encoder = new TextEncoder();

/** The chat completion as it is released, with `flow` merged into its member of that name. */
export function releasedBody({ body }: StoredStep, release: Release, flow: Json): string {
  const edit = new JsonEdit(body).set("usage", NO_USAGE);
  const choices = releaseChoices(choicesOf(body), release);
  if (choices !== null) edit.set("choices", choices);
  return edit.set("flow", { ...flow, tool_approval: toolApproval(release) }).toString();
}

/** Names of the tools that the step calls. */
export function toolsOf({ body }: StoredStep): string[] {
  return choicesOf(body).flatMap((choice) => (isJsonObject(choice["message"]) ? calledTools(choice["message"]) : []));
}

export interface ReleaseWish {
  readonly includeUsage: boolean;
  readonly deadlines: Deadlines;
  /** Epoch ms. After it a client that does not read is taken for gone. */
  readonly endsAt: number;
}

/** The step as a stream: its text at once, its calls when they are decided. `end` never rejects. */
export function releasedStream(
  approval: ToolApproval,
  step: StoredStep,
  traceId: string,
  { includeUsage, deadlines, endsAt }: ReleaseWish,
): { readable: ReadableStream<Uint8Array>; end: Promise<"complete" | "cancelled" | "interrupted"> } {
  const out = new IdentityTransformStream();
  const writer = out.writable.getWriter();
  const say: Say = (text) => deadlines.isTaken(writer.write(encoder.encode(text)), endsAt, writer);
  const play = async (): Promise<"complete" | "cancelled" | "interrupted"> => {
    const gate = new StreamGate();
    const text = passText(gate, step.body, includeUsage);
    if (text !== "" && !(await say(text))) return "cancelled";
    const release = await approval.releaseStep(traceId, step.ruling, say).catch(() => null);
    if (release === "client_gone") return "cancelled";
    const isSaid = await say(release === null ? broken(traceId) : gate.finish(release) + DONE);
    if (!isSaid) return "cancelled";
    return release === null ? "interrupted" : "complete";
  };
  const failed = async (): Promise<"interrupted"> => {
    await say(broken(traceId));
    return "interrupted";
  };
  const end = play()
    .catch(failed)
    .finally(() => deadlines.isTaken(writer.close(), endsAt, writer));
  return { readable: out.readable, end };
}

const broken = (traceId: string): string =>
  interruptedEvent(traceId, "The tool calls of this answer could not be read from the record.");

/** The events of the answer: what may be said at once; the rest is in `gate` then. */
function passText(gate: StreamGate, body: string, includeUsage: boolean): string {
  const { choices: _choices, usage: _usage, ...base } = bodyOf(body);
  const top = { ...base, object: "chat.completion.chunk" };
  let text = "";
  const play = (choice: Json): void => {
    const chunk = { ...top, choices: [choice] };
    const raw = `data: ${JSON.stringify(chunk)}\n\n`;
    const passed = gate.pass(chunk, raw);
    if (passed !== null) text += passed === chunk ? raw : `data: ${JSON.stringify(passed)}\n\n`;
  };
  for (const { index, message, finish_reason } of choicesOf(body)) {
    if (!isJsonObject(message)) continue;
    const { tool_calls, function_call, ...said } = message;
    play({ index, delta: said, finish_reason: null });
    const calls = Array.isArray(tool_calls) ? tool_calls.filter(isJsonObject) : [];
    if (calls.length > 0) {
      play({ index, delta: { tool_calls: calls.map((call, at) => ({ ...call, index: at })) }, finish_reason: null });
    }
    if (isJsonObject(function_call)) play({ index, delta: { function_call }, finish_reason: null });
    play({ index, delta: {}, finish_reason });
  }
  if (includeUsage) {
    const chunk = { ...top, choices: [], usage: NO_USAGE };
    gate.keepUsage(chunk, `data: ${JSON.stringify(chunk)}\n\n`);
  }
  return text;
}

function bodyOf(body: string): Json {
  const parsed = tryParseJson(body);
  return isJsonObject(parsed) ? parsed : {};
}

function choicesOf(body: string): Json[] {
  const { choices } = bodyOf(body);
  return Array.isArray(choices) ? choices.filter(isJsonObject) : [];
}
