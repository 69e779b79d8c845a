/**
 * Every fault of a provider and of the platform the router must survive, one row each: what is played, and what has to
 * come of it for the client, for both upstreams and on the record.
 *
 * The ids are those of the catalogue of faults (F1 to F64, P1 to P25); a variant of a fault is a row of its own. Rows
 * are data: how they are played and what every one of them must have stands in `provider-faults.test.ts`. What cannot
 * be shown here, or is shown elsewhere, is listed at the end with the reason or the test.
 */
import { brotliCompressSync, constants, deflateSync, gzipSync } from "node:zlib";
import type { ErrorCode } from "../../src/http/errors.ts";
import type { AttemptOutcome } from "../../src/traces/schema.ts";
import { CANARY_SECRET } from "../support/chat.ts";
import type { Place } from "../support/fault-places.ts";
import { type Bytes, chunk, type FaultScript, head, LAST_CHUNK, response, type Step } from "../support/fault-server.ts";
import { type AnswerSpec, chunks, completion } from "../support/upstream.ts";

/** Planted in the body of every faulty answer: no client and no log may ever see it. */
export const BODY_CANARY = "canary-body-4d17";

/** The three ways an answer takes through the router. */
export type Mode = "whole" | "pump" | "native";

export const REQUESTS: Readonly<Record<Mode, object>> = {
  whole: {},
  pump: { stream: true },
  native: { stream: true, stream_options: { include_usage: true } },
};

type FailureText = `${AttemptOutcome | "invalid_request"};${number | "-"}`;

interface Story {
  /** Attempts at the first target that failed, as `class;status`; `-` where no response head came. */
  readonly failed?: readonly FailureText[];
  /** Requests that reached the first upstream. Default: one per attempt. */
  readonly calls?: number;
}

/** The second target's answer; nobody sees that there was a first. */
interface MovesOn extends Story {
  readonly sees: "second";
  readonly failed: readonly FailureText[];
}

/** The first target's answer, complete. */
interface Answers extends Story {
  readonly sees: "answer";
  readonly text: string | RegExp;
  /** Prompt and completion tokens on the record. Default: 10 and 5, as the provider said. `null`: counted. */
  readonly tokens?: readonly [number, number] | null;
  /** Names of the calls on the record. */
  readonly tools?: readonly string[];
}

/** What came so far, one error event, no `[DONE]`. */
interface Cut extends Story {
  readonly sees: "cut";
  readonly text: string | RegExp;
  readonly outcome: AttemptOutcome;
  readonly tokens?: readonly [number, number] | null;
}

interface Refusal extends Story {
  readonly sees: "refusal";
  readonly failed: readonly FailureText[];
  readonly status: number;
  readonly code: ErrorCode;
  /** Providers that were still at work may bill it, so it is counted. */
  readonly isCounted?: true;
}

export type Expected = MovesOn | Answers | Cut | Refusal;

export interface Row {
  /** The catalogue's id, and what tells its variants apart. */
  readonly id: string;
  readonly at?: Place;
  /** What the first target's model is called like. */
  readonly model?: string;
  /** What the first target plays; of a list one script per call, the last one stays. Nobody may ask `canaryUrl`. */
  readonly play?: (mode: Mode, canaryUrl: string) => FaultScript | readonly FaultScript[];
  readonly expect: Expected | Readonly<Partial<Record<Mode, Expected>>>;
  /** Default: all three, or those `expect` names. */
  readonly modes?: readonly Mode[];
  /** Merged into the policy. */
  readonly policy?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** The clock of the router that ends a stream; a whole answer knows only `total`. It is short, the others long. */
  readonly clock?: "first_token" | "idle" | "total";
  /** What the client hears when the first target is the only one. Default: by the class of the last failure. */
  readonly alone?: {
    readonly status: number;
    readonly code: ErrorCode;
    readonly retryAfter?: string;
    /** The provider names no time that can be read. */
    readonly isUnnamed?: true;
  } | null;
  /** The first target's upstream may have sent no more than this when the router hung up. */
  readonly maxBytes?: number;
  /** Requests of the same route before the one that counts. */
  readonly warmUps?: number;
  /** Merged into the request. */
  readonly body?: object;
  /** What the platform does with calls to the first target. */
  readonly platform?: "queued" | "limit";
  /** The error in the middle of it reaches the client as the provider wrote it: nobody reads the stream. */
  readonly ownError?: true;
}

// What answers are made of.

const JSON_TYPE = { "content-type": "application/json" };
const SSE_TYPE = { "content-type": "text/event-stream" };
const KIB = 1024;
const MIB = 1024 * KIB;

export const TEXT = "one two three";
const [ROLE = "", ONE = "", TWO = "", THREE = "", FINISH = "", USAGE = "", DONE = ""] = chunks(TEXT);
const EVENTS = [ROLE, ONE, TWO, THREE, FINISH, USAGE, DONE];

const text = (value: object): string => JSON.stringify(value);
const json = (body: Bytes | object, headers: Readonly<Record<string, string>> = {}): FaultScript => [
  response(
    200,
    { ...JSON_TYPE, ...headers },
    body instanceof Uint8Array || typeof body === "string" ? body : text(body),
  ),
];
const page = (status: number | string, type: string, body: Bytes): FaultScript => [
  response(status, { "content-type": type }, body),
];
/** A head and chunks, one per text; what comes behind them is up to the row. */
const open = (type: Readonly<Record<string, string>>, steps: readonly Step[]): FaultScript => [
  head("200 OK", { ...type, "transfer-encoding": "chunked" }),
  ...steps.map((step) => (typeof step === "string" && step !== "fin" && step !== "reset" ? chunk(step) : step)),
];
const sse = (...steps: readonly Step[]): FaultScript => open(SSE_TYPE, steps);
/** The same, ended as HTTP wants it. */
const wholeSse = (...events: readonly string[]): FaultScript => [...sse(...events), LAST_CHUNK];

/** What is behind it may not overtake, or arrive together with, what is before it. */
const SETTLE: Step = { pauseMs: 40 };

const ANSWER = json(completion({ text: TEXT }));
const STREAM = wholeSse(...EVENTS);
/** The right answer to a request of `mode`. */
const good = (mode: Mode): FaultScript => (mode === "whole" ? ANSWER : STREAM);
/** One script for whole answers, one for streams. */
const either = (whole: FaultScript, stream: FaultScript) => (mode: Mode) => (mode === "whole" ? whole : stream);

