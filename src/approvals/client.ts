/**
 * A key's record of tool calls as the rest of the router sees it.
 *
 * Everything here may be repeated, so each call is tried once more on a fresh stub. What an unreachable record means is
 * always the same: denied. The request is answered 503 `ledger_unavailable`, and nothing is released or sent.
 */
import type { SeenCall } from "../conversation/tool-turns.ts";
import { callWithRetry } from "../durable/call.ts";
import { RouterError } from "../http/errors.ts";
import { sha256, toHex } from "../keys/hash.ts";
import { withTimeout } from "../lib/time/with-timeout.ts";
import { type ToolRules, verdictOf } from "./match.ts";
import type { ToolApprovals } from "./tool-approvals.ts";
import type {
  AnswerToRecord,
  Approval,
  ApprovalOutline,
  CallToRecord,
  CheckAnswer,
  DecideAnswer,
  Decision,
  RecordAnswer,
  ResultClaim,
  Ruling,
  StoredStep,
} from "./types.ts";

const CALL_LIMIT_MS = 5_000;
/** One turn of a wait. While it lasts the object stays in memory. */
const TURN_MS = 20_000;
/** The answer to a turn may be on its way for so long. */
const TURN_GRACE_MS = 5_000;
const MAX_PAUSE_MS = 2_000;
const KEYS_AT_A_TIME = 6;
/** A page of approvals ends early here, whatever its arguments are: an isolate has to hold it. */
const MAX_PAGE_CHARACTERS = 4_000_000;
/** Keys that are believed to have no recorded call; beyond it all are asked for again. */
const MAX_BELIEFS = 10_000;

type Namespace = DurableObjectNamespace<ToolApprovals>;
type Stub = DurableObjectStub<ToolApprovals>;

/** Ids that no address can name: they would be taken for steps of its path, encoded or not. */
const NO_SEGMENT: ReadonlySet<string> = new Set([".", "..", ""]);

/** Key id to the epoch ms until which its record is known to be empty. */
const noneUntil = new Map<string, number>();
/** Keys whose record knows that calls may come. */
const expecting = new Set<string>();

/**
 * The calls as they are recorded. An id that `usedIds` holds, or another call of the answer has, or that cannot be kept as
 * it is, is left out: the record gives the call one of its own.
 */
export async function toRecord(
  calls: readonly SeenCall[],
  usedIds: readonly string[],
  rules: ToolRules,
): Promise<CallToRecord[]> {
  const used = new Set(usedIds);
  const own = calls.map(({ id }) => {
    if (id === null || used.has(id) || !id.isWellFormed() || NO_SEGMENT.has(id)) return null;
    used.add(id);
    return id;
  });
  return Promise.all(
    calls.map(async (call, at) => ({
      ...{ id: own[at] ?? null, kind: call.kind, name: call.name, arguments: call.arguments },
      sha256: toHex(await sha256(call.arguments)),
      // Half a character cannot be kept as it is, and so cannot be approved.
      verdict: call.name.isWellFormed() && call.arguments.isWellFormed() ? verdictOf(call.name, rules) : "denied",
    })),
  );
}

/** Records the calls of an answer. Rejects with `ledger_unavailable` when they are not recorded. */
export async function recordAnswer(namespace: Namespace, answer: AnswerToRecord): Promise<RecordAnswer> {
  noneUntil.delete(answer.keyId);
  return ask<RecordAnswer>(namespace, answer.keyId, async (record) => await record.record(answer));
}

/**
 * Tells the record of a key, behind the back of its request, that a call may have to be recorded. What isolates believe of
 * an empty record then ends while the model still thinks, not when the call is to be released. It is not awaited: a
 * record that does not hear of it only lets the first release come later.
 */
export function expectCalls(namespace: Namespace, keyId: string): void {
  if (expecting.has(keyId)) return;
  if (expecting.size >= MAX_BELIEFS) expecting.clear();
  expecting.add(keyId);
  checkResults(namespace, keyId, [], true, null).catch(() => expecting.delete(keyId));
}

/** What the record says of the results that a request carries. */
export interface CheckedResults extends Required<Pick<CheckAnswer, "verdicts" | "recorded">> {
  /** Calls of the key are on record, as far as the record says. */
  readonly mayHaveCalls: boolean;
}

/**
 * May the results of these calls go on to a model? `isGated`: the answer may hold calls to be recorded. `app`: on whose
 * behalf the key calls. Rejects with `ledger_unavailable`.
 */
export async function checkResults(
  namespace: Namespace,
  keyId: string,
  claims: readonly ResultClaim[],
  isGated: boolean,
  app: string | null,
): Promise<CheckedResults> {
  const askedAt = Date.now();
  const isNone = !isGated && (noneUntil.get(keyId) ?? 0) > askedAt;
  if (isNone) return { verdicts: claims.map(() => "unknown"), recorded: claims.map(() => null), mayHaveCalls: false };
  const check = async (record: Stub): Promise<CheckAnswer> => await record.check([...claims], isGated, app);
  const answer = await ask<CheckAnswer>(namespace, keyId, check);
  if (noneUntil.size >= MAX_BELIEFS) noneUntil.clear();
  if (answer.noneForMs > 0) noneUntil.set(keyId, askedAt + answer.noneForMs);
  else noneUntil.delete(keyId);
  const { verdicts, recorded = [], noneForMs, hasCalls = noneForMs === 0 } = answer;
  return { verdicts, recorded, mayHaveCalls: hasCalls };
}

/** A held answer, `null` when this key has none under the trace id. Rejects with `ledger_unavailable`. */
export function findStep(namespace: Namespace, keyId: string, traceId: string): Promise<StoredStep | null> {
  return ask<StoredStep | null>(namespace, keyId, async (record) => await record.step(traceId));
}

