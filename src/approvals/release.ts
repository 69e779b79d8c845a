/**
 * What of an answer's tool calls its client gets, and the text that stands where calls were taken out.
 *
 * Names in that text are the model's own output; arguments are left out.
 */
import { isJsonObject } from "../lib/json.ts";
import { carriesCalls, isPlainMessage, readCalls, type SeenCall, withoutCalls } from "./calls.ts";
import type { ApprovalStatus, RuledCall, Ruling } from "./types.ts";

type Json = Readonly<Record<string, unknown>>;

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
export function callsOfChoices(choices: readonly unknown[]): SeenCall[] {
  return choices.flatMap((choice) => {
    const message = isJsonObject(choice) ? choice["message"] : undefined;
    return isJsonObject(message) ? readCalls(message) : [];
  });
}

/** Calls without a list of calls: what nobody can read cannot be approved, and is taken out. */
export function carriesAnyCall(choices: readonly unknown[]): boolean {
  return choices.some((choice) => {
    const message = isJsonObject(choice) ? choice["message"] : undefined;
    return isJsonObject(message) && carriesCalls(message);
  });
}

/** The choices as the client gets them; `null`: as they are. `release.ruling` is of `callsOfChoices`. */
export function releaseChoices(choices: readonly unknown[], release: Release): unknown[] | null {
  let isChanged = false;
  let at = 0;
  const result = choices.map((choice) => {
    const message = isJsonObject(choice) ? choice["message"] : undefined;
    if (!isJsonObject(choice) || !isJsonObject(message) || !carriesCalls(message)) return choice;
    const seen = readCalls(message);
    const ruled = release.ruling.calls.slice(at, at + seen.length);
    at += seen.length;
    const isAsItIs =
      seen.length > 0 &&
      isPlainMessage(message) &&
      ruled.length === seen.length &&
      ruled.every((call, index) => isReleased(release, call) && hasItsId(seen[index], call));
    if (isAsItIs) return choice;
    isChanged = true;
    return { ...choice, ...releaseMessage(message, seen, ruled, release, choice["finish_reason"]) };
  });
  return isChanged ? result : null;
}

/** A legacy call has no id in the message. */
function hasItsId(seen: SeenCall | undefined, { id }: RuledCall): boolean {
  return seen?.kind === "legacy" || seen?.id === id;
}

function releaseMessage(
  message: Json,
  seen: readonly SeenCall[],
  ruled: readonly RuledCall[],
  release: Release,
  finishReason: unknown,
): { message: Json; finish_reason: unknown } {
  const released = seen.flatMap((call, index) => {
    const ruling = ruled[index];
    return ruling !== undefined && isReleased(release, ruling) ? [{ call, id: ruling.id }] : [];
  });
  const rest = withoutCalls(message);
  const missing = removalNotice(release, ruled) ?? (seen.length === 0 ? UNREADABLE : null);
  const text = typeof rest["content"] === "string" && rest["content"] !== "" ? `${rest["content"]}\n\n` : "";
  const content = missing === null ? {} : { content: text + missing };
  return {
    message: { ...rest, ...content, ...writeCalls(released) },
    finish_reason: released.length === 0 ? "stop" : finishReason,
  };
}

const UNREADABLE = "[The Flow Layer removed a tool call that cannot be read]";

/** Calls as a message or a delta carries them. */
export function writeCalls(
  calls: readonly { readonly call: SeenCall; readonly id: string; readonly index?: number }[],
): Record<string, unknown> {
  const listed = calls.filter(({ call }) => call.kind !== "legacy");
  const legacy = calls.find(({ call }) => call.kind === "legacy")?.call;
  return {
    ...(listed.length === 0
      ? {}
      : {
          tool_calls: listed.map(({ call, id, index }) => ({
            ...(index === undefined ? {} : { index }),
            id,
            ...(call.kind === "custom"
              ? { type: "custom", custom: { name: call.name, input: call.arguments } }
              : { type: "function", function: { name: call.name, arguments: call.arguments } }),
          })),
        }),
    ...(legacy === undefined ? {} : { function_call: { name: legacy.name, arguments: legacy.arguments } }),
  };
}