/** An error as providers write it, with words that nobody may see and a secret that some repeat. */
const errorBody = (more: object = {}): object => ({
  error: { message: `vendor says ${CANARY_SECRET}`, type: "some_error", code: null, ...more },
  debug: BODY_CANARY,
});
const vendorError = (
  status: number,
  more: object = {},
  headers: Readonly<Record<string, string>> = {},
): FaultScript => [response(status, { ...JSON_TYPE, ...headers }, text(errorBody(more)))];
const HTML = `<html><title>${BODY_CANARY}</title>${CANARY_SECRET}</html>`;
const BIG_HTML = HTML.padEnd(MIB, " ");
const TAIL = ` ${BODY_CANARY}`;

// What rows expect.

const repeat = (failure: FailureText, times: number): readonly FailureText[] => Array<FailureText>(times).fill(failure);
const movesOn = (failure: FailureText, times = 1, more: Story = {}): MovesOn => ({
  sees: "second",
  failed: repeat(failure, times),
  ...more,
});
const answers = (more: Partial<Answers> = {}): Answers => ({ sees: "answer", text: TEXT, ...more });
const cut = (outcome: AttemptOutcome, more: Partial<Cut> = {}): Cut => ({
  sees: "cut",
  text: "one ",
  outcome,
  tokens: null,
  ...more,
});
const refused = (code: ErrorCode, failure: FailureText, status = 400): Refusal => ({
  sees: "refusal",
  failed: [failure],
  status,
  code,
});
/** Whole answers one way, streams the other. */
const apart = (whole: Expected, stream: Expected) => ({ whole, pump: stream, native: stream });
const streams = (stream: Expected) => ({ pump: stream, native: stream });

/** workerd has one message for a refused, closed and reset connection: all of them are tried once more. */
const LOST = movesOn("network;-", 2);
/** The connection ended inside the answer, before anything of it could be used. */
const LOST_IN_BODY = movesOn("network;200", 2);
const NO_ANSWER = movesOn("invalid_response;200");
const SILENT = movesOn("timeout;-");
const SILENT_IN_BODY = movesOn("timeout;200");
const SERVER_ERROR = movesOn("server_error;200");

/** Before there is a body both kinds of streams go the same way: one of them will do. */
const beforeBody = (rows: readonly Row[]): readonly Row[] => rows.map((row) => ({ modes: ["whole", "pump"], ...row }));

// The connection.

const CONNECTION = beforeBody([
  { id: "F1", at: "nobody listens", modes: ["whole", "pump", "native"], expect: { ...LOST, calls: 0 } },
  { id: "F2", at: "drops SYN", clock: "first_token", expect: { ...SILENT, calls: 0 } },
  { id: "F3", at: "no such name", expect: movesOn("network;-", 1, { calls: 0 }) },
  // The other variants of F5 fail for the reason they name, because this one does not fail.
  {
    id: "F5 none: trusted",
    at: "certificate of an authority that is trusted",
    play: good,
    expect: answers(),
  },
  ...(
    [
      ["expired", "certificate ran out"],
      ["not valid yet", "certificate of the future"],
      ["wrong host", "certificate of another host"],
      ["self-signed", "certificate signed by itself"],
      ["plain HTTP", "plain HTTP on the port for TLS"],
    ] as const
  ).map(([name, at]): Row => ({ id: `F5 ${name}`, at, play: good, expect: movesOn("network;-", 1, { calls: 0 }) })),
  { id: "F5 handshake stalls", at: "TLS handshake stalls", clock: "first_token", expect: { ...SILENT, calls: 0 } },
  { id: "F6 at accept", at: "closes at once", expect: { ...LOST, calls: 0 } },
  { id: "F6 behind the request", play: () => ["fin"], expect: LOST },
  { id: "F6 inside the head", play: () => ["HTTP/1.1 200 OK\r\ncontent-type: app", "fin"], expect: LOST },
  { id: "F7 at accept", at: "resets at once", expect: { ...LOST, calls: 0 } },
  { id: "F7 behind the request", play: () => ["reset"], expect: LOST },
  { id: "F8 an SSH greeting", play: () => ["SSH-2.0-OpenSSH_9.9\r\n"], expect: LOST },
  { id: "F8 a TLS alert", play: () => [Uint8Array.of(0x15, 3, 1, 0, 2, 2, 40), "fin"], expect: LOST },
  { id: "F8 a body without a head", play: () => [text(completion()), "fin"], expect: LOST },
  { id: "F8 HTTP/2", play: () => ["HTTP/2 200 OK\r\ncontent-length: 0\r\n\r\n"], expect: LOST },
  { id: "F8 a line that is no header", play: () => ["HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"], expect: LOST },
  { id: "F8 NUL in a header", play: () => ["HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n"], expect: LOST },
  {
    id: "F8 headers without end",
    play: () => ["HTTP/1.1 200 OK\r\n", { endless: "x-a: bbbbbbbb\r\n".repeat(4_096) }],
    expect: LOST,
    maxBytes: 8 * MIB,
  },
  { id: "F9", play: () => [], clock: "first_token", expect: SILENT },
  { id: "F10", play: () => [{ drip: head("200 OK", JSON_TYPE), everyMs: 100 }], clock: "first_token", expect: SILENT },
]);

// Status lines.

const informational =
  (...lines: readonly string[]) =>
  (mode: Mode): FaultScript => [...lines.map((line) => head(line, { link: "</x>; rel=preload" })), ...good(mode)];
const withStatus = (line: string): FaultScript => page(line, "application/json", text(completion()));

const INFORMATIONAL: readonly Row[] = [
  { id: "F11 100", play: informational("100 Continue"), expect: answers() },
  { id: "F11 103", play: informational("103 Early Hints"), expect: answers() },
  { id: "F11 102 three times", play: informational("102 X", "102 X", "102 X"), expect: answers() },
  { id: "F11 100, then silence", play: () => [head("100 Continue")], clock: "first_token", expect: SILENT },
];