/**
 * Waits until nothing of the answer is pending, at most until `until` (epoch ms) or until `signal` aborts. `null` when
 * the record said nothing all that time. Never rejects: what is not known to be decided is not.
 */
export async function waitForDecision(
  namespace: Namespace,
  keyId: string,
  traceId: string,
  until: number,
  signal: AbortSignal,
): Promise<Ruling | null> {
  let known: Ruling | null = null;
  let failures = 0;
  while (!signal.aborted && Date.now() < until) {
    const turnMs = Math.min(TURN_MS, until - Date.now());
    try {
      const turn = async (): Promise<Ruling | null> => await namespace.getByName(keyId).waitFor(traceId, turnMs);
      known = (await withTimeout(turnMs + TURN_GRACE_MS, turn, signal)) ?? known;
      failures = 0;
    } catch {
      await pause(Math.min(MAX_PAUSE_MS, 50 * 2 ** failures++, Math.max(0, until - Date.now())), signal);
      continue;
    }
    if (known !== null && !known.calls.some(({ status }) => status === "pending")) return known;
  }
  return known;
}

/** Rejects with `ledger_unavailable`. */
export function decideCall(namespace: Namespace, keyId: string, decision: Decision): Promise<DecideAnswer> {
  return ask<DecideAnswer>(namespace, keyId, async (record) => await record.decide(decision));
}

/** A call in the list of all keys. `seq`: its place there, which a cursor names. */
export interface ListedPlace {
  readonly keyId: string;
  readonly toolCallId: string;
  readonly seq: number;
}

export interface ShownApprovals {
  readonly data: readonly Approval[];
  /** The place after which the next page begins; `null`: all places are shown. */
  readonly cutAfter: number | null;
}

/**
 * The approvals at `places`, in their order, as many as a page holds; those that a record has forgotten are left out.
 * Rejects likewise.
 */
export async function showApprovals(namespace: Namespace, places: readonly ListedPlace[]): Promise<ShownApprovals> {
  const outlines = await outlinesOf(namespace, places);
  const shown: { readonly place: ListedPlace; readonly outline: ApprovalOutline }[] = [];
  let cutAfter: number | null = null;
  let characters = 0;
  let lastSeq: number | null = null;
  for (const place of places) {
    const outline = outlines.get(nameOf(place));
    characters += outline === undefined ? 0 : outline.approval.arguments.length + outline.missing;
    if (lastSeq !== null && characters > MAX_PAGE_CHARACTERS) {
      cutAfter = lastSeq;
      break;
    }
    lastSeq = place.seq;
    if (outline !== undefined) shown.push({ place, outline });
  }
  const long = await longArguments(
    namespace,
    shown.filter(({ outline }) => outline.missing > 0).map(({ place }) => place),
  );
  const data = shown.map(({ place, outline: { approval } }) => {
    return { ...approval, arguments: long.get(nameOf(place)) ?? approval.arguments };
  });
  return { data, cutAfter };
}

const nameOf = ({ keyId, toolCallId }: Pick<ListedPlace, "keyId" | "toolCallId">): string => `${keyId} ${toolCallId}`;

async function outlinesOf(
  namespace: Namespace,
  places: readonly ListedPlace[],
): Promise<ReadonlyMap<string, ApprovalOutline>> {
  const found = new Map<string, ApprovalOutline>();
  await eachKey(places, async (keyId, ids) => {
    const outlines = await ask<ApprovalOutline[]>(namespace, keyId, async (record) => await record.outline(ids));
    for (const outline of outlines) {
      found.set(nameOf({ keyId, toolCallId: outline.approval.tool_call_id }), outline);
    }
  });
  return found;
}

async function longArguments(
  namespace: Namespace,
  places: readonly ListedPlace[],
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  await eachKey(places, async (keyId, ids) => {
    const texts = await ask<string[]>(namespace, keyId, async (record) => await record.argumentsOf(ids));
    for (const [at, toolCallId] of ids.entries()) found.set(nameOf({ keyId, toolCallId }), texts[at] ?? "");
  });
  return found;
}

/** `work` once for each key of `places`, some keys at a time. */
async function eachKey(
  places: readonly ListedPlace[],
  work: (keyId: string, ids: readonly string[]) => Promise<void>,
): Promise<void> {
  const waiting = Map.groupBy(places, ({ keyId }) => keyId).entries();
  const worker = async (): Promise<void> => {
    // All of them take from the same iterator.
    for (const [keyId, group] of waiting) {
      await work(
        keyId,
        group.map(({ toolCallId }) => toolCallId),
      );
    }
  };
  await Promise.all(Array.from({ length: KEYS_AT_A_TIME }, worker));
}

async function ask<T>(namespace: Namespace, keyId: string, call: (record: Stub) => Promise<T>): Promise<T> {
  try {
    return await callWithRetry(CALL_LIMIT_MS, async () => call(namespace.getByName(keyId)));
  } catch {
    const message =
      "The record of this key's tool calls did not answer, so the request was not let through. Retry shortly.";
    throw new RouterError("ledger_unavailable", message);
  }
}

/** Ends early when `signal` aborts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0 && !signal.aborted) await scheduler.wait(ms, { signal }).catch(() => {});
}

/** Erases the key's recorded calls. Rejects with `ledger_unavailable`. */
export async function eraseCalls(namespace: Namespace, keyId: string): Promise<void> {
  await callWithRetry(CALL_LIMIT_MS, async () => namespace.getByName(keyId).erase()).catch(() => {
    throw new RouterError("ledger_unavailable", "The record of tool calls did not answer. Try again in a moment.");
  });
}
