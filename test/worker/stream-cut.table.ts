/** How a stream of a provider breaks after its first byte, for `stream-cut.test.ts` and for clients that read it. */
import { chunks, type Script } from "../support/upstream.ts";

export const MODES = [
  { mode: "native", body: { stream_options: { include_usage: true } } },
  { mode: "pump", body: {} },
] as const;

export const [ROLE = "", ONE = "", TWO = ""] = chunks("one two three");
export const FINISH = chunks("x", { usage: null }).at(-2) ?? "";
export const HALF = 'data: {"id":"chatcmpl-test","choices":[{"index":0,"del';

const quick = { timeouts: { idle_ms: 300, total_ms: 5_000 } };
/** A reset may overtake the bytes just before it, so what matters has left some time earlier. */
export const CUTS: {
  name: string;
  outcome: string;
  policy: Record<string, object>;
  script: (last: string[]) => Script;
}[] = [
  {
    name: "closed in its middle",
    outcome: "network",
    policy: quick,
    script: (last) => ({ events: [ROLE, ONE, ...last], gapMs: 20, end: "fin" }),
  },
  {
    name: "reset",
    outcome: "network",
    policy: quick,
    script: (last) => ({ events: [ROLE, ONE, ...last, ":"], gapMs: 40, end: "reset" }),
  },
  {
    name: "ended properly but unfinished",
    outcome: "network",
    policy: quick,
    script: (last) => ({ events: [ROLE, ONE, ...last] }),
  },
  {
    name: "ended by its connection, unfinished",
    outcome: "network",
    policy: quick,
    script: (last) => ({ events: [ROLE, ONE, ...last], closeDelimited: true, end: "fin" }),
  },
  {
    name: "silent for idle_ms",
    outcome: "timeout",
    policy: quick,
    script: (last) => ({ events: [ROLE, ONE, ...last], end: "stall" }),
  },
  {
    name: "longer than total_ms",
    outcome: "timeout",
    policy: { timeouts: { idle_ms: 2_000, total_ms: 400 } },
    script: (last) => ({ events: [ROLE, ONE, ...Array<string>(100).fill(TWO), ...last], gapMs: 20 }),
  },
];

const error = { message: "vendor words, key sk-live-0123456789abcdef", type: "server_error", code: null };
const failed = { index: 0, delta: { content: "" }, finish_reason: "error" };
export const ERRORS: { name: string; events: (string | object)[]; sentDone?: true; isNamed: boolean }[] = [
  { name: "an error object", events: [{ error }], isNamed: true },
  {
    name: "an error under its own event name",
    events: [`event: error\ndata: ${JSON.stringify({ error })}\n\n`],
    isNamed: true,
  },
  { name: "an error text", events: [{ error: "vendor words" }], isNamed: true },
  { name: "an error beside a finish reason", events: [{ id: "c", choices: [failed], error }], isNamed: true },
  { name: "the finish reason `error`", events: [{ id: "c", choices: [failed] }], isNamed: false },
  { name: "an error behind the finish reason", events: [FINISH, { error }], isNamed: true },
  { name: "an error, then [DONE]", events: [{ error }, "data: [DONE]\n\n"], sentDone: true, isNamed: true },
  {
    name: "an error behind the finish reason, then [DONE]",
    events: [FINISH, { id: "c", choices: [failed], error }, "data: [DONE]\n\n"],
    sentDone: true,
    isNamed: true,
  },
];