const STATUS = beforeBody([
  ...["199 X", "099 X", "0 X", "1000 X", "abc X", "-200 X"].map(
    (line): Row => ({ id: `F12 ${line}`, play: () => withStatus(line), expect: LOST }),
  ),
  ...[600, 999].map(
    (status): Row => ({
      id: `F13 ${status}`,
      play: () => withStatus(`${status} X`),
      expect: movesOn(`invalid_response;${status}`),
    }),
  ),
  {
    id: "F13 101",
    play: () => [head("101 X", { upgrade: "websocket", connection: "upgrade" })],
    expect: movesOn("invalid_response;101"),
  },
  ...[204, 205].map(
    (status): Row => ({
      id: `F14 ${status}`,
      play: () => [response(status, JSON_TYPE, "")],
      expect: movesOn(`invalid_response;${status}`),
    }),
  ),
  { id: "F14 304", play: () => [response(304, {}, "")], expect: movesOn("invalid_response;304") },
  ...[301, 302, 303, 307, 308].map(
    (status): Row => ({
      id: `F15 ${status} to another host`,
      play: (_, location) => [response(status, { location }, HTML)],
      expect: movesOn(`invalid_response;${status}`),
    }),
  ),
  ...(
    [
      ["to the instance metadata", "http://169.254.169.254/latest/meta-data/"],
      ["to itself, a loop", "/v1/chat/completions"],
      ["to plain text", "data:application/json,{}"],
      ["to nowhere", ""],
    ] as const
  ).map(
    ([name, location]): Row => ({
      id: `F15 307 ${name}`,
      play: () => [response(307, { location }, HTML)],
      expect: movesOn("invalid_response;307"),
    }),
  ),
  {
    id: "F16",
    play: () => vendorError(400, { param: "temperature" }),
    expect: refused("upstream_invalid_request", "invalid_request;400"),
  },
  {
    id: "F16 as HTML",
    play: () => page(400, "text/html", HTML),
    expect: refused("upstream_invalid_request", "invalid_request;400"),
  },
  { id: "F17 401", play: () => vendorError(401), expect: movesOn("auth;401") },
  { id: "F17 403", play: () => vendorError(403), expect: movesOn("auth;403") },
  {
    id: "F17 a challenge",
    play: () => vendorError(401, {}, { "www-authenticate": "Basic realm=x" }),
    expect: movesOn("auth;401"),
  },
  { id: "F18 out of credit", play: () => vendorError(402), expect: movesOn("auth;402") },
  {
    id: "F18 in flight",
    play: () => vendorError(402, { metadata: { limit_source: "openrouter_in_flight_budget" } }, { "retry-after": "9" }),
    expect: movesOn("rate_limited;402"),
    alone: { status: 429, code: "upstream_rate_limited", retryAfter: "9" },
  },
  { id: "F19", play: () => vendorError(404, { code: "model_not_found" }), expect: movesOn("auth;404") },
  { id: "F20 408", play: () => vendorError(408), expect: movesOn("timeout;408") },
  { id: "F20 409", play: () => vendorError(409), expect: movesOn("server_error;409") },
  { id: "F20 425", play: () => vendorError(425), expect: movesOn("server_error;425") },
  ...[400, 413, 422].map(
    (status): Row => ({
      id: `F21 ${status} with its code`,
      // Its window is smaller than the second target's.
      model: "gpt-4o",
      play: () => vendorError(status, { code: "context_length_exceeded" }),
      expect: movesOn(`context_length;${status}`),
      alone: { status: 400, code: "context_length_exceeded" },
    }),
  ),
  ...[413, 422].map(
    (status): Row => ({
      id: `F21 ${status} without a code`,
      play: () => vendorError(status),
      expect: refused("upstream_invalid_request", `invalid_request;${status}`),
    }),
  ),
  {
    id: "F21 where fallback.on is empty",
    play: () => vendorError(400, { code: "context_length_exceeded" }),
    policy: { fallback: { on: [] } },
    expect: refused("context_length_exceeded", "context_length;400"),
  },
]);

// Rate limits and failing servers.

const limited = (id: string, headers: Readonly<Record<string, string>>, retryAfter: string, tries = 1): Row => ({
  id,
  play: () => vendorError(429, {}, headers),
  expect: movesOn("rate_limited;429", tries),
  alone: { status: 429, code: "upstream_rate_limited", retryAfter },
});
const unnamed = (id: string, headers: Readonly<Record<string, string>>): Row => ({
  ...limited(id, headers, "1"),
  alone: { status: 429, code: "upstream_rate_limited", retryAfter: "1", isUnnamed: true },
});
const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * 1000).toUTCString();

const LIMITS = beforeBody([
  limited("F22", { "retry-after": "30" }, "30"),
  { ...limited("F22 short enough to wait", { "retry-after": "1" }, "1", 2), alone: null },
  {
    ...limited("F23", {}, "30"),
    // The date counts from the provider's own clock, which is an hour behind.
    play: () => vendorError(429, {}, { date: inSeconds(-3_600), "retry-after": inSeconds(-3_570) }),
  },
  { ...limited("F23 in the past", {}, "1", 2), play: () => vendorError(429, {}, { "retry-after": inSeconds(-60) }) },
  limited("F24", { "retry-after-ms": "40" }, "1", 2),
  limited("F24 over Retry-After", { "retry-after-ms": "40", "retry-after": "30" }, "1", 2),
  unnamed("F25", {}),
  limited("F26 1000000000", { "retry-after": "1000000000" }, "60"),
  unnamed('F26 "1e9"', { "retry-after": "1e9" }),
  unnamed("F26 -1", { "retry-after": "-1" }),
  unnamed('F26 "soon"', { "retry-after": "soon" }),
  limited("F26 0", { "retry-after": "0" }, "1", 2),
  unnamed("F26 empty", { "retry-after": "" }),
  limited("F26 a date in the year 9999", { "retry-after": "Fri, 31 Dec 9999 23:59:59 GMT" }, "60"),
  // Those the contract names are tried once more.
  ...([500, 502, 503, 504, 529] as const).map(
    (status): Row => ({
      id: `F27 ${status}`,
      play: () => page(status, "text/html", BIG_HTML),
      expect: movesOn(`server_error;${status}`, 2),
    }),
  ),
  { id: "F27 520", play: () => page(520, "text/html", BIG_HTML), expect: movesOn("server_error;520") },
  { id: "F27 501", play: () => page(501, "text/html", BIG_HTML), expect: movesOn("server_error;501") },
  {
    id: "F27 503, its body without end",
    play: () => [
      head(503, { "content-type": "text/html", "transfer-encoding": "chunked" }),
      { endless: chunk(HTML.padEnd(16 * KIB)) },
    ],
    expect: movesOn("server_error;503", 2),
    maxBytes: 8 * MIB,
  },
  {
    // Its status says enough: no clock of the policy is waited for.
    id: "F27 503, its body never comes",
    play: () => [head(503, { ...JSON_TYPE, "content-length": "100" }), text(errorBody()).slice(0, 20)],
    alone: null,
    expect: movesOn("server_error;503"),
  },
  {
    id: "F27 503, its body is cut",
    play: () => [head(503, { ...JSON_TYPE, "content-length": "100" }), `{"x":"${BODY_CANARY}`, "fin"],
    expect: movesOn("server_error;503", 2),
  },
]);

