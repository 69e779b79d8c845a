/**
 * Every bad input the router must survive, one row each: what is sent, and what has to come of it.
 *
 * The ids are those of the catalogue of bad inputs (B1 to B104); a variant of an input is a row of its own. Rows are
 * data: how they are sent and what every answer must have stands in `bad-inputs.test.ts`. Bodies are built only when a
 * row runs, because some are large.
 */
import { gzipSync } from "node:zlib";
import type { ErrorCode } from "../../src/http/errors.ts";

export const ROUTE = "bad-inputs";
export const MODEL = "bad-inputs-model";
export const GATED_ROUTE = "bad-inputs-gated";
export const UNGRANTED_ROUTE = "bad-inputs-ungranted";
/** Planted in every prompt and every request's headers: no answer to a refused request may hold one. */
export const PROMPT_CANARY = "canary-prompt-5b1f";
export const HEADER_CANARY = "canary-header-9c2e";

/** What the test file has set up before the first row. */
export interface Known {
  readonly key: string;
  /** A key of `staging`. */
  readonly stagingKey: string;
  readonly revokedKey: string;
  readonly expiredKey: string;
  /** Shape and tail are right, and no record exists. */
  readonly unknownKey: string;
  /** May call one other route only. */
  readonly narrowKey: string;
  /** Has the one app `web`. */
  readonly webKey: string;
  /** Lacks the scope `chat`. */
  readonly readerKey: string;
  readonly adminToken: string;
  /** A settled trace of another key. */
  readonly foreignTraceId: string;
  /** An address that must never be fetched. */
  readonly decoyUrl: string;
}

