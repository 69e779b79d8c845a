/**
 * A held step, answered from the record when the same request is sent again. No provider is called and no cost is
 * booked.
 */
import { callsOfAnswer, type Release, releasedAnswer, toolApproval } from "../../approvals/release.ts";
import { StreamGate } from "../../approvals/stream-gate.ts";
import type { StoredStep } from "../../approvals/types.ts";
import type { Answer } from "../../conversation/answer.ts";
import { eventsOf } from "../../conversation/events.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../lib/json.ts";
import { stringifyRaw } from "../../lib/raw-json.ts";
import type { Deadlines } from "../../lib/time/deadline.ts";
import type { AnswerContext, DoorWire } from "../../wires/wire.ts";
import { keepText, lastEvents, wireUsage } from "../last-words.ts";
import { breakOff } from "../streaming/ends.ts";
import type { LastWords, StreamOptions } from "../types.ts";
import type { Say, ToolApproval } from "./approval.ts";

/** In chat's shape, as every usage of the core is. */
const NO_USAGE = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
const NO_COUNTS = { prompt: 0, completion: 0 };

const encoder = new TextEncoder();

/** The wire that the step was recorded in, which is that of the request. */
export interface StepReader {
  readonly wire: DoorWire;
  readonly context: AnswerContext;
}

function answerOf({ body }: StoredStep, wire: DoorWire): Answer {
  const parsed = tryParseJson(body);
  return wire.readBack(body, isJsonObject(parsed) ? parsed : {});
}

/** The whole answer as it is released, with `flow` merged into its member of that name. */
export async function releasedBody(
  step: StoredStep,
  release: Release,
  { flow, keep }: LastWords,
  { wire, context }: StepReader,
): Promise<string> {
  const answer = answerOf(step, wire);
  const released = releasedAnswer(answer, release);
  // The record is what may be released: as it is where all of it is released.
  const text = released === answer ? step.body : stringifyRaw(wire.writeAnswer(released, context));
  const edit = new JsonEdit(text).set("usage", wireUsage(NO_COUNTS, NO_USAGE, wire, context));
  const kept = await keepText(edit, keep, { wire, context });
  return edit.set("flow", { ...flow?.(), tool_approval: toolApproval(release), ...kept.flow }).toString();
}

/** Names of the tools that the step calls. */
export function toolsOf(step: StoredStep, { wire }: StepReader): string[] {
  return callsOfAnswer(answerOf(step, wire)).flatMap(({ name }) => (name === "" ? [] : [name]));
}

export interface ReleaseWish extends StepReader {
  readonly includeUsage: boolean;
  /** As for a stream that comes now; absent: the client did not ask. */
  readonly report?: StreamOptions["report"];
  readonly deadlines: Deadlines;
  readonly lastWords: LastWords;
  /** Epoch ms. After it a client that does not read is taken for gone. */
  readonly endsAt: number;
}

/** The step as a stream: its text at once, its calls when they are decided. `end` never rejects. */
export function releasedStream(
  approval: ToolApproval,
  step: StoredStep,
  traceId: string,
  { includeUsage, report, deadlines, endsAt, lastWords, wire, context }: ReleaseWish,
): { readable: ReadableStream<Uint8Array>; end: Promise<"complete" | "cancelled" | "interrupted"> } {
  const out = new IdentityTransformStream();
  const writer = out.writable.getWriter();
  const answer = wire.openWriter(context);
  const say: Say = (text) => deadlines.isTaken(writer.write(encoder.encode(text)), endsAt, writer);
  const play = async (): Promise<"complete" | "cancelled" | "interrupted"> => {
    const gate = new StreamGate(approval.rules);
    const text = answer.write(gate.pass(eventsOf(answerOf(step, wire)).filter(({ kind }) => kind !== "usage")));
    if (text !== "" && !(await say(text))) return "cancelled";
    const release = await approval.releaseStep(traceId, step.ruling, say).catch(() => null);
    if (release === "client_gone") return "cancelled";
    if (release === null) return failed();
    const status = toolApproval(release);
    const flow = status.status === "pending" ? { tool_approval: status } : null;
    if (flow !== null) answer.attach(flow);
    const rest = answer.write(gate.finish(release));
    const usage = includeUsage ? answer.write([{ kind: "usage", counts: NO_COUNTS, raw: NO_USAGE }]) : "";
    const told = report == null ? "" : (answer.report?.(NO_USAGE, report().flow) ?? "");
    return (await say(rest + usage + told + (await lastEvents(answer, lastWords, flow, { wire, context }))))
      ? "complete"
      : "cancelled";
  };
  const failed = async (): Promise<"cancelled" | "interrupted"> => {
    const message = "The tool calls of this answer could not be read from the record.";
    return (await say(answer.fail(message))) ? "interrupted" : "cancelled";
  };
  const end = play()
    .catch(failed)
    .then(async (how) => {
      if (how === "interrupted" && wire.failureEnd === "abnormal") await breakOff(writer);
      else await deadlines.isTaken(writer.close(), endsAt, writer);
      return how;
    });
  return { readable: out.readable, end };
}