const ERRORS_IN_BODIES: readonly Row[] = [
  { id: "F28", play: () => json(errorBody()), expect: SERVER_ERROR },
  { id: "F28 a text", play: () => json({ error: `no ${CANARY_SECRET}` }), expect: SERVER_ERROR },
  {
    id: "F28 a rate limit",
    play: () => json(errorBody({ type: "rate_limit_error" })),
    expect: movesOn("rate_limited;200"),
  },
  { id: "F28 beside an answer", play: () => json({ ...completion(), ...errorBody() }), expect: SERVER_ERROR },
  { id: "F28 in a list", play: () => json([errorBody()]), expect: SERVER_ERROR },
];

// Answers of the wrong kind.

const typed =
  (type: Readonly<Record<string, string>>) =>
  (mode: Mode): FaultScript =>
    mode === "whole" ? [response(200, type, text(completion({ text: TEXT })))] : [...open(type, EVENTS), LAST_CHUNK];

const KINDS: readonly Row[] = [
  { id: "F29", play: () => page(200, "text/html", BIG_HTML), expect: NO_ANSWER },
  { id: "F30", play: () => page(200, "text/plain", `It works!${TAIL}`), expect: NO_ANSWER },
  { id: "F30 with an answer in it", play: typed({ "content-type": "text/plain" }), expect: answers() },
  { id: "F31", play: typed({}), expect: answers() },
  // A provider that ignores `stream`: its answer is told as one.
  { id: "F32", play: () => json(completion({ text: TEXT })), modes: ["whole", "pump"], expect: answers() },
  { id: "F32 as a stream", play: () => json(completion({ text: TEXT }), SSE_TYPE), modes: ["pump"], expect: answers() },
  {
    id: "F32 to be native",
    play: () => json(completion({ text: TEXT }), SSE_TYPE),
    modes: ["native"],
    expect: NO_ANSWER,
  },
  { id: "F33", play: () => [...open(JSON_TYPE, EVENTS), LAST_CHUNK], expect: answers() },
  { id: "F34", play: either(json(""), wholeSse()), expect: NO_ANSWER },
  { id: "F34 only blanks", play: either(json(" \n"), wholeSse("\n\n\n")), expect: NO_ANSWER },
  { id: "F35", play: either(json({}), wholeSse("data: {}\n\n", DONE)), expect: NO_ANSWER },
  ...(
    [
      ["F35 null", null],
      ["F35 a number", 42],
      ["F35 a text", TAIL],
      ["F36", { ...completion(), choices: [] }],
      ["F37", { ...completion(), choices: null }],
      ["F37 choices of nothing", { ...completion(), choices: [null] }],
      ["F37 a choice without a message", { ...completion(), choices: [{ index: 0 }] }],
      ["F37 choices an object", { ...completion(), choices: { 0: {} } }],
    ] as const
  ).map(
    ([id, body]): Row => ({
      id,
      play: either(json(JSON.stringify(body)), wholeSse(`data: ${JSON.stringify(body)}\n\n`, DONE)),
      expect: NO_ANSWER,
    }),
  ),
];

// Bodies that cannot be read.

const WHOLE = text(completion({ text: TEXT }));
const deep = (open_: string, close: string, depth: number): string => open_.repeat(depth) + close.repeat(depth);
const withMember = (member: string): string => `${WHOLE.slice(0, -1)},${member}}`;
const DEEP = deep("[", "]", 100_000);
const deepCalls = text(completion({ toolCalls: [{ id: "c1", name: "f", arguments: "{}" }] })).replace(
  '"type":"function"',
  `"type":"function","extra":${DEEP}`,
);
const deepEvent = ONE.replace('"index":0', `"index":0,"extra":${DEEP}`);
const inFirstEvent = (event: string): FaultScript => wholeSse(`data: ${event}\n\n`, DONE);
const gz = (bytes: Bytes): Uint8Array => gzipSync(bytes);
const compressed =
  (name: string, pack: (bytes: Bytes) => Uint8Array) =>
  (mode: Mode): FaultScript => {
    const type = mode === "whole" ? JSON_TYPE : SSE_TYPE;
    return [response(200, { ...type, "content-encoding": name }, pack(mode === "whole" ? WHOLE : EVENTS.join("")))];
  };
/** The beginning of a gzip stream, of which all can be read. */
const flushed = gzipSync(ROLE + ONE, { finishFlush: constants.Z_SYNC_FLUSH });
/** A thousand times as large inside. */
const BOMB = gz(Buffer.alloc(48 * MIB, 0x20));
const bomb = (mode: Mode): FaultScript => {
  const type = mode === "whole" ? JSON_TYPE : SSE_TYPE;
  return [response(200, { ...type, "content-encoding": "gzip" }, BOMB)];
};