export interface HttpCall {
  /** Default `POST`. */
  readonly method?: string;
  /** Default the chat endpoint. */
  readonly path?: string;
  /** On top of a valid key, JSON as content type and a canary; `null` removes one of these. */
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

export interface RawCall {
  /** Exactly these bytes, piece by piece, until an answer comes. */
  readonly raw: string | Uint8Array | Iterable<string | Uint8Array>;
  /**
   * After the bytes: close this side (`finish`), reset the connection, or send one byte a second (`drip`). Default: wait
   * for the answer.
   */
  readonly after?: "finish" | "reset" | "drip";
}

export interface Refused {
  readonly status: number;
  readonly code: ErrorCode;
  readonly param?: string | null;
  readonly allow?: string;
  /** Default `false`. */
  readonly retry?: boolean;
  /** The request got as far as a route, so it is on the record. */
  readonly traced?: true;
}

export type Expected =
  | Refused
  /** Reaches the provider as it is, but for `model` and what `arrives` says. */
  | "forwarded"
  /** The HTTP server in front of the Worker refuses it, or just closes: never 2xx, never 5xx. */
  | "not HTTP";

export interface Row {
  readonly id: string;
  readonly name: string;
  readonly send: (known: Known) => HttpCall | RawCall;
  readonly expect: Expected;
  /** Waits for a clock of the router that no test can turn: sent before all others, looked at after them. */
  readonly takesMs?: number;
  /** The provider's view of the body that was sent. Default: `model` replaced and nothing else. */
  readonly arrives?: (sent: string) => string;
}

// What rows are made of.

const bytes = (before: string, middle: readonly number[], after: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Buffer.concat([Buffer.from(before), Buffer.from(middle), Buffer.from(after)]));

const PROMPT = `"messages":[{"role":"user","content":"${PROMPT_CANARY}"}]`;
const NAMED = `"model":"flow/${ROUTE}"`;
/** A valid body, with further members as text. */
const body = (members = ""): string => `{${NAMED},${PROMPT}${members === "" ? "" : `,${members}`}}`;
const withMessages = (messages: string): string => `{${NAMED},"messages":${messages}}`;
const withMessage = (message: string): string => withMessages(`[${message}]`);
const withModel = (model: string): string => `{"model":${model},${PROMPT}}`;
const refused = (code: ErrorCode, status: number, param?: string | null): Refused =>
  param === undefined ? { status, code } : { status, code, param };
const invalid = (param: string | null): Refused => refused("invalid_request", 400, param);
const INVALID_JSON = refused("invalid_json", 400, null);
const INVALID_KEY = refused("invalid_api_key", 401);
const MISSING_KEY = refused("missing_api_key", 401);
const UNKNOWN_ROUTE = refused("unknown_route", 400, "model");
const NOT_FOUND = refused("not_found", 404);
const TOO_LARGE = refused("request_too_large", 413);
const WRONG_TYPE = refused("unsupported_media_type", 415);
const badHeader = (param: string): Refused => refused("invalid_header", 400, param);
const LATE = invalid(null);
const MIB = 1024 * 1024;

const sends = (id: string, name: string, text: string | (() => string), expect: Expected): Row => ({
  id,
  name,
  send: () => ({ body: typeof text === "string" ? text : text() }),
  expect,
});
/** Extra members that are the provider's to judge. */
const passes = (id: string, name: string, members: string | (() => string)): Row =>
  sends(id, name, () => body(typeof members === "string" ? members : members()), "forwarded");
const withHeaders = (
  id: string,
  name: string,
  headers: Readonly<Record<string, string | null>>,
  expect: Expected,
): Row => ({
  id,
  name,
  send: () => ({ headers, body: body() }),
  expect,
});
const bearer = (id: string, name: string, token: (known: Known) => string, expect: Expected = INVALID_KEY): Row => ({
  id,
  name,
  send: (known) => ({ headers: { authorization: `Bearer ${token(known)}` }, body: body() }),
  expect,
});

interface RawParts {
  readonly method?: string;
  readonly target?: string;
  readonly version?: string;
  /** Whole header lines in place of `Host`. */
  readonly host?: readonly string[];
  /** Whole header lines in place of `Authorization`. */
  readonly authorization?: readonly string[];
  readonly lines?: readonly string[];
  /** Whole header lines in place of the true `Content-Length`. */
  readonly framing?: readonly string[];
  readonly body?: string;
}

function rawText(known: Known, parts: RawParts): string {
  const text = parts.body ?? body();
  const lines = [
    `${parts.method ?? "POST"} ${parts.target ?? "/v1/chat/completions"} ${parts.version ?? "HTTP/1.1"}`,
    ...(parts.host ?? ["Host: localhost"]),
    ...(parts.authorization ?? [`Authorization: Bearer ${known.key}`]),
    "Content-Type: application/json",
    `X-Canary: ${HEADER_CANARY}`,
    ...(parts.lines ?? []),
    ...(parts.framing ?? [`Content-Length: ${Buffer.byteLength(text)}`]),
  ];
  return `${lines.join("\r\n")}\r\n\r\n${text}`;
}

const raw = (
  id: string,
  name: string,
  parts: RawParts | ((known: Known) => RawParts),
  expect: Expected,
  after?: RawCall["after"],
): Row => ({
  id,
  name,
  send: (known) => ({
    raw: Buffer.from(rawText(known, typeof parts === "function" ? parts(known) : parts), "latin1"),
    ...(after === undefined ? {} : { after }),
  }),
  expect,
});
/** UTF-8 bytes as one character each, for `raw`. */
const utf8 = (text: string): string => Buffer.from(text).toString("latin1");
const app = (id: string, name: string, value: string, expect: Expected = badHeader("X-FlowLayer-App")): Row =>
  raw(id, `X-FlowLayer-App: ${name}`, { lines: [`X-FlowLayer-App: ${value}`] }, expect);

/** Another character of the key's alphabet. */
const changed = (key: string, at: number): string => {
  const place = at < 0 ? key.length + at : at;
  return key.slice(0, place) + (key[place] === "a" ? "b" : "a") + key.slice(place + 1);
};

const AUTHENTICATION: readonly Row[] = [
  withHeaders("B1", "no Authorization", { authorization: null }, MISSING_KEY),
  withHeaders("B2", "an empty Authorization", { authorization: "" }, MISSING_KEY),
  withHeaders("B3", "a scheme without a token", { authorization: "Bearer" }, MISSING_KEY),
  raw("B4", "a scheme and spaces", { authorization: ["Authorization: Bearer    "] }, MISSING_KEY),
  withHeaders("B5", "a lower-case scheme with a bad key", { authorization: "bearer x" }, INVALID_KEY),
  ...["bearer", "BEARER"].map(
    (scheme): Row => ({
      id: "B5",
      name: `the scheme spelt ${scheme} with a good key`,
      send: (known) => ({ headers: { authorization: `${scheme} ${known.key}` }, body: body() }),
      expect: "forwarded",
    }),
  ),
  {
    id: "B5",
    name: "a good key without a scheme",
    send: ({ key }) => ({ headers: { authorization: key }, body: body() }),
    expect: MISSING_KEY,
  },
  withHeaders("B6", "Basic", { authorization: "Basic YTpi" }, INVALID_KEY),
  {
    id: "B6",
    name: "Basic with the key as its password",
    send: ({ key }) => ({
      headers: { authorization: `Basic ${Buffer.from(`flow:${key}`).toString("base64")}` },
      body: body(),
    }),
    expect: INVALID_KEY,
  },
  raw(
    "B7",
    "two good keys in two headers",
    ({ key }) => ({ authorization: [`Authorization: Bearer ${key}`, `Authorization: Bearer ${key}`] }),
    INVALID_KEY,
  ),
  raw(
    "B7",
    "a bad key in a second header",
    ({ key }) => ({ authorization: [`Authorization: Bearer ${key}`, "Authorization: Bearer x"] }),
    INVALID_KEY,
  ),
  ...["api_key", "key", "access_token"].map(
    (name): Row => ({
      id: "B8",
      name: `the key in the query as ${name}`,
      send: ({ key }) => ({
        path: `/v1/chat/completions?${name}=${key}`,
        headers: { authorization: null },
        body: body(),
      }),
      expect: MISSING_KEY,
    }),
  ),
  ...["cookie", "x-api-key", "api-key", "proxy-authorization"].map(
    (name): Row => ({
      id: "B8",
      name: `the key in ${name}`,
      send: ({ key }) => ({
        headers: { authorization: null, [name]: name === "cookie" ? `key=${key}` : key },
        body: body(),
      }),
      expect: MISSING_KEY,
    }),
  ),
  {
    id: "B8",
    name: "the key in the body",
    send: ({ key }) => ({ headers: { authorization: null }, body: body(`"api_key":"${key}"`) }),
    expect: MISSING_KEY,
  },
  {
    id: "B8",
    name: "the key as the model",
    send: ({ key }) => ({ body: withModel(`"${key}"`) }),
    expect: UNKNOWN_ROUTE,
  },
  bearer("B9", "a valid beginning and an invented tail", ({ key }) => `${key.slice(0, -8)}00000000`),
  bearer("B9", "no tail", ({ key }) => key.slice(0, -8)),
  bearer("B10", "a valid tail and no record", ({ unknownKey }) => unknownKey),
  bearer("B11", "one character of the environment changed", ({ key }) => changed(key, 5)),
  bearer("B11", "one character of the id changed", ({ key }) => changed(key, "fl_production_".length + 3)),
  bearer("B11", "one character of the secret changed", ({ key }) => changed(key, -20)),
  bearer("B11", "the last character changed", ({ key }) => changed(key, -1)),
  bearer("B11", "the case of all letters changed", ({ key }) => key.toUpperCase()),
  bearer("B12", "a revoked key", ({ revokedKey }) => revokedKey),
  bearer("B13", "an expired key", ({ expiredKey }) => expiredKey),
  {
    id: "B14",
    name: "a staging key that asks for production",
    send: ({ stagingKey }) => ({
      headers: { authorization: `Bearer ${stagingKey}`, "x-flowlayer-env": "production" },
      body: body(),
    }),
    expect: refused("env_mismatch", 403, "X-FlowLayer-Env"),
  },
  ...["' OR 1=1--", "%", "_", "*", "fl_%_%_%", "../../admin", "fl_production_' OR '1'='1"].map((token) =>
    bearer("B15", `the token ${token}`, () => token),
  ),
  raw("B15", "a NUL in the token", ({ key }) => ({ authorization: [`Authorization: Bearer ${key}\0`] }), "not HTTP"),
  bearer("B16", "a token of 16 KB", () => "a".repeat(16_384)),
  bearer("B16", "a good key with 16 KB behind it", ({ key }) => key + "a".repeat(16_384)),
  raw(
    "B17",
    "a Cyrillic letter in the key",
    ({ key }) => ({ authorization: [`Authorization: Bearer ${utf8(key.replace("o", "о"))}`] }),
    INVALID_KEY,
  ),
  raw(
    "B17",
    "a zero-width space in the key",
    ({ key }) => ({ authorization: [`Authorization: Bearer ${utf8(`${key.slice(0, 20)}\u200b${key.slice(20)}`)}`] }),
    INVALID_KEY,
  ),
  bearer("B18", "the operator's token on the data plane", ({ adminToken }) => adminToken),
  {
    id: "B18",
    name: "an API key on the control plane",
    send: ({ key }) => ({ method: "GET", path: "/admin/keys", headers: { authorization: `Bearer ${key}` } }),
    expect: INVALID_KEY,
  },
  bearer("B19", "a provider's key", () => "sk-proj-0123456789012345678901234567890123456789"),
  bearer("B20", "a tab inside the token", ({ key }) => `${key.slice(0, 30)}\t${key.slice(30)}`),
  bearer("B20", "a space inside the token", ({ key }) => `${key.slice(0, 30)} ${key.slice(30)}`),
  raw(
    "B20",
    "a tab behind the token, which HTTP calls white space",
    ({ key }) => ({ authorization: [`Authorization: Bearer ${key}\t`] }),
    "forwarded",
  ),
  raw(
    "B20",
    "a line feed alone behind the token",
    ({ key }) => ({ authorization: [`Authorization: Bearer ${key}\nX-Evil: 1`] }),
    "forwarded",
  ),
];

const HEADERS: readonly Row[] = [
  app("B21", "a bare carriage return", "web\rX-Evil: 1", "not HTTP"),
  app("B21", "a folded line", "web\r\n X-Evil: 1", "not HTTP"),
  app("B21", "an encoded line break", "web%0d%0aX-Evil:%201"),
  app("B22", "ESC", "web\x1b[31m"),
  app("B22", "0x01", "web\x01"),
  app("B22", "DEL", "web\x7f"),
  app("B22", "NUL", "web\0", "not HTTP"),
  app("B23", "an emoji", utf8("web😀")),
  app("B23", "CJK", utf8("网")),
  app("B23", "latin1", "caf\xe9"),
  app("B24", "20 KB", "a".repeat(20_480)),
  app("B24", "64 characters", "a".repeat(64)),
  app("B25", "empty", ""),
  raw(
    "B26",
    "X-FlowLayer-App twice",
    { lines: ["X-FlowLayer-App: a", "X-FlowLayer-App: b"] },
    badHeader("X-FlowLayer-App"),
  ),
  app("B27", "../../", "../../"),
  app("B27", "__proto__", "__proto__"),
  app("B27", "<script>", "<script>alert(1)</script>"),
  app("B27", "constructor, which is only a name", "constructor", "forwarded"),
  ...["prod", "Production", "PRODUCTION", "production ,staging", "*", "__proto__"].map((env) =>
    withHeaders("B28", `X-FlowLayer-Env: ${env}`, { "x-flowlayer-env": env }, refused("env_mismatch", 403)),
  ),
  // The address is then http://x/admin?…: what is looked up is also what is authorized.
  raw("B29", "Host: x/admin?", { host: ["Host: x/admin?"] }, INVALID_KEY),
  raw("B29", "Host: a@b", { host: ["Host: a@b"] }, "forwarded"),
  raw("B29", "Host: x:99999", { host: ["Host: x:99999"] }, "forwarded"),
  raw("B29", "Host: x y", { host: ["Host: x y"] }, "forwarded"),
  raw("B29", "no Host", { host: [] }, "not HTTP"),
  raw("B29", "two Hosts", { host: ["Host: a", "Host: b"] }, "forwarded"),
  raw("B29", "an absolute URI", { target: "http://evil.example/v1/chat/completions" }, "forwarded"),
  raw(
    "B29",
    "an absolute URI of the control plane",
    { method: "GET", target: "http://evil.example/admin/keys" },
    INVALID_KEY,
  ),
  ...["X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Proto", "CF-Connecting-IP", "X-Real-IP", "Forwarded"].map(
    (name) => withHeaders("B30", `a spoofed ${name}`, { [name]: `evil.example-${HEADER_CANARY}` }, "forwarded"),
  ),
  ...["http://localhost:1", "https://evil.example", "HTTPS://evil.example", "http://", "https://a, https://b"].map(
    (origin) => withHeaders("B30", `the origin ${origin}`, { origin }, refused("browser_request", 403)),
  ),
  ...["null", "app://obsidian.md", "vscode-file://vscode-app", "chrome-extension://abc"].map((origin) =>
    withHeaders(
      "B30",
      `the origin ${origin} of a desktop app`,
      { origin, "sec-fetch-site": "cross-site" },
      "forwarded",
    ),
  ),
  ...["none", "same-origin", "cross-site"].map((site) =>
    withHeaders(
      "B30",
      `Sec-Fetch-Site: ${site} alone`,
      { "sec-fetch-site": site, "sec-fetch-mode": "cors" },
      "forwarded",
    ),
  ),
  raw(
    "B30",
    "the origin of the own address",
    { host: ["Host: flow.example:8080"], lines: ["Origin: http://flow.example:8080"] },
    "forwarded",
  ),
  ...["x".repeat(129), "x".repeat(5_000), "a\tb", ""].map((id) =>
    withHeaders("B30", `X-Client-Request-Id of ${id.length} characters`, { "x-client-request-id": id }, "forwarded"),
  ),
  withHeaders("B31", "X-HTTP-Method-Override on POST", { "x-http-method-override": "DELETE" }, "forwarded"),
  {
    id: "B31",
    name: "X-HTTP-Method-Override on GET",
    send: () => ({ method: "GET", headers: { "x-http-method-override": "POST" } }),
    expect: { ...refused("method_not_allowed", 405), allow: "POST" },
  },
  {
    id: "B32",
    name: "no Content-Type",
    send: () => ({ headers: { "content-type": null }, body: bytes(body(), [], "") }),
    expect: WRONG_TYPE,
  },
  ...[
    "text/plain",
    "text/plain;application/json",
    "application/json; charset=utf-16",
    "application/jsonp",
    "application/json, text/html",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
  ].map((type) => withHeaders("B32", `Content-Type: ${type}`, { "content-type": type }, WRONG_TYPE)),
  ...["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/json;"].map((type) =>
    withHeaders("B32", `Content-Type: ${type}`, { "content-type": type }, "forwarded"),
  ),
  {
    id: "B33",
    name: "a body compressed with gzip and declared so",
    send: () => ({ headers: { "content-encoding": "gzip" }, body: new Uint8Array(gzipSync(body())) }),
    expect: WRONG_TYPE,
  },
  raw("B34", "Expect: 100-continue", { lines: ["Expect: 100-continue"] }, "forwarded"),
  raw("B34", "an unknown expectation", { lines: ["Expect: a-miracle"] }, "forwarded"),
  {
    id: "B35",
    name: "Accept: text/html on an error",
    send: () => ({ headers: { accept: "text/html" }, body: "{" }),
    expect: INVALID_JSON,
  },
  raw(
    "B36",
    "200 header fields",
    { lines: Array.from({ length: 200 }, (_, at) => `X-Field-${at}: ${at}`) },
    "forwarded",
  ),
  raw("B36", "130 KB of headers", { lines: [`X-Long: ${"a".repeat(130 * 1024)}`] }, "forwarded"),
  ...[
    "",
    "00",
    "zz-zz-zz-zz",
    "00-00000000000000000000000000000000-0000000000000000-01",
    `00-${"a".repeat(5_000)}-b-01`,
  ].map((value) => withHeaders("B38", `traceparent ${value.slice(0, 60)}`, { traceparent: value }, "forwarded")),
  raw("B38", "two traceparents", { lines: ["traceparent: a", "traceparent: b"] }, "forwarded"),
];

const NOT_POST: Refused = { ...refused("method_not_allowed", 405), allow: "POST" };
const at = (target: string, method = "POST", authorization?: readonly string[]): RawParts => ({
  target,
  method,
  ...(method === "GET" ? { body: "", framing: [] } : {}),
  ...(authorization === undefined ? {} : { authorization }),
});

const PATHS: readonly Row[] = [
  ...["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"].map(
    (method): Row => ({
      id: "B39",
      name: `${method} on the chat endpoint`,
      send: () => ({ method, headers: { authorization: null } }),
      expect: NOT_POST,
    }),
  ),
  raw("B39", "TRACE on the chat endpoint", { method: "TRACE", body: "", framing: [] }, NOT_POST),
  raw("B39", "an invented method on the chat endpoint", { method: "BREW", body: "", framing: [] }, "not HTTP"),
  raw("B40", "two slashes first", at("//v1/chat/completions"), NOT_FOUND),
  raw("B40", "two slashes inside", at("/v1//chat/completions"), NOT_FOUND),
  raw("B40", "/v1/../admin/keys", at("/v1/../admin/keys", "GET"), NOT_FOUND),
  raw("B40", "/v1/%2e%2e/admin/keys", at("/v1/%2e%2e/admin/keys", "GET"), NOT_FOUND),
  raw("B40", "/admin/../v1/chat/completions is the control plane's", at("/admin/../v1/chat/completions"), INVALID_KEY),
  raw("B40", "/x/../v1/chat/completions", at("/x/../v1/chat/completions"), NOT_FOUND),
  raw("B40", "/x/../v1/chat/completions without a key", at("/x/../v1/chat/completions", "POST", []), MISSING_KEY),
  raw("B40", "/v1%2f..%2fadmin/keys", at("/v1%2f..%2fadmin/keys", "GET"), NOT_FOUND),
  raw("B40", "/health/../admin/keys without a key", at("/health/../admin/keys", "GET", []), NOT_FOUND),
  raw("B40", "a path parameter", at("/v1/chat/completions;x=1"), NOT_FOUND),
  raw("B40", "a slash at the end", at("/v1/chat/completions/"), NOT_FOUND),
  raw("B40", "upper case", at("/V1/CHAT/COMPLETIONS"), NOT_FOUND),
  raw("B40", "an encoded letter", at("/v1/chat/%63ompletions"), "forwarded"),
  raw("B40", "a query", at("/v1/chat/completions?x="), "forwarded"),
  raw("B40", "a URL of 16 KB", at(`/v1/${"a".repeat(16_384)}`), NOT_FOUND),
  raw("B40", "an encoded NUL", at("/v1/chat/completions%00"), NOT_FOUND),
  raw("B40", "a NUL", at("/v1/chat/completions\0"), "not HTTP"),
  raw("B40", "half an escape", at("/v1/chat/%c3%28"), NOT_FOUND),
  raw("B40", "a target without a slash", at("v1/chat/completions"), "not HTTP"),
  ...["/v1/proxy/x", "/v1/nothing", "/v1", "/v1/conversations"].flatMap((path) => [
    raw("B41", `${path} without a key`, at(path, "GET", []), MISSING_KEY),
    raw("B41", `${path} with a key`, at(path, "GET"), NOT_FOUND),
  ]),
  raw("B41", "/admin without a key", at("/admin", "GET", []), MISSING_KEY),
  raw("B41", "/admin/ with a key", at("/admin/", "GET"), INVALID_KEY),
  ...["/.env", "/debug", "/metrics", "/cdn-cgi/trace", "/favicon.ico", "/health/x", "/healthz"].map((path) =>
    raw("B41", `${path} without a key`, at(path, "GET", []), NOT_FOUND),
  ),
];

/** A chunked body that never ends by itself. */
function* endlessBody(known: Known): Generator<string> {
  yield rawText(known, { framing: ["Transfer-Encoding: chunked"], body: "" });
  const chunk = " ".repeat(MIB);
  for (let sent = 0; sent < 100; sent++) yield `${chunk.length.toString(16)}\r\n${chunk}\r\n`;
}

const chunked = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n0\r\n\r\n`;

const FRAMING: readonly Row[] = [
  sends("B42", "an empty body", "", INVALID_JSON),
  raw("B42", "no body and no length", { body: "", framing: [] }, INVALID_JSON),
  raw("B43", "10 GB declared", { framing: ["Content-Length: 10737418240"] }, TOO_LARGE),
  raw("B43", "one byte more than the cap declared", { framing: [`Content-Length: ${10 * MIB + 1}`] }, TOO_LARGE),
  raw("B43", "a length beyond all numbers", { framing: [`Content-Length: ${"9".repeat(30)}`] }, "not HTTP"),
  raw("B44", "a length shorter than the body", { framing: ["Content-Length: 20"] }, INVALID_JSON),
  raw(
    "B44",
    "a length longer than the body, then the end",
    { framing: ["Content-Length: 9999"] },
    "not HTTP",
    "finish",
  ),
  { id: "B45", name: "100 MB in chunks", send: (known) => ({ raw: endlessBody(known) }), expect: TOO_LARGE },
  {
    ...raw("B44", "a length longer than the body, then silence", { framing: ["Content-Length: 9999"] }, LATE),
    takesMs: 10_000,
  },
  { ...raw("B46", "one byte a second", { framing: ["Content-Length: 9999"] }, LATE, "drip"), takesMs: 10_000 },
  raw("B47", "a reset in the middle of the body", { framing: ["Content-Length: 9999"] }, "not HTTP", "reset"),
  raw(
    "B48",
    "a length and chunks: the chunks count",
    { framing: ["Content-Length: 5", "Transfer-Encoding: chunked"], body: chunked(body()) },
    "forwarded",
  ),
  raw("B48", "two lengths that differ", { framing: ["Content-Length: 5", "Content-Length: 50"] }, "not HTTP"),
  raw("B48", "a negative length", { framing: ["Content-Length: -1"] }, "not HTTP"),
  raw("B48", "a length with a plus sign", { framing: ["Content-Length: +5"] }, "not HTTP"),
  raw(
    "B48",
    "a space before the colon",
    { framing: ["Transfer-Encoding : chunked"], body: chunked(body()) },
    "not HTTP",
  ),
  raw("B48", "a folded header", { lines: ["X-Fold: a\r\n b"] }, "not HTTP"),
  raw("B48", "an unknown transfer encoding", { framing: ["Transfer-Encoding: xchunked"] }, "not HTTP"),
  raw(
    "B48",
    "a bad chunk size",
    { framing: ["Transfer-Encoding: chunked"], body: `zz\r\n${body()}\r\n0\r\n\r\n` },
    "not HTTP",
  ),
  raw(
    "B48",
    "a chunk size beyond all numbers",
    { framing: ["Transfer-Encoding: chunked"], body: `${"f".repeat(20)}\r\n{` },
    "not HTTP",
    "finish",
  ),
  raw(
    "B48",
    "chunks without an end",
    { framing: ["Transfer-Encoding: chunked"], body: "5\r\n{\r\n" },
    "not HTTP",
    "finish",
  ),
  raw("B48", "no HTTP at all", { version: "" }, "not HTTP"),
  raw("B48", "HTTP of the future", { version: "HTTP/9.9" }, "not HTTP"),
  {
    id: "B49",
    name: "gzip bytes not declared as such",
    send: () => ({ body: new Uint8Array(gzipSync(body())) }),
    expect: INVALID_JSON,
  },
];

const notUtf8 = (name: string, middle: readonly number[]): Row => ({
  id: "B61",
  name,
  send: () => ({ body: bytes(`{${NAMED},"messages":[{"role":"user","content":"`, middle, '"}]}') }),
  expect: INVALID_JSON,
});
const nested = (depth: number, open: string, close: string): string =>
  `"x":${open.repeat(depth)}${close.startsWith("}") ? "1" : ""}${close.repeat(depth)}`;
