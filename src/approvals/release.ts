/**
 * What of an answer's tool calls its client gets, and the text in place of removed calls.
 *
 * Names in that text are the model's own output; arguments are left out.
 */
import type { Answer, AnswerChoice } from "../conversation/answer.ts";
import type { CallPart, Part } from "../conversation/part.ts";
import { type SeenCall, seenCall } from "../conversation/tool-turns.ts";
import type { ApprovalStatus, RuledCall, Ruling } from "./types.ts";

/** `hold`: nothing is released while anything is pending. `mark`: what is pending is released too. */
export type Delivery = "hold" | "mark";

/** A ruling, and how it is carried out. */
export interface Release {
  readonly ruling: Ruling;
  readonly delivery: Delivery;
  readonly traceId: string;
}

/** The member `flow.tool_approval`. `ids` are those that wait. */
export interface ApprovalMember {
  readonly status: ApprovalStatus;
  readonly trace_id: string;
  readonly ids: readonly string[];
  readonly calls: readonly RuledCall[];
  readonly expires_at?: string;
}

export function toolApproval({ ruling, traceId }: Release): ApprovalMember {
  const { calls, expiresAt } = ruling;
  const ids = calls.filter(({ status }) => status === "pending").map(({ id }) => id);
  const status = overallStatus(ruling);
  const expiry = status === "pending" ? { expires_at: new Date(expiresAt).toISOString() } : {};
  return { status, trace_id: traceId, ids, calls, ...expiry };
}

/** Pending while anything is; approved when anything may be used; else why nothing may. */
export function overallStatus({ calls }: Ruling): ApprovalStatus {
  for (const status of ["pending", "approved", "expired"] as const) {
    if (calls.some((call) => call.status === status)) return status;
  }
  return "denied";
}

/** Must the answer wait, and for whom? */
export function isWaiting({ ruling, delivery }: Release): boolean {
  return delivery === "hold" && ruling.calls.some(({ status }) => status === "pending");
}

export function isReleased(release: Release, { status }: RuledCall): boolean {
  if (isWaiting(release)) return false;
  return status === "approved" || status === "pending";
}

/** Says which of `calls` are missing and why; `null` when all are there. */
export function removalNotice(release: Release, calls: readonly RuledCall[]): string | null {
  const missing = calls.filter((call) => !isReleased(release, call));
  const waiting = missing.filter(({ status }) => status === "pending" || status === "approved");
  const parts: string[] = [];
  const denied = missing.filter(({ status }) => status === "denied");
  const expired = missing.filter(({ status }) => status === "expired");
  if (denied.length > 0) parts.push(`removed ${describeCount(denied, "denied")}${namesOf(denied)}`);
  if (expired.length > 0) parts.push(`removed ${describeCount(expired, "not approved in time")}${namesOf(expired)}`);
  if (waiting.length > 0) {
    const how = `Once it is decided, send the same request again with \`"route": {"resume": "${release.traceId}"}\``;
    parts.push(`withheld ${describeCount(waiting, "waiting for approval")}${namesOf(waiting)}. ${how}`);
  }
  return parts.length === 0 ? null : `[The Flow Layer ${parts.join("; ")}]`;
}

function describeCount(calls: readonly RuledCall[], why: string): string {
  return calls.length > 1 ? `${calls.length} tool calls ${why}` : `a tool call ${why}`;
}

function namesOf(calls: readonly RuledCall[]): string {
  const names = calls.filter(({ name }) => name !== "").map(({ name }) => `\`${name}\``);
  return names.length === 0 ? "" : `: ${names.join(", ")}`;
}

/** Every call of a whole answer, choice by choice. */
export function callsOfAnswer({ choices }: Answer): SeenCall[] {
  return choices.flatMap(({ parts }) => parts.filter(isCall).map(seenCall));
}

function isCall(part: Part): part is CallPart {
  return part.kind === "call";
}

/** Those of `calls` that go out, each under the id that it is recorded under. */
export function releasedCalls(calls: readonly CallPart[], ruled: readonly RuledCall[], release: Release): CallPart[] {
  return calls.flatMap((call, at) => {
    const ruling = ruled[at];
    return ruling !== undefined && isReleased(release, ruling) ? [{ ...call, id: ruling.id }] : [];
  });
}

/** The answer as the client gets it, itself where that is all of it. `release.ruling` is of `callsOfAnswer`. */
export function releasedAnswer(answer: Answer, release: Release): Answer {
  let at = 0;
  const choices: readonly AnswerChoice[] = answer.choices.map((choice): AnswerChoice => {
    const calls = choice.parts.filter(isCall);
    if (calls.length === 0) {
      if (choice.finish.reason !== "tool_calls") return choice;
      // It announces a call that cannot be read: the client has nothing to run.
      return { ...choice, parts: [...choice.parts, noticePart(choice.parts, UNREADABLE)], finish: { reason: "stop" } };
    }
    const ruled = release.ruling.calls.slice(at, at + calls.length);
    at += calls.length;
    const released = releasedCalls(calls, ruled, release);
    const missing = removalNotice(release, ruled);
    const others = choice.parts.filter((part) => !isCall(part));
    const notice = missing === null ? [] : [noticePart(others, missing)];
    const finish = released.length === 0 ? { reason: "stop" as const } : choice.finish;
    // Whole as it was: the order of its parts matters to the provider that signed them.
    if (released.length === calls.length) {
      const isSame = released.every((call, index) => call.isLegacy === true || call.id === calls[index]?.id);
      return isSame ? choice : { ...choice, parts: inPlace(choice.parts, released) };
    }
    return { ...choice, parts: [...others, ...notice, ...released], finish };
  });
  return choices.every((choice, index) => choice === answer.choices[index]) ? answer : { ...answer, choices };
}

export const UNREADABLE = "[The Flow Layer removed a tool call that cannot be read]";

function noticePart(others: readonly Part[], notice: string): Part {
  const hasText = others.some((part) => part.kind === "text" && part.text !== "");
  return { kind: "text", path: "", text: hasText ? `\n\n${notice}` : notice };
}

function inPlace(parts: readonly Part[], released: readonly CallPart[]): Part[] {
  let next = 0;
  return parts.map((part) => (isCall(part) ? (released[next++] ?? part) : part));
}