const BODIES: readonly Row[] = [
  {
    id: "F38",
    play: either(json(`{'choices': [${TAIL}]}`), inFirstEvent(`{'choices': [${TAIL}]}`)),
    expect: NO_ANSWER,
  },
  { id: "F38 NUL bytes", play: either(json("\0\0\0\0"), inFirstEvent("\0\0")), expect: NO_ANSWER },
  {
    id: "F39",
    play: () => [head("200 OK", { ...JSON_TYPE, "content-length": "900" }), WHOLE.slice(0, 80), "fin"],
    expect: LOST_IN_BODY,
  },
  {
    id: "F39 an event, and nothing behind it",
    play: () => [head("200 OK", { ...SSE_TYPE, "content-length": "9000" }), ROLE + ONE, { pauseMs: 30 }, "fin"],
    expect: streams(cut("network")),
  },
  {
    id: "F39 properly ended",
    play: either(json(WHOLE.slice(0, -20)), inFirstEvent(WHOLE.slice(0, -20))),
    expect: NO_ANSWER,
  },
  { id: "F40", play: () => json(`${WHOLE} x${TAIL}`), modes: ["whole"], expect: NO_ANSWER },
  { id: "F40 a second answer", play: () => json(WHOLE + WHOLE), modes: ["whole"], expect: NO_ANSWER },
  {
    id: "F40 behind the declared length",
    play: () => [head("200 OK", { ...JSON_TYPE, "content-length": String(WHOLE.length) }), WHOLE, TAIL],
    modes: ["whole"],
    expect: answers(),
  },
  { id: "F41", play: either(json(`\uFEFF${WHOLE}`), wholeSse(`\uFEFF${ROLE}`, ...EVENTS.slice(1))), expect: answers() },
  {
    id: "F42 NaN",
    play: either(json(withMember('"x":NaN')), inFirstEvent('{"choices":[],"x":NaN}')),
    expect: NO_ANSWER,
  },
  {
    id: "F42 1e400",
    play: either(json(withMember('"x":1e400')), wholeSse(ROLE.replace("{", '{"x":1e400,'), ...EVENTS.slice(1))),
    expect: answers(),
  },
  {
    id: "F43",
    play: either(json(withMember(`"x":${DEEP}`)), wholeSse(ROLE, deepEvent, TWO, THREE, FINISH, USAGE, DONE)),
    expect: answers(),
  },
  {
    id: "F43 in a tool call",
    play: () => json(deepCalls),
    modes: ["whole"],
    // Nobody could write it again: to release its calls one by one, or to find them altered.
    expect: NO_ANSWER,
  },
  {
    id: "F43 never closed",
    play: either(json("[".repeat(100_000)), inFirstEvent("[".repeat(100_000))),
    expect: NO_ANSWER,
  },
  {
    id: "F44",
    play: () => [
      head("200 OK", { ...JSON_TYPE, "content-length": String(200 * MIB) }),
      { endless: `{"x":"${"x".repeat(256 * KIB)}` },
    ],
    modes: ["whole"],
    expect: NO_ANSWER,
    alone: null,
    maxBytes: 48 * MIB,
  },
  {
    id: "F44 in chunks",
    play: () => [...open(JSON_TYPE, ['{"x":"']), { endless: chunk("x".repeat(256 * KIB)) }],
    modes: ["whole"],
    expect: NO_ANSWER,
    alone: null,
    maxBytes: 48 * MIB,
  },
  { id: "F45 gzip", play: compressed("gzip", gz), expect: answers() },
  {
    id: "F45 gzip, truncated",
    play: compressed("gzip", (bytes) => gz(bytes).subarray(0, -12)),
    modes: ["whole"],
    expect: movesOn("network;200"),
  },
  {
    id: "F45 gzip, truncated behind content",
    play: () => [...open({ ...SSE_TYPE, "content-encoding": "gzip" }, [chunk(flushed)]), SETTLE, LAST_CHUNK],
    expect: streams(cut("network")),
  },
  { id: "F45 gzip bomb", play: bomb, expect: NO_ANSWER, alone: null },
  { id: "F45 not gzip", play: compressed("gzip", (bytes) => Buffer.from(bytes)), expect: movesOn("network;200") },
  { id: "F45 gzip unnamed", play: compressed("identity", gz), expect: NO_ANSWER },
  { id: "F45 br", play: compressed("br", (bytes) => brotliCompressSync(bytes)), expect: answers() },
  { id: "F45 deflate", play: compressed("deflate", (bytes) => deflateSync(bytes)), expect: NO_ANSWER },
  { id: "F45 gzip twice", play: compressed("gzip, gzip", (bytes) => gz(gz(bytes))), expect: NO_ANSWER },
];

// Streams that break.

/** Half of an event, which proves nothing. */
const HALF = TWO.slice(0, 40);
const HALF_WHOLE = WHOLE.slice(0, 80);
/** Half a whole answer, or a stream behind its first word. */
const begun = (...end: readonly Step[]) =>
  either([...open(JSON_TYPE, [HALF_WHOLE]), ...end], [...sse(ROLE, ONE), ...end]);
const COMMENT = ": ping\n\n";
const LONG_LINE = "x".repeat(256 * KIB);
const LONG_COMMENT = `: ${LONG_LINE}\n\n`;
const LONG_EVENT = TWO.replace("two ", LONG_LINE);