const manyMembers = (count: number): string =>
  `"x":{${Array.from({ length: count }, (_, member) => `"${member}":0`).join(",")}}`;

const SYNTAX: readonly Row[] = [
  sends("B50", "null", "null", invalid(null)),
  sends("B51", "an array", "[]", invalid(null)),
  sends("B52", "a string", '"x"', invalid(null)),
  sends("B53", "a number", "42", invalid(null)),
  sends("B54", "a body cut in a string", body().slice(0, -8), INVALID_JSON),
  sends("B54", "a body without its last brace", body().slice(0, -1), INVALID_JSON),
  sends("B55", "a comma behind the last member", `{${NAMED},${PROMPT},}`, INVALID_JSON),
  sends("B56", "a comment", `{/* c */${NAMED},${PROMPT}}`, INVALID_JSON),
  sends("B57", "single quotes", body().replaceAll('"', "'"), INVALID_JSON),
  ...["NaN", "Infinity", "-Infinity", "undefined", "0x10", "01", "+1", ".5"].map((number) =>
    sends("B58", `the number ${number}`, body(`"temperature":${number}`), INVALID_JSON),
  ),
  sends("B59", "a byte order mark", `\ufeff${body()}`, INVALID_JSON),
  ...[
    { name: "UTF-16 little endian", bytes: () => Buffer.from(body(), "utf16le") },
    { name: "UTF-16 with a byte order mark", bytes: () => Buffer.from(`\ufeff${body()}`, "utf16le") },
    { name: "UTF-16 big endian", bytes: () => Buffer.from(`\ufeff${body()}`, "utf16le").swap16() },
  ].map(
    (row): Row => ({
      id: "B60",
      name: row.name,
      send: () => ({ body: new Uint8Array(row.bytes()) }),
      expect: INVALID_JSON,
    }),
  ),
  notUtf8("the byte ff", [0xff]),
  notUtf8("an overlong slash", [0xc0, 0xaf]),
  notUtf8("an encoded surrogate", [0xed, 0xa0, 0x80]),
  notUtf8("a character cut short", [0xe2, 0x82]),
  notUtf8("a character beyond Unicode", [0xf5, 0x80, 0x80, 0x80]),
  sends(
    "B62",
    "an escaped lone surrogate in a prompt",
    withMessage('{"role":"user","content":"\\ud800"}'),
    "forwarded",
  ),
  sends("B63", "an escaped NUL in a prompt", withMessage('{"role":"user","content":"a\\u0000b"}'), "forwarded"),
  sends("B64", "64 levels", () => body(nested(63, "[", "]")), "forwarded"),
  ...[64, 10_000, 100_000].flatMap((depth) => [
    sends("B64", `${depth + 1} levels of arrays`, () => body(nested(depth, "[", "]")), invalid(null)),
    sends("B64", `${depth + 1} levels of objects`, () => body(nested(depth, '{"a":', "}")), invalid(null)),
  ]),
  sends("B65", "99,000 members", () => body(manyMembers(99_000)), "forwarded"),
  sends("B65", "900,000 members", () => body(manyMembers(900_000)), invalid(null)),
  sends("B66", "a key of 9 MB", () => body(`"${"k".repeat(9 * MIB)}":1`), invalid(null)),
  sends("B66", "a key of 65,537 characters", () => body(`"${"k".repeat(65_537)}":1`), invalid(null)),
  sends("B67", "model twice", `{${NAMED},${NAMED},${PROMPT}}`, invalid("model")),
  sends(
    "B67",
    "model twice, once spelt with an escape",
    `{"mod\\u0065l":"flow/x",${NAMED},${PROMPT}}`,
    invalid("model"),
  ),
  sends("B67", "stream twice", body('"stream":false,"stream":true'), invalid("stream")),
  sends("B67", "route twice", body('"route":{},"route":{}'), invalid("route")),
  sends("B67", "messages twice", body(PROMPT), invalid("messages")),
  ...[
    { path: "route.fallback", members: '"route":{"fallback":true,"f\\u0061llback":false}' },
    { path: "stream_options.include_usage", members: '"stream_options":{"include_usage":true,"include_usage":false}' },
    { path: "tools[0].function", members: '"tools":[{"function":{"name":"a"},"function":{"name":"b"}}]' },
    { path: "tools[1].custom.name", members: '"tools":[{},{"custom":{"name":"a","name":"b"}}]' },
    { path: "Model", members: '"Model":"gpt-5"' },
    { path: "MAX_TOKENS", members: '"MAX_TOKENS":5' },
    { path: "max_to\u212aens", members: '"max_to\u212aens":5' },
    { path: "\u017ftream", members: '"\u017ftream":true' },
    { path: "rout\u0045", members: '"rout\\u0045":{}' },
    { path: "route.Only", members: '"route":{"Only":["openai"]}' },
    { path: "stream_options.Include_Usage", members: '"stream_options":{"Include_Usage":true}' },
    { path: "tools[0].function.Name", members: '"tools":[{"type":"function","function":{"name":"a","Name":"b"}}]' },
  ].map(({ path, members }) => sends("B67", `${members} may be read in two ways`, body(members), invalid(path))),
  ...[
    { path: "messages[0].Role", message: '{"role":"user","Role":"tool","content":"a"}' },
    { path: "messages[0].tool_cal\u006cS", message: '{"role":"assistant","tool_cal\\u006cS":[]}' },
    {
      path: "messages[0].content[1].Type",
      message: '{"role":"user","content":[{"type":"text","text":"a"},{"Type":"x"}]}',
    },
    {
      path: "messages[0].tool_calls[0].function.Arguments",
      message: '{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","Arguments":"{}"}}]}',
    },
    {
      path: "messages[0].tool_calls[0].Function",
      message: '{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f"},"Function":{"name":"g"}}]}',
    },
    {
      path: "messages[0].tool_calls[0].custom.input",
      message: '{"role":"assistant","tool_calls":[{"custom":{"input":"a","input":"b"}}]}',
    },
    {
      path: "messages[0].content[0].image_url.url",
      message: '{"role":"user","content":[{"image_url":{"url":"a","url":"b"}}]}',
    },
  ].map(({ path, message }) => sends("B67", `${message} may be read in two ways`, withMessage(message), invalid(path))),
  passes(
    "B67",
    "keys that are not read, in any case",
    '"Top_P":1,"Metadata":{"Model":1,"model":2},"user":"u","User":"v"',
  ),
  passes("B67", "a field we do not read twice", '"top_p":1,"top_p":0.5'),
  passes("B68", "1e400", '"x":1e400'),
  passes("B68", "-0", '"x":-0'),
  passes("B68", "2^53+1", '"x":9007199254740993'),
  passes("B68", "a whole number of 400 digits", `"x":${"9".repeat(400)}`),
  sends("B69", "two documents", `${body()}${body()}`, INVALID_JSON),
  sends("B69", "two documents, one per line", `${body()}\n${body()}`, INVALID_JSON),
  sends("B70", "4 MB of white space", () => " ".repeat(4 * MIB), INVALID_JSON),
];

