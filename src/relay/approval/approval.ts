/**
 * Tool approval: what a request may bring back, and what an answer may release.
 *
 * Deny by default. The calls of a gated answer are on record before anything of them is released; results of recorded
 * calls are held against the record whatever route they come with. When the record does not answer, a request with
 * results is refused, and so is an answer with calls.
 */
import { readResults, usedIds } from "../../approvals/calls.ts";
import {
  checkResults,
  expectCalls,
  findStep,
  pause,
  recordAnswer,
  toRecord,
  waitForDecision,
} from "../../approvals/client.ts";
import { harmlessAnswer, withNamedBlocks } from "../../approvals/extras.ts";
import { canonicalValue, type ToolRules } from "../../approvals/match.ts";
import { firstUngateable } from "../../approvals/provider-run.ts";
import {
  callsOfAnswer,
  isReleased,
  isWaiting,
  overallStatus,
  type Release,
  releasedAnswer,
  toolApproval,
} from "../../approvals/release.ts";
import { MAX_CALLS, type StreamGate } from "../../approvals/stream-gate.ts";
import type { AnswerToRecord, CallToRecord, ClaimVerdict, Ruling, StoredStep } from "../../approvals/types.ts";
import type { Env } from "../../config.ts";
import type { Answer } from "../../conversation/answer.ts";
import type { SeenCall } from "../../conversation/tool-turns.ts";
import { type ErrorCode, RouterError } from "../../http/errors.ts";
import { unexpectedFault } from "../../http/internal-error.ts";
import { sha256, toHex } from "../../keys/hash.ts";
import { stringifyRaw } from "../../lib/raw-json.ts";
import { keyIdOfTrace } from "../../traces/schema.ts";
import { foreignConversation } from "../../wires/asked.ts";
import type { ChatRequest } from "../../wires/openai-chat/request-fields.ts";
import type { AnswerContext } from "../../wires/wire.ts";
import type { Door, GateView, Unread } from "../door.ts";
import type { Exchange } from "../trace.ts";
import type { Caller, CallGate, GateEnd, ResolvedRoute, WholeAnswer } from "../types.ts";

const COMMENT_EVERY_MS = 10_000;

/** The ruling for an answer without tool calls. */
const NOTHING_RULED: Release = { ruling: { calls: [], expiresAt: 0 }, delivery: "hold", traceId: "" };

export interface ReleasedAnswer {
  /** `null`: as it came. */
  readonly answer: Answer | null;
  /** `null`: it calls nothing. */
  readonly release: Release | null;
}

function tooLarge(): RouterError {
  return new RouterError("upstream_failed", "The tool calls of the answer are too large to be recorded for approval.");
}

export type Say = (text: string) => Promise<boolean>;

export interface ApprovalInput {
  readonly records: Env["TOOL_APPROVALS"];
  readonly caller: Caller;
  readonly route: ResolvedRoute;
  readonly request: ChatRequest;
  readonly door: Door;
  readonly exchange: Exchange;
  /** Aborts when the client leaves. */
  readonly clientSignal: AbortSignal;
}

/** Refusals, the one that says most first. */
const REFUSALS: readonly {
  readonly code: ErrorCode;
  readonly verdicts: readonly ClaimVerdict[];
  readonly message: string;
}[] = [
  {
    code: "tool_call_altered",
    verdicts: ["altered"],
    message:
      "The request carries results of tool calls that are not the calls that were approved. Send them as they came.",
  },
  {
    code: "tool_call_denied",
    verdicts: ["denied"],
    message: "The request carries results of tool calls that were denied. Leave them out.",
  },
  {
    code: "tool_approval_expired",
    verdicts: ["expired"],
    message: "The request carries results of tool calls whose approval has expired. Let the model make the call again.",
  },
  {
    code: "tool_approval_required",
    verdicts: ["pending", "unknown"],
    message: "The request carries results of tool calls that were not approved. POST /v1/approvals/{id} decides them.",
  },
];

/** A call whose result came under another id. */
const OTHER_ID =
  " They are calls that are on record under other ids. Agents that are gated and agents that are not need keys or apps of their own.";

export class ToolApproval implements CallGate {
  readonly #input: ApprovalInput;
  /** As it was admitted. */
  #request: ChatRequest;
  #view: GateView;

  constructor(input: ApprovalInput) {
    this.#input = input;
    this.#request = input.request;
    this.#view = input.door.gateView(input.request);
  }

  get rules(): ToolRules {
    return this.#input.route.policy.tools;
  }