const BREAKS: readonly Row[] = [
  { id: "F46", play: begun(SETTLE, "reset"), expect: apart(LOST_IN_BODY, cut("network")) },
  {
    id: "F46 inside an event",
    play: () => [...sse(ROLE, ONE, HALF), SETTLE, "reset"],
    expect: streams(cut("network")),
  },
  { id: "F46 before content", play: () => [...sse(ROLE), SETTLE, "reset"], expect: streams(LOST_IN_BODY) },
  { id: "F47", play: begun("20\r\ndata: {", SETTLE, "fin"), expect: apart(LOST_IN_BODY, cut("network")) },
  { id: "F47 between chunks", play: begun(SETTLE, "fin"), expect: apart(LOST_IN_BODY, cut("network")) },
  { id: "F48", play: begun(SETTLE, "ZZZ\r\nabc\r\n"), expect: apart(LOST_IN_BODY, cut("network")) },
  {
    id: "F48 a size of 2^64",
    play: begun(SETTLE, "10000000000000000\r\nabc\r\n"),
    expect: apart(LOST_IN_BODY, cut("network")),
  },
  {
    id: "F49",
    play: either([head(200, JSON_TYPE), HALF_WHOLE, "fin"], [head(200, SSE_TYPE), ROLE + ONE, "fin"]),
    expect: apart(NO_ANSWER, cut("network")),
  },
  {
    id: "F49 and yet complete",
    play: either([head(200, JSON_TYPE), WHOLE, "fin"], [head(200, SSE_TYPE), ...EVENTS, "fin"]),
    expect: answers(),
  },
  { id: "F49 properly ended, unfinished", play: () => wholeSse(ROLE, ONE), expect: streams(cut("network")) },
  {
    id: "F49 [DONE] without a finish reason",
    play: () => wholeSse(ROLE, ONE, TWO, THREE, USAGE, DONE),
    expect: streams(answers()),
  },
  { id: "F50", play: begun(), clock: "idle", expect: apart(SILENT_IN_BODY, cut("timeout")) },
  { id: "F50 before content", play: () => sse(ROLE, COMMENT), clock: "first_token", expect: streams(SILENT_IN_BODY) },
  {
    id: "F51",
    play: either(
      [...open(JSON_TYPE, []), { endless: chunk(" "), everyMs: 20 }],
      [...sse(ROLE, ONE), { endless: chunk(TWO), everyMs: 20 }],
    ),
    clock: "total",
    expect: apart(SILENT_IN_BODY, cut("timeout", { text: /^one (two )+$/ })),
  },
  {
    id: "F51 flat out",
    play: () => [...sse(ROLE, ONE), { endless: chunk(LONG_EVENT) }],
    expect: streams(cut("invalid_response", { text: /^one x*$/ })),
    maxBytes: 128 * MIB,
  },
  {
    id: "F52",
    play: () => [...sse(ROLE, ONE), { endless: chunk(COMMENT), everyMs: 20 }],
    clock: "total",
    expect: streams(cut("timeout")),
  },
  {
    id: "F52 before content",
    play: () => [...sse(ROLE), { endless: chunk(COMMENT), everyMs: 20 }],
    clock: "first_token",
    expect: streams(SILENT_IN_BODY),
  },
  {
    id: "F52 before content, flat out",
    play: () => [...sse(ROLE), { endless: chunk(COMMENT.repeat(1_000)) }],
    expect: streams(NO_ANSWER),
    maxBytes: 16 * MIB,
  },
  {
    id: "F52 flat out",
    play: () => [...sse(ROLE, ONE), { endless: chunk(LONG_COMMENT) }],
    expect: streams(cut("invalid_response")),
    maxBytes: 128 * MIB,
  },
  {
    id: "F53",
    play: either(
      [...open(JSON_TYPE, [HALF_WHOLE]), { drip: "1\r\n \r\n".repeat(200), everyMs: 10 }],
      [...sse(ROLE, ONE), { endless: chunk("x"), everyMs: 60 }],
    ),
    clock: "total",
    expect: apart(SILENT_IN_BODY, cut("timeout")),
  },
  {
    id: "F53 before content",
    play: () => [...sse(ROLE), { endless: chunk("x"), everyMs: 60 }],
    clock: "first_token",
    expect: streams(SILENT_IN_BODY),
  },
  {
    id: "F54",
    play: () => [...sse(ROLE, ONE), chunk("data: "), { endless: chunk(LONG_LINE) }],
    expect: streams(cut("invalid_response")),
    maxBytes: 64 * MIB,
  },
  {
    id: "F54 before content",
    play: () => [...sse(ROLE), chunk("data: "), { endless: chunk(LONG_LINE) }],
    // Given up at 8 MiB; what the system's buffers hold comes on top.
    expect: streams(NO_ANSWER),
    maxBytes: 32 * MIB,
  },
  {
    id: "F54 translated",
    at: "translated",
    play: () => [...anthropic(ANTHROPIC_BEGIN, ANTHROPIC_ONE), chunk("data: "), { endless: chunk(LONG_LINE) }],
    modes: ["pump"],
    expect: cut("invalid_response"),
    maxBytes: 24 * MIB,
  },
];

// Streams that end, more or less as they should.

const AFTER_DONE = `data: {"choices":[{"index":0,"delta":{"content":"more"}}]}\n\n`;
const FINISHED = [ROLE, ONE, TWO, THREE, FINISH];
const callDelta = (calls: unknown): string =>
  `data: ${text({ id: "chatcmpl-test", object: "chat.completion.chunk", choices: [{ index: 0, delta: { tool_calls: calls }, finish_reason: null }] })}\n\n`;
const CALLED = FINISH.replace('"stop"', '"tool_calls"');
const withUsage = (raw: string): string =>
  `data: {"id":"chatcmpl-test","object":"chat.completion.chunk","choices":[],"usage":${raw}}\n\n`;
const tokens = (prompt: unknown, completion_: unknown): string =>
  text({ prompt_tokens: prompt, completion_tokens: completion_, total_tokens: 15 });
/** A whole answer and a stream with this usage, as text: numbers are written as they are given. */
const used = (...raws: readonly string[]) =>
  either(
    json(
      `${text(completion({ text: TEXT, usage: null })).slice(0, -1)}${raws.length === 0 ? "" : `,"usage":${raws.at(-1)}`}}`,
    ),
    wholeSse(...FINISHED, ...raws.map(withUsage), DONE),
  );
const ENDLESS_TOKENS = '{"prompt_tokens":1e400,"completion_tokens":5,"total_tokens":5}';
const COUNTED = answers({ tokens: null });

const anthropicEvent = (data: Readonly<Record<string, unknown>>): string =>
  `event: ${String(data["type"])}\ndata: ${text(data)}\n\n`;
const ANTHROPIC_BEGIN =
  anthropicEvent({
    type: "message_start",
    message: {
      id: "msg_1",
      type: "message",
      role: "assistant",
      model: "m",
      content: [],
      usage: { input_tokens: 10, output_tokens: 1 },
    },
  }) + anthropicEvent({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } });
const ANTHROPIC_ONE = anthropicEvent({
  type: "content_block_delta",
  index: 0,
  delta: { type: "text_delta", text: "one " },
});
function anthropic(...events: readonly string[]): FaultScript {
  return sse(...events);
}