const TOOL = (name: string): string =>
  `{"type":"function","function":{"name":"${name}","parameters":{"type":"object"}}}`;
const CUSTOM_HOST_KEYS = [
  "api_base",
  "base_url",
  "api_key",
  "provider",
  "headers",
  "extra_body",
  "custom_host",
] as const;
/** Members that ask for nothing: they are accepted, and `left` is what reaches the provider of them. */
const absent = (id: string, members: string, left: string): Row => ({
  ...passes(id, `${members} counts as left out`, members),
  arrives: (sent) => sent.replace(`,${members}`, left),
});
/** The provider's own spelling of the limit; the value's text stays. */
const limitRenamed = (sent: string): string => sent.replace('"max_tokens"', '"max_completion_tokens"');

const SCHEMA: readonly Row[] = [
  sends("B71", "no model", `{${PROMPT}}`, invalid("model")),
  sends("B72", "a number for a model", withModel("5"), invalid("model")),
  sends("B72", "null for a model", withModel("null"), invalid("model")),
  sends("B72", "an array for a model", withModel(`["flow/${ROUTE}"]`), invalid("model")),
  sends("B72", "an empty model", withModel('""'), UNKNOWN_ROUTE),
  sends("B72", "a model of 10 KB", withModel(`"flow/${"a".repeat(10_240)}"`), UNKNOWN_ROUTE),
  ...["gpt-5", "openai/gpt-5", "sandbox/deep-1", "claude-opus-5"].map((model) =>
    sends("B73", `the vendor's model ${model}`, withModel(`"${model}"`), UNKNOWN_ROUTE),
  ),
  ...[
    "flow/",
    "flow/../x",
    `flow/${ROUTE}\\u0000`,
    `flow/${ROUTE} `,
    ` flow/${ROUTE}`,
    `FLOW/${ROUTE}`,
    `flow/${ROUTE}@1`,
    `flow/${ROUTE}@latest`,
    `flow/${ROUTE}@0`,
    `flow/production:${ROUTE}`,
    `${ROUTE}-nobody`,
    `anthropic/flow-${ROUTE}@1`,
    "anthropic/flow-nobody",
    "__proto__",
    "constructor",
    "toString",
    "flow/__proto__",
    "flow/constructor",
    "flow/nobody-published-this",
  ].map((model) => sends("B74", `the model ${model}`, withModel(`"${model}"`), UNKNOWN_ROUTE)),
  ...[ROUTE, `anthropic/flow-${ROUTE}`].map((model) => ({
    ...sends("B74", `the route as ${model}`, withModel(`"${model}"`), "forwarded"),
    arrives: (sent: string) => sent.replace(`"${model}"`, `"${MODEL}"`),
  })),
  ...[ROUTE, `flow/nobody`, `nobody`, `anthropic/flow-${ROUTE}`, "openai/gpt-5", "flow/../x", ""].map(
    (model): Row => ({
      id: "B75",
      name: `${model === "" ? "no model" : model} with a key that may call another route only`,
      send: ({ narrowKey }) => ({ headers: { authorization: `Bearer ${narrowKey}` }, body: withModel(`"${model}"`) }),
      expect: refused("route_not_allowed", 403, "model"),
    }),
  ),
  {
    id: "B75",
    name: "a route this key may not call",
    send: ({ narrowKey }) => ({ headers: { authorization: `Bearer ${narrowKey}` }, body: body() }),
    expect: refused("route_not_allowed", 403, "model"),
  },
  {
    id: "B75",
    name: "a route of another environment",
    send: ({ stagingKey }) => ({ headers: { authorization: `Bearer ${stagingKey}` }, body: body() }),
    expect: UNKNOWN_ROUTE,
  },
  sends("B76", "no messages", `{${NAMED}}`, invalid("messages")),
  ...["null", "{}", "[]", '"x"', "0"].map((messages) =>
    sends("B76", `messages ${messages}`, withMessages(messages), invalid("messages")),
  ),
  ...["null", "[]", '"x"'].map((message) =>
    sends("B76", `the message ${message}`, withMessage(message), invalid("messages[0]")),
  ),
  sends(
    "B76",
    "10,000 messages",
    () => withMessages(`[${Array.from({ length: 10_000 }, () => '{"role":"user","content":"a"}').join(",")}]`),
    "forwarded",
  ),
  ...["{}", '{"role":null}', '{"role":1}', '{"content":"a"}'].map((message) =>
    sends("B77", `the message ${message}`, withMessage(message), invalid("messages[0].role")),
  ),
  sends("B77", "an unknown role", withMessage('{"role":"wizard","content":"a"}'), "forwarded"),
  sends(
    "B77",
    "system last",
    withMessages('[{"role":"user","content":"a"},{"role":"system","content":"b"}]'),
    "forwarded",
  ),
  sends("B77", "no content", withMessage('{"role":"user"}'), "forwarded"),
  sends("B77", "null for content", withMessage('{"role":"user","content":null}'), "forwarded"),
  sends(
    "B78",
    "an unknown content part",
    withMessage('{"role":"user","content":[{"type":"smell","x":1}]}'),
    "forwarded",
  ),
  ...[
    "http://169.254.169.254/latest/meta-data/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:25/",
    "javascript:alert(1)",
  ].map((url) =>
    sends(
      "B79",
      `an image at ${url}`,
      withMessage(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"${url}"}}]}`),
      "forwarded",
    ),
  ),
  {
    id: "B79",
    name: "an image at an address that listens",
    send: ({ decoyUrl }) => ({
      body: withMessage(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"${decoyUrl}"}}]}`),
    }),
    expect: "forwarded",
  },
  {
    id: "B79",
    name: "an image of 5 MB inside the body",
    send: () => ({
      body: withMessage(
        `{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,${"A".repeat(5 * MIB)}"}}]}`,
      ),
    }),
    expect: "forwarded",
  },
  raw(
    "B79",
    "an image of 50 MB declared",
    { framing: [`Content-Length: ${50 * MIB}`], body: '{"messages":[{"content":"data:image/png;base64,' },
    TOO_LARGE,
  ),
  ...['"true"', "1", "{}"].map((stream) =>
    sends("B80", `stream ${stream}`, body(`"stream":${stream}`), invalid("stream")),
  ),
  ...["max_tokens", "max_completion_tokens"].flatMap((name) =>
    ["-1", "0", "1.5", '"10"', "1e400"].map((value) =>
      sends("B81", `${name} ${value}`, body(`"${name}":${value}`), invalid(name)),
    ),
  ),
  { ...passes("B81", "max_tokens 1e9", '"max_tokens":1e9'), arrives: limitRenamed },
  {
    ...passes("B81", "both limits", '"max_tokens":10,"max_completion_tokens":20'),
    arrives: (sent) => sent.replace('"max_tokens":10,', ""),
  },
  ...["0", "-1", "1.5", '"2"'].map((value) => sends("B82", `n ${value}`, body(`"n":${value}`), invalid("n"))),
  passes("B82", "n 1000", '"n":1000'),
  ...["stream", "max_tokens", "max_completion_tokens", "n", "tools", "stream_options"].map((name) =>
    absent(name === "stream" ? "B80" : name === "n" ? "B82" : "B81", `"${name}":null`, ""),
  ),
  absent("B86", '"tools":[]', ""),
  absent("B86", '"tools":[],"tool_choice":"auto","user":"u"', ',"user":"u"'),
  absent("B86", '"tool_choice":null,"tools":[ ]', ""),
  absent("B91", '"stream_options":{"include_usage":null}', ""),
  absent(
    "B86",
    '"tools":[{"type":"function","function":{"name":"a"}}, {"type":"custom","function":null,"custom":{"name":null,"x":1e2}}]',
    ',"tools":[{"type":"function","function":{"name":"a"}}, {"type":"custom","custom":{"x":1e2}}]',
  ),
  ...['"NaN"', "-1", "3", "null"].map((value) => passes("B83", `temperature ${value}`, `"temperature":${value}`)),
  passes(
    "B84",
    "1,000 stop words",
    () => `"stop":${JSON.stringify(Array.from({ length: 1_000 }, (_, word) => `w${word}`))}`,
  ),
  passes(
    "B85",
    "a huge logit_bias",
    () => `"logit_bias":{${Array.from({ length: 50_000 }, (_, token) => `"${token}":-100`).join(",")}}`,
  ),
  passes(
    "B86",
    "1,000 tools",
    () => `"tools":[${Array.from({ length: 1_000 }, (_, tool) => TOOL(`t${tool}`)).join(",")}]`,
  ),
  passes(
    "B86",
    "a tool schema of 1 MB",
    () => `"tools":[{"type":"function","function":{"name":"a","description":"${"d".repeat(MIB)}"}}]`,
  ),
  passes(
    "B86",
    "a recursive $ref",
    '"tools":[{"type":"function","function":{"name":"a","parameters":{"properties":{"next":{"$ref":"#"}}}}}]',
  ),
  {
    id: "B86",
    name: "a remote $ref",
    send: ({ decoyUrl }) => ({
      body: body(`"tools":[{"type":"function","function":{"name":"a","parameters":{"$ref":"${decoyUrl}"}}}]`),
    }),
    expect: "forwarded",
  },
  {
    id: "B86",
    name: "a tool name with spaces",
    send: () => ({ body: body(`"tools":[${TOOL("a b c")}]`) }),
    arrives: (sent) => sent.replace("a b c", "a_b_c"),
    expect: "forwarded",
  },
  sends("B86", "a tool name twice", body(`"tools":[${TOOL("a")},${TOOL("b")},${TOOL("a")}]`), invalid("tools")),
  sends(
    "B86",
    "a tool name twice, once spelt with an escape",
    body(`"tools":[${TOOL("a")},${TOOL("\\u0061")}]`),
    invalid("tools"),
  ),
  sends("B86", "an object for tools", body('"tools":{}'), invalid("tools")),
  sends("B86", "a text for a tool", body('"tools":["a"]'), invalid("tools[0]")),
  sends(
    "B86",
    "a number for a tool's name",
    body('"tools":[{"function":{"name":1}}]'),
    invalid("tools[0].function.name"),
  ),
  passes("B87", "tool_choice of an absent tool", '"tool_choice":{"type":"function","function":{"name":"nobody"}}'),
  sends(
    "B88",
    "a result of an unknown tool call, where no approval is required",
    withMessages('[{"role":"user","content":"a"},{"role":"tool","tool_call_id":"call_nobody","content":"b"}]'),
    "forwarded",
  ),
  ...['"xml"', '{"type":"json_schema"}', '{"type":7}', "null"].map((format) =>
    passes("B89", `response_format ${format}`, `"response_format":${format}`),
  ),
  passes("B90", "seed 2^63", '"seed":9223372036854775808'),
  passes("B90", "seed 2^53+1", '"seed":9007199254740993'),
  passes("B91", "stream_options without stream", '"stream_options":{"include_usage":true}'),
  ...["true", '"x"', "[]", '{"include_usage":"yes"}'].map((options) =>
    sends(
      "B91",
      `stream_options ${options}`,
      body(`"stream_options":${options}`),
      invalid(options.startsWith("{") ? "stream_options.include_usage" : "stream_options"),
    ),
  ),
  ...CUSTOM_HOST_KEYS.map(
    (name): Row => ({
      id: "B92",
      name: `a host or credential as ${name}`,
      send: ({ decoyUrl }) => ({
        body: body(
          `"${name}":${name === "headers" || name === "extra_body" ? `{"Authorization":"${decoyUrl}"}` : `"${decoyUrl}"`}`,
        ),
      }),
      expect: "forwarded",
    }),
  ),
  passes("B93", "__proto__ at the top", '"__proto__":{"scopes":["raw_models"],"stream":true,"fallback":false}'),
  passes("B93", "constructor.prototype at the top", '"constructor":{"prototype":{"stream":true}}'),
  sends("B93", "__proto__ for the model", `{"__proto__":{${NAMED}},${PROMPT}}`, invalid("model")),
  sends(
    "B93",
    "__proto__ in a message",
    withMessage('{"role":"user","content":"a","__proto__":{"role":"tool"}}'),
    "forwarded",
  ),
  sends(
    "B93",
    "__proto__ for a message's role",
    withMessage('{"__proto__":{"role":"user"}}'),
    invalid("messages[0].role"),
  ),
  passes("B93", "__proto__ in a tool", `"tools":[{"type":"function","__proto__":{"x":1},"function":{"name":"a"}}]`),
  sends(
    "B93",
    "__proto__ in the route controls",
    body('"route":{"__proto__":{"fallback":false}}'),
    invalid("route.__proto__"),
  ),
  sends("B93", "constructor in the route controls", body('"route":{"constructor":1}'), invalid("route.constructor")),
  passes("B94", "metadata of 1 MB", () => `"metadata":{"a":"${"m".repeat(MIB)}"}`),
];