  /**
   * The request as it may go on: behind the gate without its unread members. Throws 403 when it carries a tool
   * result that may not go on, 400 for what cannot be held to approvals, 503 when the record cannot be read.
   */
  async admit(): Promise<ChatRequest> {
    const { records, caller, route } = this.#input;
    const isGated = route.requireToolApproval;
    const unread = this.#view.unread();
    const isRead = unread.fault === null && unread.members.length === 0;
    if (isGated) refuseFault(unread);
    if (!this.#view.hasResults && (isRead || isGated)) {
      if (isGated) expectCalls(records, caller.key.id);
    } else if (!(await this.#mayGoOn(isGated)) && !isGated) return this.#request;
    refuseFault(unread);
    if (unread.members.length > 0) {
      this.#request = { ...this.#view.withoutUnread(), leftOut: unread.members };
      this.#view = this.#input.door.gateView(this.#request);
    }
    if (isGated) this.#refuseUngateable();
    return this.#request;
  }

  /** Throws when a result may not go on. Else: are calls of the key on record? */
  async #mayGoOn(isGated: boolean): Promise<boolean> {
    const { records, caller } = this.#input;
    const read = this.#view.hasResults ? readResults(this.#view.toolTurns()) : [];
    const claims = read.map((claim) => ({ ...claim, calls: this.#named(claim.calls) }));
    const checked = await checkResults(records, caller.key.id, claims, isGated, caller.app);
    const refusable = claims.map((claim, at) => {
      const verdict = checked.verdicts[at] ?? "pending";
      return {
        claim,
        recorded: checked.recorded[at] ?? null,
        verdict: verdict === "unknown" && !isGated ? null : verdict,
      };
    });
    for (const { code, verdicts, message } of REFUSALS) {
      const refused = refusable.filter(({ verdict }) => verdict !== null && verdicts.includes(verdict));
      if (refused.length === 0) continue;
      const hasOtherIds = refused.some(({ recorded }) => recorded !== null);
      const ids = refused.map(({ claim, recorded }) => recorded ?? claim.id);
      const details = { tool_calls: [...new Set(ids)] };
      throw new RouterError(code, hasOtherIds ? message + OTHER_ID : message, { param: "messages", details });
    }
    return checked.mayHaveCalls;
  }

  #refuseUngateable(): void {
    const found = firstUngateable(this.#view.conversation(), this.rules);
    if (found === null) return;
    const { path: param, name } = found;
    const message = `\`${param}\`: the provider runs \`${name}\` by itself, so its calls cannot be approved. Leave it out, or name it in the policy's \`tools.auto_approve\`.`;
    throw new RouterError("tool_not_gateable", message, { param });
  }

  /**
   * What goes out of a whole answer: as it came where it says nothing but what was read and all of it is released, else
   * rebuilt, so that nothing unread passes. `null`: nothing has to be approved. Throws when its calls cannot be recorded.
   */
  async releaseOf(whole: WholeAnswer): Promise<ReleasedAnswer | "client_gone" | null> {
    if (!this.#input.route.requireToolApproval) return null;
    const own = whole.toAnswer();
    const named = withNamedBlocks(own, this.rules);
    const isPlain = named === own && whole.isPlain();
    const answer = isPlain ? own : harmlessAnswer(named);
    const calls = callsOfAnswer(answer);
    if (calls.length > MAX_CALLS) throw tooLarge();
    const toBody = (): string => (isPlain ? whole.text : this.#bodyOf(answer, whole.context));
    const release = calls.length === 0 ? null : await this.#rule(calls, toBody, null);
    if (release === "client_gone") return release;
    const released = releasedAnswer(answer, release ?? NOTHING_RULED);
    return { answer: isPlain && released === answer ? null : released, release };
  }

  async settle(held: StreamGate, context: AnswerContext, say: Say): Promise<GateEnd> {
    try {
      const toBody = (): string | null => {
        const answer = held.answer();
        return answer === null ? null : this.#bodyOf(answer, context);
      };
      const release = await this.#rule(held.calls(), toBody, say);
      if (release === "client_gone") return { kind: release };
      const approval = toolApproval(release);
      const flow = approval.status === "pending" ? { tool_approval: approval } : null;
      const raw = flow === null ? held.unchanged(release) : null;
      return { kind: "release", raw, events: raw === null ? held.finish(release) : [], flow };
    } catch (error) {
      if (!(error instanceof RouterError)) unexpectedFault(error, this.#input.exchange.traceId);
      return { kind: "unrecorded" };
    }
  }

  #bodyOf(answer: Answer, context: AnswerContext): string {
    return stringifyRaw(this.#input.door.wire.writeAnswer(answer, context));
  }

  /** The held step that the request asks for. Throws 404 when there is none, 400 when the request is another step. */
  async heldStep(traceId: string): Promise<StoredStep> {
    const { records, caller } = this.#input;
    const keyId = caller.key.id;
    const step = keyIdOfTrace(traceId) === keyId ? await findStep(records, keyId, traceId) : null;
    if (step === null) {
      throw new RouterError("unknown_trace", "No held step belongs to this trace id.", { param: "route.resume" });
    }
    if (step.digest !== (await this.#digest())) {
      const message = "This is not the step that was held. Send the request as it was, with `route.resume` added.";
      throw new RouterError("invalid_request", message, { param: "route.resume" });
    }
    return step;
  }

  /** Waits until a recorded answer is decided, at most `wait_ms`, and says what may be released of it. */
  async releaseStep(traceId: string, ruling: Ruling, say: Say | null): Promise<Release | "client_gone"> {
    return this.#await({ ruling, delivery: "hold", traceId }, 0, say);
  }

  async #rule(
    calls: readonly SeenCall[],
    toBody: () => string | null,
    say: Say | null,
  ): Promise<Release | "client_gone"> {
    const { records, route, exchange } = this.#input;
    const { delivery, ...rules } = route.policy.tools;
    const { traceId } = exchange;
    const toBeRecorded = await toRecord(this.#named(calls), usedIds(this.#view.toolTurns()), rules);
    const mayWait = delivery === "hold" && toBeRecorded.some(({ verdict }) => verdict === "pending");
    const recorded = await recordAnswer(records, await this.#answer(toBeRecorded, mayWait ? toBody() : null));
    if (!recorded.ok) throw tooLarge();
    return this.#await({ ruling: recorded.ruling, delivery, traceId }, recorded.releaseInMs, say);
  }

  /** Members of namespaces by the name that people write rules for: `<namespace>.<name>`. */
  #named<Call extends { readonly name: string }>(calls: readonly Call[]): readonly Call[] {
    const { namespaces } = foreignConversation(this.#request) ?? {};
    if (namespaces === undefined) return calls;
    return calls.map((call) => {
      const own = namespaces.get(call.name);
      return own === undefined ? call : { ...call, name: `${own.namespace}.${own.name}` };
    });
  }

  async #answer(calls: readonly CallToRecord[], body: string | null): Promise<AnswerToRecord> {
    const { caller, route, exchange } = this.#input;
    const { name, version } = route.record;
    return {
      traceId: exchange.traceId,
      keyId: caller.key.id,
      env: caller.key.env,
      app: caller.app,
      route: version === 0 ? name : `flow/${name}`,
      ttlMs: route.policy.tools.ttl_seconds * 1000,
      calls,
      step: body === null ? null : { digest: await this.#digest(), body },
    };
  }

  async #await(first: Release, releaseInMs: number, say: Say | null): Promise<Release | "client_gone"> {
    const { exchange, route, clientSignal } = this.#input;
    const startedAt = Date.now();
    const waited = isWaiting(first) ? await this.#decided(first, startedAt + route.policy.tools.wait_ms, say) : first;
    const release = waited ?? first;
    if (isWaiting(first)) exchange.approvalWaitMs = Date.now() - startedAt;
    if (waited === null || clientSignal.aborted) return "client_gone";
    const mayUse = release.ruling.calls.some((call) => isReleased(release, call));
    if (mayUse) await pause(startedAt + releaseInMs - Date.now(), clientSignal);
    const status = overallStatus(release.ruling);
    exchange.toolApproval = status === "pending" || status === "approved" ? status : "required";
    return release;
  }

  /** `null`: the client left meanwhile. */
  async #decided(release: Release, until: number, say: Say | null): Promise<Release | null> {
    const { records, caller, clientSignal } = this.#input;
    const gone = new AbortController();
    const over = new AbortController();
    const leave = (): void => gone.abort();
    if (clientSignal.aborted) leave();
    clientSignal.addEventListener("abort", leave, { once: true });
    const comments = say === null ? null : comment(say, this.#input.door.keepAlive, over.signal, leave);
    const { traceId } = release;
    const ruling = await waitForDecision(records, caller.key.id, traceId, until, gone.signal);
    over.abort();
    clientSignal.removeEventListener("abort", leave);
    await comments;
    return gone.signal.aborted ? null : { ...release, ruling: ruling ?? release.ruling };
  }

  /** What makes a step the same step: its route, how long the conversation is, and its last message. */
  async #digest(): Promise<string> {
    const { route } = this.#input;
    const messages = this.#request.fields["messages"];
    const all: readonly unknown[] = Array.isArray(messages) ? messages : [];
    const text = canonicalValue([route.record.name, all.length, all.at(-1)]);
    return toHex(await sha256(text));
  }
}

function refuseFault({ fault }: Unread): void {
  if (fault === null) return;
  const why = "This key's tool calls need approval, so members that the router does not read are refused.";
  throw new RouterError("invalid_request", `${fault.message}. ${why}`, { param: fault.path });
}

/** Tells a waiting client that the connection lives, and finds out when it does not. Never rejects. */
async function comment(say: Say, text: string, over: AbortSignal, leave: () => void): Promise<void> {
  while (!over.aborted) {
    if (!(await say(text))) return leave();
    await pause(COMMENT_EVERY_MS, over);
  }
}