const ENDS: readonly Row[] = [
  { id: "F56", play: () => wholeSse(...FINISHED, USAGE), expect: streams(answers()) },
  { id: "F56 and cut", play: () => [...sse(...FINISHED), SETTLE, "reset"], expect: streams(COUNTED) },
  { id: "F57", play: () => wholeSse(...EVENTS, AFTER_DONE), expect: streams(answers()) },
  {
    id: "F57 without end",
    play: () => [...sse(...EVENTS), { endless: chunk(AFTER_DONE), everyMs: 20 }],
    clock: "total",
    expect: streams(answers()),
  },
  { id: "F58", play: () => wholeSse(ROLE, ONE, TWO, THREE, USAGE, DONE), expect: streams(answers()) },
  { id: "F59", play: () => wholeSse(DONE), expect: streams(NO_ANSWER) },
  { id: "F59 behind the role", play: () => wholeSse(ROLE, DONE), expect: streams(NO_ANSWER) },
  { id: "F59 behind usage", play: () => wholeSse(USAGE, DONE), expect: streams(NO_ANSWER) },
  { id: "F60 absent", play: used(), expect: COUNTED },
  { id: "F60 null", play: used("null"), expect: COUNTED },
  { id: "F60 twice", play: used(tokens(10, 2), tokens(10, 5)), expect: answers() },
  { id: "F60 decreasing", play: used(tokens(10, 7), tokens(10, 5)), expect: answers() },
  { id: "F60 negative", play: used(tokens(-10, 5)), expect: COUNTED },
  { id: "F60 a fraction", play: used(tokens(10.5, 5)), expect: COUNTED },
  { id: "F60 texts", play: used(tokens("10", "5")), expect: COUNTED },
  { id: "F60 1e15", play: used(tokens(1e15, 5)), expect: COUNTED },
  { id: "F60 1e400", play: used(ENDLESS_TOKENS), expect: COUNTED },
  { id: "F60 a list", play: used("[10,5]"), expect: COUNTED },
  { id: "F60 good, then nonsense", play: used(tokens(10, 5), "null"), expect: apart(COUNTED, answers()) },
  {
    id: "F60 before the last token",
    play: () => wholeSse(ROLE, ONE, USAGE, TWO, THREE, FINISH, DONE),
    expect: streams(answers()),
  },
  {
    id: "F60 and cut",
    play: () => [...sse(ROLE, ONE, USAGE), SETTLE, "reset"],
    expect: streams(cut("network", { tokens: [10, 5] })),
  },
  {
    id: "F61 OpenAI",
    play: () => wholeSse(ROLE, ONE, `data: ${text(errorBody())}\n\n`),
    modes: ["pump"],
    expect: cut("server_error"),
  },
  {
    id: "F61 OpenAI, natively",
    play: () => wholeSse(ROLE, ONE, 'data: {"error":{"message":"busy","type":"server_error","code":null}}\n\n'),
    modes: ["native"],
    ownError: true,
    expect: cut("server_error"),
  },
  {
    id: "F61 OpenRouter",
    play: () =>
      wholeSse(
        ROLE,
        ONE,
        `data: ${text({ id: "gen-1", choices: [{ index: 0, delta: { content: "" }, finish_reason: "error" }], ...errorBody({ code: 502 }) })}\n\n`,
        DONE,
      ),
    modes: ["pump"],
    expect: cut("server_error"),
  },
  {
    id: "F61 Anthropic",
    at: "translated",
    play: () => [
      ...anthropic(
        ANTHROPIC_BEGIN,
        ANTHROPIC_ONE,
        anthropicEvent({ type: "error", ...errorBody({ type: "overloaded_error" }) }),
      ),
      LAST_CHUNK,
    ],
    modes: ["pump"],
    expect: cut("server_error", { tokens: [10, 1] }),
  },
  {
    id: "F61 Anthropic, as the first event",
    at: "translated",
    play: () => [
      ...anthropic(anthropicEvent({ type: "error", ...errorBody({ type: "overloaded_error" }) })),
      LAST_CHUNK,
    ],
    modes: ["pump"],
    expect: movesOn("server_error;200", 2),
  },
  {
    id: "F61 as the first event",
    play: () => wholeSse(`data: ${text(errorBody())}\n\n`),
    expect: streams(SERVER_ERROR),
  },
  {
    id: "F61 as JSON behind the head of a stream",
    play: () => json(errorBody(), SSE_TYPE),
    expect: streams(SERVER_ERROR),
  },
  {
    id: "F61 translated and cut",
    at: "translated",
    play: () => [...anthropic(ANTHROPIC_BEGIN, ANTHROPIC_ONE), SETTLE, "reset"],
    modes: ["pump"],
    expect: cut("network"),
  },
];