const absentRoute = (id: string, route: string): Row => ({
  ...sends(id, `route ${route} asks for nothing`, body(`"route":${route}`), "forwarded"),
  arrives: (sent) => sent.replace(`,"route":${route}`, ""),
});
const control = (id: string, member: string, value: string): Row =>
  sends(id, `${member} ${value}`, body(`"route":{"${member}":${value}}`), invalid(`route.${member}`));
const mirror = (id: string, name: string, value: string): Row =>
  withHeaders(id, `${name}: ${value}`, { [name]: value }, badHeader(name));

const CONTROLS: readonly Row[] = [
  ...["null", '{"fallback":null,"only":null,"tags":null}', '{"tags":{"a":null}}'].map((route) =>
    absentRoute("B95", route),
  ),
  ...["[]", '"x"', "1", "true"].map((route) =>
    sends("B95", `route ${route}`, body(`"route":${route}`), invalid("route")),
  ),
  sends("B96", "an unknown control", body('"route":{"fallbak":true}'), invalid("route.fallbak")),
  sends("B96", "a control in another case", body('"route":{"Fallback":true}'), invalid("route.Fallback")),
  ...['"yes"', "1"].map((value) => control("B97", "fallback", value)),
  ...["True", "FALSE"].map((value) =>
    withHeaders("B97", `X-FlowLayer-Fallback: ${value}`, { "x-flowlayer-fallback": value }, "forwarded"),
  ),
  ...["yes", "1", ""].map((value) => mirror("B97", "X-FlowLayer-Fallback", value)),
  ...["0", "-1", "1e12", "600001", '"1800"', "0.5", "1e400"].map((value) => control("B98", "latency_budget_ms", value)),
  sends("B98", "latency_budget_ms NaN", body('"route":{"latency_budget_ms":NaN}'), INVALID_JSON),
  ...["0", "-1", "1e3", "600001", "0.5", "NaN", "", "1800ms"].map((value) =>
    mirror("B98", "X-FlowLayer-Latency-Budget-Ms", value),
  ),
  ...["-1", "0", "-0", '"1"', "1e400"].map((value) => control("B99", "spend_budget_usd", value)),
  ...["-1", "0", "free", ""].map((value) => mirror("B99", "X-FlowLayer-Spend-Budget-Usd", value)),
  ...["only", "avoid"].flatMap((member) => ['"openai"', "{}"].map((value) => control("B99", member, value))),
  ...["", "mistral,,openai", ","].map((value) => mirror("B99", "X-FlowLayer-Only", value)),
  ...["a", "=x", "a=1,a=2", `${"n".repeat(65)}=x`, `a=${"v".repeat(257)}`].map((value) =>
    mirror("B99", "X-FlowLayer-Tags", value),
  ),
  withHeaders(
    "B99",
    "X-FlowLayer-Only that leaves nothing",
    { "x-flowlayer-only": "mistral, groq" },
    {
      ...refused("no_capable_target", 400, "route.only"),
      traced: true,
    },
  ),
  withHeaders("B99", "X-FlowLayer-Avoid of others", { "x-flowlayer-avoid": "mistral, groq" }, "forwarded"),
  withHeaders("B99", "X-FlowLayer-Tags", { "x-flowlayer-tags": "team=search, feature = a=b" }, "forwarded"),
  sends("B99", "only with a number in it", body('"route":{"only":[1]}'), invalid("route.only[0]")),
  sends("B99", "only that leaves nothing", body('"route":{"only":["mistral"]}'), {
    ...refused("no_capable_target", 400, "route.only"),
    traced: true,
  }),
  sends(
    "B99",
    "17 tags",
    () => {
      const tags = Object.fromEntries(Array.from({ length: 17 }, (_, tag) => [`t${tag}`, "x"]));
      return body(`"route":{"tags":${JSON.stringify(tags)}}`);
    },
    invalid("route.tags"),
  ),
  sends("B99", "a tag that is a number", body('"route":{"tags":{"a":1}}'), invalid("route.tags.a")),
  ...["false", '"no"', "0"].map((value): Row => {
    const text = `{"model":"flow/${GATED_ROUTE}","messages":[{"role":"tool","tool_call_id":"call_x","content":"${PROMPT_CANARY}"}],"route":{"require_tool_approval":${value}}}`;
    return sends(
      "B100",
      `require_tool_approval ${value} where the policy requires it`,
      text,
      value === "false"
        ? { ...refused("tool_approval_required", 403, "messages"), traced: true }
        : invalid("route.require_tool_approval"),
    );
  }),
  {
    id: "B100",
    name: "X-FlowLayer-Require-Tool-Approval: false where the policy requires it",
    send: () => ({
      headers: { "x-flowlayer-require-tool-approval": "false" },
      body: `{"model":"flow/${GATED_ROUTE}","messages":[{"role":"tool","tool_call_id":"call_x","content":"a"}]}`,
    }),
    expect: { ...refused("tool_approval_required", 403, "messages"), traced: true },
  },
];