const spec = (name: string, args: string): AnswerSpec => ({ toolCalls: [{ id: "c1", name, arguments: args }] });
const OWN = { index: 0, id: "c1", type: "function", function: { name: "f", arguments: '{"a":' } };
const OFFERED = { tools: [{ type: "function", function: { name: "f" } }] };
const WITHHELD = /^(?:one \n\n)?\[The Flow Layer (?:withheld|removed) /;
/** What is played, and the names on the record. */
const TOOL_STREAMS: readonly (readonly [string, unknown, readonly string[]])[] = [
  ["a gap in the index", [{ ...OWN, index: 7 }], ["f"]],
  ["no index", [{ ...OWN, index: undefined }], ["f"]],
  ["an index that is a text", [{ ...OWN, index: "x" }], ["f"]],
  ["the same id twice", [OWN, { ...OWN, index: 1 }], ["f", "f"]],
  ["arguments that are no JSON", [OWN], ["f"]],
  ["arguments that are an object", [{ ...OWN, function: { name: "f", arguments: { a: 1 } } }], ["f"]],
  ["no function", [{ index: 0, id: "c1" }], []],
  ["a name that is a number", [{ ...OWN, function: { name: 7 } }], []],
  ["null for a call", [null], []],
  ["a text for the calls", "f()", []],
  ["an object for the calls", { 0: { ...OWN, function: null } }, []],
];

const TOOLS: readonly Row[] = [
  ...TOOL_STREAMS.map(
    ([name, calls, tools]): Row => ({
      id: `F62 ${name}`,
      play: () => wholeSse(ROLE, callDelta(calls), CALLED, USAGE, DONE),
      body: OFFERED,
      expect: streams(answers({ text: "", tools })),
    }),
  ),
  // Where approval is required, nothing that could be taken for a call comes through.
  ...TOOL_STREAMS.filter(([name]) => name !== "null for a call").map(
    ([name, calls, tools]): Row => ({
      id: `F62 ${name}, gated`,
      play: () => wholeSse(ROLE, ONE, callDelta(calls), CALLED, USAGE, DONE),
      policy: { tools: { require_approval: true, wait_ms: 0 } },
      modes: ["pump"],
      expect: answers({ text: WITHHELD, tools }),
    }),
  ),
  {
    id: "F62 in a whole answer",
    play: () => json(completion(spec("f", "{nonsense"))),
    modes: ["whole"],
    expect: answers({ text: "", tools: ["f"] }),
  },
  {
    id: "F62 in a whole answer, gated",
    play: () => json(completion(spec("f", "{nonsense"))),
    policy: { tools: { require_approval: true, wait_ms: 0 } },
    modes: ["whole"],
    expect: answers({ text: WITHHELD, tools: ["f"] }),
  },
];

// Time and connections.

const SLOW: Step = { pauseMs: 350 };
const HARD_BUDGET = { latency: { budget_ms: 200, mode: "hard", hedge: false } };
const SOFT_BUDGET = { latency: { budget_ms: 200, mode: "soft", hedge: false } };
const LATE: Refusal = {
  sees: "refusal",
  failed: ["timeout;-"],
  status: 504,
  code: "latency_budget_exceeded",
  isCounted: true,
};
const TWO_ANSWERS = (mode: Mode): FaultScript => {
  const bytes = good(mode).map((step) => Buffer.from(step as Bytes));
  return [Buffer.concat([...bytes, response(200, JSON_TYPE, text(completion({ text: `stray${TAIL}` })))])];
};

const CONNECTIONS: readonly Row[] = [
  { id: "F63 hard", play: (mode) => [SLOW, ...good(mode)], policy: HARD_BUDGET, expect: LATE },
  { id: "F63 soft", play: (mode) => [SLOW, ...good(mode)], policy: SOFT_BUDGET, expect: answers() },
  { id: "F63 hard, headers in time", play: () => ["HTTP/1.1 200 OK\r\n", SLOW], policy: HARD_BUDGET, expect: LATE },
  { id: "F64 two answers", at: "one connection", play: TWO_ANSWERS, warmUps: 2, expect: answers() },
  { id: "F64 open after [DONE]", play: () => sse(...EVENTS), clock: "idle", expect: streams(answers()) },
  {
    id: "F64 reset when used again",
    at: "one connection",
    play: (mode) => [good(mode), ["reset"], good(mode)],
    warmUps: 1,
    expect: answers({ failed: ["network;-"] }),
  },
  {
    id: "F64 closed when used again",
    at: "one connection",
    play: (mode) => [good(mode), ["fin"], good(mode)],
    warmUps: 1,
    expect: answers({ failed: ["network;-"] }),
  },
];

// Faults of the platform that look like a provider's.

const PLATFORM: readonly Row[] = [
  { id: "P21", platform: "queued", clock: "first_token", expect: { ...SILENT, calls: 0 } },
  { id: "P22", platform: "limit", expect: movesOn("network;-", 1, { calls: 0 }) },
];

export const FAULTS: readonly Row[] = [
  ...CONNECTION,
  ...INFORMATIONAL,
  ...STATUS,
  ...LIMITS,
  ...ERRORS_IN_BODIES,
  ...KINDS,
  ...BODIES,
  ...BREAKS,
  ...ENDS,
  ...TOOLS,
  ...CONNECTIONS,
  ...PLATFORM,
];

/** What the class of an attempt teaches the breaker of its target. */
export const COUNTED_AS: Readonly<Record<string, "success" | "failure" | "rate limit" | "nothing">> = {
  ok: "success",
  network: "failure",
  timeout: "failure",
  server_error: "failure",
  invalid_response: "failure",
  auth: "failure",
  rate_limited: "rate limit",
  invalid_request: "nothing",
  context_length: "nothing",
  content_filter: "nothing",
};

/** One fault of each class, and one that a stream has after its first token: what three of them in a row lead to. */
export const CLASSES: readonly { readonly name: string; readonly body?: object; readonly play: FaultScript }[] = [
  { name: "network", play: ["reset"] },
  { name: "timeout", play: vendorError(408) },
  { name: "server_error", play: vendorError(500) },
  { name: "invalid_response", play: page(200, "text/html", HTML) },
  { name: "auth", play: vendorError(401) },
  { name: "rate_limited", play: vendorError(429, {}, { "retry-after": "30" }) },
  { name: "invalid_request", play: vendorError(400) },
  { name: "context_length", play: vendorError(400, { code: "context_length_exceeded" }) },
  { name: "content_filter", play: vendorError(400, { code: "content_filter" }) },
  { name: "network", body: REQUESTS.pump, play: [...sse(ROLE, ONE), SETTLE, "fin"] },
  { name: "network", body: REQUESTS.native, play: [...sse(ROLE, ONE), SETTLE, "fin"] },
];

/** Shown by another test: its file under `test`, and words of that test's name. */
export const ELSEWHERE: Readonly<Record<string, readonly [file: string, words: string]>> = {
  F55: ["worker/stream.test.ts", "the answer survives a cut of its bytes at every offset"],
  P1: ["worker/outage.test.ts", "the last good one stays in force for as long as the isolate lives"],
  P2: ["worker/ledger.test.ts", "a revoked key is not admitted, and what it still owes is booked"],
  P3: ["worker/outage.test.ts", "that is met by $how is refused, and the next request is served"],
  P4: ["unit/control/kv-outbox.test.ts", "what KV refuses waits for the next drain, and does not hold up the rest"],
  P5: ["worker/outage.test.ts", "a key with $key is refused within seconds and calls nobody"],
  P6: ["worker/ledger.test.ts", "a row costs once, however often and in whatever company it is sent"],
  P7: ["unit/ledger/client/settlement.test.ts", "an overloaded ledger is asked a few times, far apart"],
  P8: ["worker/outage.test.ts", "is served, and settled once when the ledger is back"],
  P9: ["unit/ledger/client/settlement.test.ts", "a call that never answers is given up and repeated"],
  P11: ["unit/ledger/ledger.test.ts", "a reservation nobody settles is charged at its bound when it expires, once"],
  P12: ["unit/control/publisher.test.ts", "is sent again until KV has it, at growing pauses"],
  P13: ["worker/outage.test.ts", "adds nothing to a request, and what the isolate sees itself"],
  P15: ["worker/fallback-candidates.test.ts", "a target without its secret is not a candidate"],
  P17: ["worker/ledger-crash.test.ts", "a Worker killed under load has held all that it granted"],
  P19: ["unit/health/breaker.test.ts", "ejections are forgotten also where the clock went back by an hour"],
  P20: ["unit/ledger/client/settlement.test.ts", "when nothing helps for 20 s, one line says what was lost"],
  P25: ["worker/abort.test.ts", "the provider's call ends as bytes next flow"],
};

/** Not shown, and why. */
export const NOT_SHOWN: Readonly<Record<string, string>> = {
  F4: "workerd asks the system's resolver, which no test can slow down; the clocks are those of F2",
  P10: "storage has no limit here; a ledger that refuses a write is P5",
  P14: "see `faults` in worker/approvals.test.ts",
  P16: "the product uses no queue",
  P18: "one process runs one version of the code; new code on old data is in worker/ledger-crash.test.ts",
  P23: "there is no limit of CPU time here; F43 and the bad inputs B64 to B70 are the largest work a body can make",
  P24: "the product writes no data points",
};