const admin = (
  id: string,
  name: string,
  call: (known: Known) => HttpCall & { readonly json?: unknown },
  expect: Expected,
): Row => ({
  id,
  name,
  send: (known) => {
    const { json, ...rest } = call(known);
    return {
      ...rest,
      headers: { authorization: `Bearer ${known.adminToken}`, ...rest.headers },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    };
  },
  expect,
});

const TARGET = { provider: "sandbox", model: "deep-1" };
const POLICY = { targets: [TARGET] };
const policy = (name: string, json: unknown, expect: Expected, path = "/admin/routes/production/bad-policy"): Row =>
  admin("B104", name, () => ({ method: "PUT", path, json }), expect);

const ADMIN: readonly Row[] = [
  ...["/admin/keys", "/admin/routes", "/admin/audit", "/admin/nothing"].map(
    (path): Row => ({
      id: "B101",
      name: `an API key on ${path}`,
      send: () => ({ method: "GET", path }),
      expect: INVALID_KEY,
    }),
  ),
  {
    id: "B101",
    name: "an API key that creates a key",
    send: () => ({ path: "/admin/keys", body: '{"name":"evil","env":"production"}' }),
    expect: INVALID_KEY,
  },
  {
    id: "B101",
    name: "an API key that publishes a policy",
    send: () => ({ method: "PUT", path: "/admin/routes/production/bad-policy", body: JSON.stringify(POLICY) }),
    expect: INVALID_KEY,
  },
  {
    id: "B102",
    name: "the trace of another key",
    send: ({ foreignTraceId }) => ({ method: "GET", path: `/v1/traces/${foreignTraceId}` }),
    expect: refused("unknown_trace", 404),
  },
  ...["tr_x", "%00", "__proto__", "..%2f..%2fadmin"].map(
    (id): Row => ({
      id: "B102",
      name: `the trace ${id}`,
      send: () => ({ method: "GET", path: `/v1/traces/${id}` }),
      expect: refused("unknown_trace", 404),
    }),
  ),
  {
    id: "B102",
    name: "a list of traces that continues behind another key's",
    send: ({ foreignTraceId }) => ({ method: "GET", path: `/v1/traces?cursor=${foreignTraceId}` }),
    expect: invalid("cursor"),
  },
  {
    id: "B102",
    name: "a model this key may not call",
    send: ({ narrowKey }) => ({
      method: "GET",
      path: `/v1/models/flow/${ROUTE}`,
      headers: { authorization: `Bearer ${narrowKey}` },
    }),
    expect: NOT_FOUND,
  },
  ...["nobody", "__proto__", "%00", "'%20OR%201=1--"].flatMap((id) => [
    admin("B102", `the key ${id}`, () => ({ method: "GET", path: `/admin/keys/${id}` }), NOT_FOUND),
    admin("B102", `the end of the key ${id}`, () => ({ method: "DELETE", path: `/admin/keys/${id}` }), NOT_FOUND),
  ]),
  policy("an unknown provider", { targets: [{ provider: "nobody", model: "x" }] }, invalid("targets[0].provider")),
  policy(
    "the provider __proto__",
    { targets: [{ provider: "__proto__", model: "x" }] },
    invalid("targets[0].provider"),
  ),
  policy("no targets", { targets: [] }, invalid("targets")),
  policy("17 targets", { targets: Array.from({ length: 17 }, () => TARGET) }, invalid("targets")),
  policy("an unknown key", { ...POLICY, fallbacks: ["other"] }, invalid("fallbacks")),
  policy("an unknown key inside", { ...POLICY, retry: { same: 1 } }, invalid("retry.same")),
  policy(
    "a provider's address over http",
    { targets: [{ ...TARGET, base_url: "http://a.example" }] },
    invalid("targets[0].base_url"),
  ),
  policy(
    "a provider's address by number",
    { targets: [{ ...TARGET, origin: "https://127.0.0.1" }] },
    invalid("targets[0].origin"),
  ),
  ...[-1, 0, 0.5].map((price) =>
    policy(`a price of ${price}`, { targets: [{ ...TARGET, price }] }, invalid("targets[0].price")),
  ),
  policy("a negative weight", { targets: [{ ...TARGET, weight: -1 }] }, invalid("targets[0].weight")),
  policy("a text for a number", { ...POLICY, fallback: { max_attempts: "4" } }, invalid("fallback.max_attempts")),
  ...[
    { path: "fallback.max_attempts", policy: { fallback: { max_attempts: 17 } } },
    { path: "fallback.on[0]", policy: { fallback: { on: ["everything"] } } },
    { path: "retry.same_target", policy: { retry: { same_target: 4 } } },
    { path: "retry.backoff_ms", policy: { retry: { backoff_ms: -1 } } },
    { path: "latency.budget_ms", policy: { latency: { budget_ms: 600_001 } } },
    { path: "latency.hedge_max_ratio", policy: { latency: { hedge_max_ratio: 1.1 } } },
    { path: "timeouts.idle_ms", policy: { timeouts: { idle_ms: 99 } } },
    { path: "timeouts.total_ms", policy: { timeouts: { total_ms: 3_600_001 } } },
    { path: "spend.max_request_usd", policy: { spend: { max_request_usd: 0 } } },
    { path: "spend.max_request_usd", policy: { spend: { max_request_usd: -1 } } },
    { path: "limits.max_output_tokens", policy: { limits: { max_output_tokens: 1.5 } } },
    { path: "tools.delivery", policy: { tools: { delivery: "throw" } } },
    { path: "strategy", policy: { strategy: "luck" } },
    { path: "stream_recovery", policy: { stream_recovery: true } },
  ].map((row) => policy(`${JSON.stringify(row.policy)}`, { ...POLICY, ...row.policy }, invalid(row.path))),
  policy("null", null, invalid(null)),
  policy("an array", [], invalid(null)),
  policy("more than 1 MB", { ...POLICY, description: "d".repeat(MIB) }, TOO_LARGE),
  policy("a script for a route's name", POLICY, invalid("name"), "/admin/routes/production/%3Cscript%3E"),
  policy("a script for an environment", POLICY, invalid("env"), "/admin/routes/%3Cscript%3E/x"),
  policy("a route called __proto__", POLICY, invalid("name"), "/admin/routes/production/__proto__"),
  policy("a route name of 64 characters", POLICY, invalid("name"), `/admin/routes/production/${"a".repeat(64)}`),
  ...['"999"', "999", '"other"', '"1", "2"', 'W/"1"'].map((version) =>
    admin(
      "B104",
      `If-Match: ${version}, which is not the active version`,
      () => ({
        method: "PUT",
        path: `/admin/routes/production/${UNGRANTED_ROUTE}`,
        headers: { "if-match": version },
        json: POLICY,
      }),
      refused("version_mismatch", 412),
    ),
  ),
  admin(
    "B104",
    "a script for an app's name",
    () => ({ path: "/admin/keys", json: { name: "x", env: "production", apps: ["<script>"] } }),
    invalid("apps[0]"),
  ),
  admin(
    "B104",
    "an unknown field of a key",
    () => ({ path: "/admin/keys", json: { name: "x", env: "production", admin: true } }),
    invalid("admin"),
  ),
  admin(
    "B104",
    "a policy that is not JSON",
    () => ({ method: "PUT", path: "/admin/routes/production/bad-policy", body: "{" }),
    INVALID_JSON,
  ),
  admin(
    "B104",
    "a policy that is no JSON by its type",
    () => ({
      method: "PUT",
      path: "/admin/routes/production/bad-policy",
      headers: { "content-type": "text/plain" },
      json: POLICY,
    }),
    WRONG_TYPE,
  ),
];

export const BAD_INPUTS: readonly Row[] = [
  ...AUTHENTICATION,
  ...HEADERS,
  ...PATHS,
  ...FRAMING,
  ...SYNTAX,
  ...SCHEMA,
  ...CONTROLS,
  ...ADMIN,
];

const order = (name: string, send: Row["send"], expect: Refused): Row => ({ id: "order", name, send, expect });
const BROKEN = "{";
const as = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });

/** Two faults at once: the one that is checked first is the one that is named. */
export const ORDER: readonly Row[] = [
  order(
    "the path comes before the key outside /v1",
    () => ({ path: "/x", headers: { authorization: "Bearer x" } }),
    NOT_FOUND,
  ),
  order(
    "the key comes before the path under /v1",
    () => ({ path: "/v1/x", headers: { authorization: "Bearer x" } }),
    INVALID_KEY,
  ),
  order("the method comes before the key", () => ({ method: "PUT", headers: { authorization: "Bearer x" } }), NOT_POST),
  order(
    "the key's tail comes before the content type",
    ({ key }) => ({ headers: { ...as(changed(key, -1)), "content-type": "text/plain" }, body: BROKEN }),
    INVALID_KEY,
  ),
  raw(
    "order",
    "the content type comes before the declared size",
    { lines: ["Content-Encoding: gzip"], framing: [`Content-Length: ${50 * MIB}`] },
    WRONG_TYPE,
  ),
  order(
    "the content type comes before the key's record",
    ({ unknownKey }) => ({ headers: { ...as(unknownKey), "content-type": "text/plain" }, body: BROKEN }),
    WRONG_TYPE,
  ),
  raw(
    "order",
    "the declared size comes before the key's record",
    ({ unknownKey }) => ({
      authorization: [`Authorization: Bearer ${unknownKey}`],
      framing: [`Content-Length: ${50 * MIB}`],
    }),
    TOO_LARGE,
  ),
  order(
    "the key's record comes before the browser",
    ({ revokedKey }) => ({ headers: { ...as(revokedKey), origin: "https://evil.example" }, body: BROKEN }),
    INVALID_KEY,
  ),
  order(
    "the browser comes before the environment",
    () => ({ headers: { origin: "https://evil.example", "x-flowlayer-env": "nowhere" }, body: BROKEN }),
    refused("browser_request", 403),
  ),
  order(
    "the environment comes before the app",
    () => ({ headers: { "x-flowlayer-env": "nowhere", "x-flowlayer-app": "?" }, body: BROKEN }),
    refused("env_mismatch", 403),
  ),
  order(
    "an app the key does not serve comes before other headers",
    ({ webKey }) => ({
      headers: { ...as(webKey), "x-flowlayer-app": "mobile", "x-flowlayer-fallback": "perhaps" },
      body: BROKEN,
    }),
    refused("app_not_allowed", 403, "X-FlowLayer-App"),
  ),
  order(
    "headers come before the body",
    () => ({ headers: { "x-flowlayer-fallback": "perhaps" }, body: BROKEN }),
    badHeader("X-FlowLayer-Fallback"),
  ),
  order("the body comes before its schema", () => ({ body: `{"model":5,` }), INVALID_JSON),
  order(
    "the schema comes before the route",
    () => ({ body: '{"model":"flow/nobody","messages":[]}' }),
    invalid("messages"),
  ),
  order(
    "the scope comes before the route",
    ({ readerKey }) => ({ headers: as(readerKey), body: withModel('"flow/nobody"') }),
    refused("scope_required", 403),
  ),
  order(
    "the schema comes before the scope",
    ({ readerKey }) => ({ headers: as(readerKey), body: '{"model":"flow/nobody","messages":[]}' }),
    invalid("messages"),
  ),
];
