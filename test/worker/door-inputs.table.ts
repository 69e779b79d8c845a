/**
 * Bad inputs of the Messages and the Responses door, one row each: what is sent, and what has to come of it, as the table
 * for chat has them. What the doors share with chat (framing, syntax, headers) has a few rows here for its shape; the
 * members of each door have all of theirs.
 */
import { gzipSync } from "node:zlib";
import type { ErrorCode } from "../../src/http/errors.ts";

export type DoorName = "messages" | "responses";

/** What the test file has set up before the first row. */
export interface DoorKnown {
  readonly key: string;
  /** Another key of the same environment. */
  readonly otherKey: string;
  readonly stagingKey: string;
  readonly revokedKey: string;
  readonly unknownKey: string;
  /** May call no route of the rows. */
  readonly narrowKey: string;
  /** Has the one app `web`. */
  readonly webKey: string;
  /** Lacks the scope `chat`. */
  readonly readerKey: string;
  readonly adminToken: string;
  /** The route of the rows, `flow/…`, whose target speaks chat only. */
  readonly route: string;
  /** One whose target speaks the door's wire. */
  readonly native: string;
  /** Stored responses, by what became of them, and items of theirs. */
  readonly responses: Readonly<Record<"own" | "foreign" | "expired" | "deleted" | "rotated" | "unstored", string>>;
  readonly items: Readonly<Record<"own" | "foreign" | "deleted", string>>;
}

export interface DoorCall {
  /** Default `POST`. */
  readonly method?: string;
  /** Default the door's own. */
  readonly path?: string;
  /** On top of a valid key and JSON as content type; `null` removes one of these. */
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

export interface DoorRefusal {
  readonly status: number;
  readonly code: ErrorCode;
  /** `null`: none. Absent: not looked at. */
  readonly param?: string | null;
  readonly allow?: string;
  readonly says?: RegExp;
}

export interface DoorRow {
  readonly door: DoorName;
  readonly name: string;
  readonly send: (known: DoorKnown) => DoorCall;
  /**
   * `native`: reaches a target of the wire as it is, but for `model`; `answered`: 200, by whatever target;
   * `estimated`: 200, by none.
   */
  readonly expect: DoorRefusal | "native" | "answered" | "estimated";
  /** What reaches a native target, where it is not what was sent with `model` replaced. */
  readonly arrives?: (sent: string) => string;
}

const MIB = 1024 * 1024;
const refused = (code: ErrorCode, status: number, param?: string | null): DoorRefusal =>
  param === undefined ? { status, code } : { status, code, param };
const invalid = (param: string | null): DoorRefusal => refused("invalid_request", 400, param);
const INVALID_JSON = refused("invalid_json", 400, null);
const INVALID_KEY = refused("invalid_api_key", 401);
const MISSING_KEY = refused("missing_api_key", 401);
const NOT_FOUND = refused("not_found", 404);
const TOO_LARGE = refused("request_too_large", 413);
const WRONG_TYPE = refused("unsupported_media_type", 415);
const NOT_THERE = (param: string): DoorRefusal => ({
  ...refused("response_not_found", 404, param),
  says: /[Ss]end the whole input/,
});

interface Form {
  readonly door: DoorName;
  /** Members that make a whole body, besides `model`; by name, as text. */
  readonly members: Readonly<Record<string, string>>;
}

const MESSAGES: Form = {
  door: "messages",
  members: { max_tokens: "50", messages: '[{"role":"user","content":"Hi."}]' },
};
const RESPONSES: Form = { door: "responses", members: { input: '"Hi."' } };

/** A body with members replaced or added, as text; `undefined` leaves one out. */
function bodyOf({ members }: Form, model: string, more: Readonly<Record<string, string | undefined>> = {}): string {
  const all = { model: JSON.stringify(model), ...members, ...more };
  const said = Object.entries(all).filter(([, value]) => value !== undefined);
  return `{${said.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`;
}

/** Rows that one form of body makes. */
function rowsOf(form: Form) {
  const { door } = form;
  const row = (name: string, send: DoorRow["send"], expect: DoorRow["expect"]): DoorRow => {
    return { door, name: `${door}: ${name}`, send, expect };
  };
  const withMembers = (more: Readonly<Record<string, string | undefined>>, expect: DoorRow["expect"], name?: string) =>
    row(
      name ??
        (expect === "native" ? "natively, " : "") +
          Object.entries(more)
            .map(([key, value]) => `${key} ${value ?? "left out"}`.slice(0, 100))
            .join(", "),
      ({ route, native }) => ({ body: bodyOf(form, expect === "native" ? native : route, more) }),
      expect,
    );
  const text = (name: string, of: (body: string) => string | Uint8Array<ArrayBuffer>, expect: DoorRow["expect"]) =>
    row(name, ({ route }) => ({ body: of(bodyOf(form, route)) }), expect);
  const headers = (
    name: string,
    of: (known: DoorKnown) => Readonly<Record<string, string | null>>,
    expect: DoorRow["expect"],
  ) => row(name, (known) => ({ headers: of(known), body: bodyOf(form, known.route) }), expect);
  const call = (name: string, of: (known: DoorKnown) => DoorCall, expect: DoorRow["expect"]) => row(name, of, expect);
  return { row, withMembers, text, headers, call };
}

const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });

/** What both doors share with chat, in the shape of each. */
function shared(form: Form, path: string, allow: string): readonly DoorRow[] {
  const { text, headers, call, withMembers } = rowsOf(form);
  const NOT_POST = { ...refused("method_not_allowed", 405), allow };
  return [
    headers("no key", () => ({ authorization: null }), MISSING_KEY),
    headers("an empty Authorization", () => ({ authorization: "" }), MISSING_KEY),
    headers("a key without its scheme", ({ key }) => ({ authorization: key }), MISSING_KEY),
    headers("Basic", () => ({ authorization: "Basic YTpi" }), INVALID_KEY),
    headers("an invented key", () => bearer("fl_production_nope"), INVALID_KEY),
    headers("a key with another last character", ({ key }) => bearer(changed(key)), INVALID_KEY),
    headers("a key without a record", ({ unknownKey }) => bearer(unknownKey), INVALID_KEY),
    headers("a revoked key", ({ revokedKey }) => bearer(revokedKey), INVALID_KEY),
    headers("a provider's key", () => bearer("sk-ant-api03-0123456789"), INVALID_KEY),
    headers("the operator's token", ({ adminToken }) => bearer(adminToken), INVALID_KEY),
    headers("a key without the scope", ({ readerKey }) => bearer(readerKey), refused("scope_required", 403)),
    headers("a key for other routes", ({ narrowKey }) => bearer(narrowKey), refused("route_not_allowed", 403)),
    headers("another environment", () => ({ "x-flowlayer-env": "staging" }), refused("env_mismatch", 403)),
    headers(
      "an app that the key does not serve",
      ({ webKey }) => ({ ...bearer(webKey), "x-flowlayer-app": "mobile" }),
      refused("app_not_allowed", 403),
    ),
    headers("an app of spaces", () => ({ "x-flowlayer-app": "a b" }), refused("invalid_header", 400)),
    headers("a control that is none", () => ({ "x-flowlayer-fallback": "maybe" }), refused("invalid_header", 400)),
    headers("a page of elsewhere", () => ({ origin: "https://evil.example" }), refused("browser_request", 403)),
    call(
      "a key in the query",
      ({ key, route }) => ({
        path: `${path}?key=${key}`,
        headers: { authorization: null },
        body: bodyOf(form, route),
      }),
      MISSING_KEY,
    ),
    ...["GET", "PUT", "DELETE", "PATCH", "OPTIONS"]
      .filter((method) => !allow.includes(method))
      .map((method) => call(method, () => ({ method, headers: { authorization: null } }), NOT_POST)),
    call("a slash at the end", ({ route }) => ({ path: `${path}/`, body: bodyOf(form, route) }), NOT_FOUND),
    call(
      "a slash at the end, without a key",
      () => ({ path: `${path}/`, headers: { authorization: null } }),
      MISSING_KEY,
    ),
    headers("text/plain", () => ({ "content-type": "text/plain" }), WRONG_TYPE),
    headers("a form", () => ({ "content-type": "application/x-www-form-urlencoded" }), WRONG_TYPE),
    call(
      "no content type",
      ({ route }) => ({
        headers: { "content-type": null },
        body: new Uint8Array(Buffer.from(bodyOf(form, route))),
      }),
      WRONG_TYPE,
    ),
    call(
      "gzip",
      ({ route }) => ({
        headers: { "content-encoding": "gzip" },
        body: new Uint8Array(gzipSync(bodyOf(form, route))),
      }),
      WRONG_TYPE,
    ),
    text("more than 10 MiB", (body) => body + " ".repeat(10 * MIB), TOO_LARGE),
    text("nothing", () => "", INVALID_JSON),
    ...["null", "[]", '"x"', "42", "true"].map((value) => text(`the body ${value}`, () => value, invalid(null))),
    text("a cut body", (body) => body.slice(0, -1), INVALID_JSON),
    text("a comma too many", (body) => `${body.slice(0, -1)},}`, INVALID_JSON),
    text("a comment", (body) => `{/* c */${body.slice(1)}`, INVALID_JSON),
    text("two documents", (body) => body + body, INVALID_JSON),
    text("a byte order mark", (body) => `\ufeff${body}`, INVALID_JSON),
    text("UTF-16", (body) => new Uint8Array(Buffer.from(body, "utf16le")), INVALID_JSON),
    text(
      "a byte that is no UTF-8",
      (body) => new Uint8Array(Buffer.from(body.replace("Hi", "\xff"), "latin1")),
      INVALID_JSON,
    ),
    text("NaN", (body) => `${body.slice(0, -1)},"temperature":NaN}`, INVALID_JSON),
    text("65 levels", (body) => `${body.slice(0, -1)},"x":${"[".repeat(64)}${"]".repeat(64)}}`, invalid(null)),
    withMembers({ model: undefined }, invalid("model")),
    ...["null", "5", "[]", "{}", "true"].map((model) => withMembers({ model }, invalid("model"))),
    ...['""', '"flow/nowhere"', '"gpt-5"', '"openai/gpt-5"', '"flow/"'].map((model) =>
      withMembers({ model }, refused("unknown_route", 400, "model")),
    ),
    ...['"true"', "1", "{}", "[]"].map((stream) => withMembers({ stream }, invalid("stream"))),
    withMembers({ stream: "null" }, "answered"),
    ...["[]", '"x"', "1", "true"].map((route) => withMembers({ route }, invalid("route"))),
    withMembers({ route: '{"fallbak":true}' }, invalid("route.fallbak")),
    withMembers({ route: '{"Fallback":true}' }, invalid("route.Fallback")),
    withMembers({ route: '{"fallback":"yes"}' }, invalid("route.fallback")),
    withMembers({ route: '{"latency_budget_ms":0}' }, invalid("route.latency_budget_ms")),
    withMembers({ route: '{"spend_budget_usd":-1}' }, invalid("route.spend_budget_usd")),
    withMembers({ route: '{"only":"openai"}' }, invalid("route.only")),
    withMembers({ route: '{"only":["mistral"]}' }, refused("no_capable_target", 400, "route.only")),
    withMembers({ route: '{"tags":{"a":1}}' }, invalid("route.tags.a")),
    withMembers({ route: "null" }, "answered"),
    text("route twice", (body) => `${body.slice(0, -1)},"route":{},"route":{}}`, invalid("route")),
    text("model twice", (body) => `{"model":"flow/x",${body.slice(1)}`, invalid("model")),
    text("model twice, once with an escape", (body) => `{"mod\\u0065l":"flow/x",${body.slice(1)}`, invalid("model")),
    text("Model", (body) => `{"Model":"flow/x",${body.slice(1)}`, invalid("Model")),
    text("\u017ftream", (body) => `{"\u017ftream":true,${body.slice(1)}`, invalid("\u017ftream")),
  ];
}

const changed = (key: string): string => key.slice(0, -1) + (key.endsWith("a") ? "b" : "a");

const m = rowsOf(MESSAGES);
/** The text of one message, or of its content. */
const said = (messages: string, expect: DoorRow["expect"]): DoorRow => m.withMembers({ messages }, expect);
const content = (parts: string, expect: DoorRow["expect"]): DoorRow =>
  said(`[{"role":"user","content":${parts}}]`, expect);
const COUNT = "/v1/messages/count_tokens";

const MESSAGES_ROWS: readonly DoorRow[] = [
  ...shared(MESSAGES, "/v1/messages", "POST"),
  m.headers("an empty x-api-key", () => ({ authorization: null, "x-api-key": "" }), MISSING_KEY),
  m.headers("a foreign x-api-key", () => ({ authorization: null, "x-api-key": "sk-ant-api03-x" }), INVALID_KEY),
  m.headers("the key as x-api-key", ({ key }) => ({ authorization: null, "x-api-key": key }), "answered"),
  m.headers("the key in both places", ({ key }) => ({ "x-api-key": key }), "answered"),
  m.headers("a foreign x-api-key beside the key", () => ({ "x-api-key": "sk-ant-api03-x" }), "answered"),
  m.headers(
    "a foreign bearer beside the key",
    ({ key }) => ({ ...bearer("sk-ant-oat01-x"), "x-api-key": key }),
    "answered",
  ),
  m.headers("two keys", ({ otherKey }) => ({ "x-api-key": otherKey }), INVALID_KEY),
  m.headers("the key and an invented one", () => ({ "x-api-key": "fl_production_nope" }), INVALID_KEY),
  m.headers("a scheme in x-api-key", ({ key }) => ({ authorization: null, "x-api-key": `Bearer ${key}` }), INVALID_KEY),
  m.headers("the key as api-key", ({ key }) => ({ authorization: null, "api-key": key }), MISSING_KEY),
  m.headers("a version that is none", () => ({ "anthropic-version": "tomorrow" }), "answered"),
  m.call("a query", ({ route }) => ({ path: "/v1/messages?beta=true&x=", body: bodyOf(MESSAGES, route) }), "answered"),
  m.call("batches", () => ({ path: "/v1/messages/batches", body: "{}" }), NOT_FOUND),
  m.withMembers({ max_tokens: undefined }, invalid("max_tokens")),
  ...["0", "-1", "1.5", '"10"', "1e400", "null", "[]", "true"].map((max_tokens) =>
    m.withMembers({ max_tokens }, invalid("max_tokens")),
  ),
  m.withMembers({ messages: undefined }, invalid("messages")),
  ...["null", "{}", '"Hi."', "5", "[]"].map((messages) => said(messages, invalid("messages"))),
  ...["[null]", '["Hi."]', "[5]", "[[]]"].map((messages) => said(messages, invalid("messages[0]"))),
  ...["{}", '{"role":null}', '{"role":1}', '{"role":"tool"}', '{"role":"developer"}', '{"role":"User"}'].map(
    (message) => said(`[${message}]`, invalid("messages[0].role")),
  ),
  said('[{"role":"user","content":"a"},{"role":"function","content":"b"}]', invalid("messages[1].role")),
  content('""', invalid("messages")),
  content("[]", invalid("messages")),
  content("null", invalid("messages")),
  ...["5", "true", "{}"].map((parts) => content(parts, refused("no_capable_target", 400, "messages[0].content"))),
  ...["[5]", "[null]", '["Hi."]', "[{}]", '[{"type":"hologram"}]', '[{"type":5}]', '[{"type":"text","text":5}]'].map(
    (parts) => content(parts, refused("no_capable_target", 400, "messages[0].content[0]")),
  ),
  ...['{"type":"image"}', '{"type":"image","source":{"type":"base64"}}', '{"type":"image","source":"x"}'].map((part) =>
    content(`[${part}]`, refused("no_capable_target", 400, "messages[0].content[0]")),
  ),
  content(
    '[{"type":"tool_result","tool_use_id":"t","content":[{"type":"search_result"}]}]',
    refused("no_capable_target", 400, "messages[0].content[0].content[0]"),
  ),
  content('[{"type":"tool_result","tool_use_id":5}]', refused("no_capable_target", 400, "messages[0].content[0]")),
  said(
    '[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":5,"name":"f","input":{}}]}]',
    refused("no_capable_target", 400, "messages[1].content[0]"),
  ),
  ...["5", "true", "{}"].map((system) => m.withMembers({ system }, invalid("system"))),
  ...["[5]", '["Be brief."]', "[null]"].map((system) => m.withMembers({ system }, invalid("system"))),
  m.withMembers({ system: '[{"type":"image"}]' }, refused("no_capable_target", 400, "system[0]")),
  ...['""', "[]", "null"].map((system) => m.withMembers({ system }, "answered")),
  ...["{}", '"f"', "5"].map((tools) => m.withMembers({ tools }, invalid("tools"))),
  ...['["f"]', "[null]", "[5]"].map((tools) => m.withMembers({ tools }, invalid("tools[0]"))),
  m.withMembers({ tools: '[{"name":5}]' }, invalid("tools[0].name")),
  m.withMembers({ tools: '[{"name":"f"},{"name":"g"},{"name":"f"}]' }, invalid("tools")),
  m.withMembers({ tools: '[{"name":"f"},{"name":"\\u0066"}]' }, invalid("tools")),
  m.withMembers(
    { tools: '[{"type":"computer_20250124","name":"computer"}]' },
    refused("no_capable_target", 400, "tools[0]"),
  ),
  ...["null", "[]"].map((tools) => m.withMembers({ tools, tool_choice: '{"type":"auto"}' }, "answered")),
  ...['"auto"', "5", "[]", "true"].map((tool_choice) => m.withMembers({ tool_choice }, invalid("tool_choice"))),
  ...["{}", '{"type":5}'].map((tool_choice) => m.withMembers({ tool_choice }, invalid("tool_choice.type"))),
  ...['"on"', "5", "[]", "true"].map((thinking) => m.withMembers({ thinking }, invalid("thinking"))),
  ...["{}", '{"type":true}'].map((thinking) => m.withMembers({ thinking }, invalid("thinking.type"))),
  ...["max_tokens", "messages", "system", "stream", "tools", "tool_choice", "thinking"].map((name) =>
    m.text(`${name} twice`, (body) => `${body.slice(0, -1)},"${name}":1,"${name}":2}`, invalid(name)),
  ),
  ...["Max_Tokens", "MESSAGES", "System", "Tool_Choice", "thinKing"].map((name) =>
    m.text(`${name}, too`, (body) => `${body.slice(0, -1)},"${name}":1}`, invalid(name)),
  ),
  ...(
    [
      ["messages[0].role", '[{"role":"user","role":"assistant","content":"a"}]'],
      ["messages[0].Role", '[{"role":"user","Role":"assistant","content":"a"}]'],
      ["messages[0].content", '[{"role":"user","content":"a","content":"b"}]'],
      ["messages[0].content[0].type", '[{"role":"user","content":[{"type":"text","type":"tool_result","text":"a"}]}]'],
      [
        "messages[0].content[0].Tool_Use_Id",
        '[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","Tool_Use_Id":"b"}]}]',
      ],
      [
        "messages[0].content[0].input",
        '[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{},"input":{}}]}]',
      ],
      [
        "messages[0].content[0].content[0].text",
        '[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"a","text":"b"}]}]}]',
      ],
      [
        "messages[0].content[0].source.data",
        '[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"a","data":"b"}}]}]',
      ],
    ] as const
  ).map(([param, messages]) => said(messages, invalid(param))),
  m.withMembers({ tools: '[{"name":"f","Name":"g"}]' }, invalid("tools[0].Name")),
  m.withMembers({ tools: '[{"name":"f","type":"custom","type":"bash_20250124"}]' }, invalid("tools[0].type")),
  m.withMembers({ tool_choice: '{"type":"tool","name":"f","name":"g"}' }, invalid("tool_choice.name")),
  m.withMembers({ thinking: '{"type":"enabled","type":"disabled"}' }, invalid("thinking.type")),
  m.withMembers({ system: '[{"type":"text","text":"a","text":"b"}]' }, invalid("system[0].text")),
  // Everything else is the provider's to judge.
  ...(
    [
      { temperature: '"hot"' },
      { top_k: "-1" },
      { stop_sequences: '"END"' },
      { metadata: "[]" },
      { service_tier: "5" },
      { output_config: '"x"' },
      { x_new: '{"a":[1e400,9007199254740993,{"a":1,"A":2}]}' },
      { messages: '[{"role":"user","content":[{"type":"hologram","data":1.0}]}]' },
      { messages: '[{"role":"user","content":5}]' },
      { system: '[{"type":"image"}]' },
      { tools: '[{"type":"computer_20250124","name":"computer"}]' },
      { tools: '[{"input_schema":5}]' },
      { tool_choice: '{"type":"telepathy"}' },
      { thinking: '{"type":"deep"}' },
    ] as const
  ).map((more) => m.withMembers(more, "native")),
  m.call("count_tokens: no key", () => ({ path: COUNT, headers: { authorization: null }, body: "{}" }), MISSING_KEY),
  m.call("count_tokens: GET", () => ({ path: COUNT, method: "GET" }), {
    ...refused("method_not_allowed", 405),
    allow: "POST",
  }),
  m.call(
    "count_tokens: text/plain",
    ({ route }) => ({
      path: COUNT,
      headers: { "content-type": "text/plain" },
      body: bodyOf(MESSAGES, route),
    }),
    WRONG_TYPE,
  ),
  m.call("count_tokens: bad JSON", () => ({ path: COUNT, body: "{" }), INVALID_JSON),
  m.call("count_tokens: no object", () => ({ path: COUNT, body: "[]" }), invalid(null)),
  m.call(
    "count_tokens: no messages",
    ({ route }) => ({ path: COUNT, body: `{"model":"${route}"}` }),
    invalid("messages"),
  ),
  m.call(
    "count_tokens: no model",
    () => ({
      path: COUNT,
      body: '{"messages":[{"role":"user","content":"a"}]}',
    }),
    invalid("model"),
  ),
  m.call(
    "count_tokens: an unknown route",
    () => ({
      path: COUNT,
      body: '{"model":"flow/nowhere","messages":[{"role":"user","content":"a"}]}',
    }),
    "estimated",
  ),
  m.call(
    "count_tokens: a page of elsewhere",
    ({ route }) => ({
      path: COUNT,
      headers: { origin: "https://evil.example" },
      body: bodyOf(MESSAGES, route),
    }),
    refused("browser_request", 403),
  ),
  m.call(
    "count_tokens: a key without the scope",
    ({ route, readerKey }) => ({
      path: COUNT,
      headers: bearer(readerKey),
      body: bodyOf(MESSAGES, route),
    }),
    refused("scope_required", 403),
  ),
];

const r = rowsOf(RESPONSES);
const input = (text: string, expect: DoorRow["expect"]): DoorRow => r.withMembers({ input: text }, expect);
const item = (text: string, expect: DoorRow["expect"]): DoorRow => input(`[${text}]`, expect);
const HELLO = '{"role":"user","content":"a"}';
const TOKENS = "/v1/responses/input_tokens";
const COMPACT = "/v1/responses/compact";

type Gone = keyof DoorKnown["responses"];
const GONE: readonly Gone[] = ["foreign", "expired", "deleted", "rotated", "unstored"];

const RESPONSES_ROWS: readonly DoorRow[] = [
  ...shared(RESPONSES, "/v1/responses", "POST"),
  r.headers("the key as x-api-key", ({ key }) => ({ authorization: null, "x-api-key": key }), MISSING_KEY),
  r.withMembers({ input: undefined }, invalid("input")),
  ...["null", "5", "{}", "true"].map((text) => input(text, invalid("input"))),
  ...['""', "[]"].map((text) => input(text, invalid("input"))),
  ...["5", "null", '"a"', "[]"].map((each) => item(each, invalid("input[0]"))),
  item(`${HELLO},7`, invalid("input[1]")),
  item("{}", invalid("input[0].type")),
  item('{"type":5}', invalid("input[0].type")),
  item('{"type":"message"}', invalid("input[0].role")),
  item('{"role":5,"content":"a"}', invalid("input[0].role")),
  item('{"content":"a"}', invalid("input[0].role")),
  ...["function_call", "custom_tool_call"].flatMap((type) => [
    item(`{"type":"${type}","name":"f"}`, invalid("input[0].call_id")),
    item(`{"type":"${type}","call_id":"c"}`, invalid("input[0].name")),
    item(`{"type":"${type}","call_id":5,"name":"f"}`, invalid("input[0].call_id")),
  ]),
  ...["function_call_output", "custom_tool_call_output"].map((type) =>
    item(`{"type":"${type}","output":"a"}`, invalid("input[0].call_id")),
  ),
  item('{"type":"item_reference"}', invalid("input[0].id")),
  item('{"type":"item_reference","id":""}', invalid("input[0].id")),
  item('{"type":"item_reference","id":5}', invalid("input[0].id")),
  item('{"type":"hologram","data":"x"}', refused("no_capable_target", 400, "input[0].hologram")),
  item('{"role":"wizard","content":"a"}', refused("no_capable_target", 400, "input[0].role")),
  item('{"role":"user","content":5}', refused("no_capable_target", 400, "input[0].content")),
  item('{"role":"user","content":[5]}', refused("no_capable_target", 400, "input[0].content[0]")),
  item('{"role":"user","content":[{"type":"smell"}]}', refused("no_capable_target", 400, "input[0].content[0]")),
  item('{"role":"user","content":[{"type":"input_image"}]}', refused("no_capable_target", 400, "input[0].content[0]")),
  item(
    '{"role":"user","content":[{"type":"input_file","file_id":"file_1"}]}',
    refused("no_capable_target", 400, "input[0].content[0]"),
  ),
  ...["instructions", "previous_response_id"].flatMap((name) =>
    ["5", "{}", "[]", "true"].map((value) => r.withMembers({ [name]: value }, invalid(name))),
  ),
  ...["store", "parallel_tool_calls"].flatMap((name) =>
    ['"true"', "1", "{}"].map((value) => r.withMembers({ [name]: value }, invalid(name))),
  ),
  ...["0", "-1", "1.5", '"10"', "1e400", "{}"].map((value) =>
    r.withMembers({ max_output_tokens: value }, invalid("max_output_tokens")),
  ),
  ...["text", "reasoning", "metadata"].flatMap((name) =>
    ['"x"', "5", "[]", "true"].map((value) => r.withMembers({ [name]: value }, invalid(name))),
  ),
  ...['"x"', "5", "{}"].map((value) => r.withMembers({ include: value }, invalid("include"))),
  r.withMembers({ include: "[5]" }, invalid("include[0]")),
  ...['"x"', "5", "{}"].map((value) => r.withMembers({ tools: value }, invalid("tools"))),
  ...["[5]", '["f"]', "[null]"].map((value) => r.withMembers({ tools: value }, invalid("tools[0]"))),
  r.withMembers({ tools: "[{}]" }, invalid("tools[0].type")),
  r.withMembers({ tools: '[{"type":"function"}]' }, invalid("tools[0].name")),
  r.withMembers({ tools: '[{"type":"function","name":5}]' }, invalid("tools[0].name")),
  r.withMembers({ tools: '[{"type":"custom","name":"f"},{"type":"function","name":"f"}]' }, invalid("tools[1]")),
  r.withMembers({ tools: '[{"type":"namespace","tools":[]}]' }, invalid("tools[0].name")),
  r.withMembers({ tools: '[{"type":"namespace","name":"n","tools":[5]}]' }, invalid("tools[0].tools[0].type")),
  r.withMembers(
    { tools: '[{"type":"namespace","name":"n","tools":[{"type":"web_search"}]}]' },
    invalid("tools[0].tools[0].type"),
  ),
  r.withMembers(
    {
      tools:
        '[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"}]},{"type":"function","name":"n__f"}]',
    },
    invalid("tools[1]"),
  ),
  ...["5", "true", "[]", '"perhaps"'].map((value) => r.withMembers({ tool_choice: value }, invalid("tool_choice"))),
  r.withMembers(
    { tools: '[{"type":"web_search"}]', tool_choice: '{"type":"web_search"}' },
    refused("no_capable_target", 400, "tools[0].web_search"),
  ),
  ...["true", '"yes"', "1", "{}"].map((value) => r.withMembers({ background: value }, invalid("background"))),
  ...['"conv_1"', "{}", "5"].map((value) => r.withMembers({ conversation: value }, invalid("conversation"))),
  r.withMembers(
    {
      ...{
        instructions: "null",
        store: "null",
        previous_response_id: "null",
        max_output_tokens: "null",
        tools: "null",
      },
      ...{
        include: "null",
        text: "null",
        reasoning: "null",
        metadata: "null",
        background: "null",
        conversation: "null",
      },
      ...{ tool_choice: "null", temperature: "null", parallel_tool_calls: "null", user: "null" },
    },
    "answered",
    "nulls everywhere",
  ),
  r.withMembers(
    { tools: "[]", include: "[]", metadata: "{}", instructions: '""', background: "false", previous_response_id: '""' },
    "answered",
    "empties everywhere",
  ),
  ...[
    "input",
    "instructions",
    "stream",
    "store",
    "previous_response_id",
    "tools",
    "tool_choice",
    "max_output_tokens",
  ].map((name) => r.text(`${name} twice`, (body) => `${body.slice(0, -1)},"${name}":1,"${name}":2}`, invalid(name))),
  ...["Input", "STORE", "Previous_Response_Id", "Background"].map((name) =>
    r.text(`${name}, too`, (body) => `${body.slice(0, -1)},"${name}":1}`, invalid(name)),
  ),
  ...(
    [
      ["input[0].role", '{"role":"user","role":"system","content":"a"}'],
      ["input[0].Type", '{"type":"message","Type":"function_call_output","role":"user","content":"a"}'],
      ["input[0].call_id", '{"type":"function_call_output","call_id":"a","call_id":"b","output":"c"}'],
      ["input[0].output", '{"type":"function_call_output","call_id":"a","output":"b","output":"c"}'],
      ["input[0].arguments", '{"type":"function_call","call_id":"a","name":"f","arguments":"{}","arguments":"{}"}'],
      ["input[0].content[0].text", '{"role":"user","content":[{"type":"input_text","text":"a","text":"b"}]}'],
    ] as const
  ).map(([param, text]) => item(text, invalid(param))),
  r.withMembers({ tools: '[{"type":"function","name":"f","name":"g"}]' }, invalid("tools[0].name")),
  r.withMembers(
    { tools: '[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f","Name":"g"}]}]' },
    invalid("tools[0].tools[0].Name"),
  ),
  r.withMembers({ text: '{"format":{"type":"text","type":"json_object"}}' }, invalid("text.format.type")),
  r.withMembers({ reasoning: '{"effort":"low","effort":"high"}' }, invalid("reasoning.effort")),
  // What is referred to.
  r.withMembers({ previous_response_id: '"resp_x"' }, NOT_THERE("previous_response_id")),
  r.withMembers({ previous_response_id: `"${"r".repeat(5_000)}"` }, NOT_THERE("previous_response_id")),
  ...["__proto__", "%00", "resp_' OR 1=1", "../x"].map((id) =>
    r.withMembers({ previous_response_id: JSON.stringify(id) }, NOT_THERE("previous_response_id")),
  ),
  ...GONE.map((which) =>
    r.call(
      `previous_response_id of one that is ${which}`,
      ({ route, responses }) => ({
        body: bodyOf(RESPONSES, route, { previous_response_id: JSON.stringify(responses[which]) }),
      }),
      NOT_THERE("previous_response_id"),
    ),
  ),
  r.call(
    "previous_response_id of another key's, with store false",
    ({ route, responses }) => ({
      body: bodyOf(RESPONSES, route, { previous_response_id: JSON.stringify(responses.foreign), store: "false" }),
    }),
    NOT_THERE("previous_response_id"),
  ),
  ...(["true", "false"] as const).map((store) =>
    r.call(
      `previous_response_id of its own, with store ${store}`,
      ({ route, responses }) => ({
        body: bodyOf(RESPONSES, route, { previous_response_id: JSON.stringify(responses.own), store }),
      }),
      "answered",
    ),
  ),
  r.call(
    "previous_response_id of its own and nothing new",
    ({ route, responses }) => ({
      body: `{"model":"${route}","previous_response_id":"${responses.own}"}`,
    }),
    "answered",
  ),
  item(`${HELLO},{"type":"item_reference","id":"msg_x"}`, NOT_THERE("input")),
  item(`${HELLO},{"id":"msg_x"}`, NOT_THERE("input")),
  ...(["foreign", "deleted"] as const).map((which) =>
    r.call(
      `an item of a response that is ${which}`,
      ({ route, items }) => ({
        body: bodyOf(RESPONSES, route, { input: `[${HELLO},{"type":"item_reference","id":"${items[which]}"}]` }),
      }),
      NOT_THERE("input"),
    ),
  ),
  r.call(
    "an item of its own",
    ({ route, items }) => ({
      body: bodyOf(RESPONSES, route, { input: `[${HELLO},{"type":"item_reference","id":"${items.own}"}]` }),
    }),
    "answered",
  ),
  // What is stored.
  ...(["GET", "DELETE"] as const).flatMap((method) => [
    ...GONE.map((which) =>
      r.call(
        `${method} of a response that is ${which}`,
        ({ responses }) => ({
          method,
          path: `/v1/responses/${responses[which]}`,
        }),
        NOT_THERE("id"),
      ),
    ),
    ...["resp_x", "__proto__", "%00", "x".repeat(300), "a%2Fb"].map((id) =>
      r.call(`${method} of ${id.slice(0, 20)}`, () => ({ method, path: `/v1/responses/${id}` }), NOT_THERE("id")),
    ),
    r.call(
      `${method} without a key`,
      ({ responses }) => ({
        method,
        path: `/v1/responses/${responses.own}`,
        headers: { authorization: null },
      }),
      MISSING_KEY,
    ),
    r.call(
      `${method} by a key without the scope`,
      ({ responses, readerKey }) => ({
        method,
        path: `/v1/responses/${responses.own}`,
        headers: bearer(readerKey),
      }),
      refused("scope_required", 403),
    ),
  ]),
  r.call(
    "PUT of a stored response",
    ({ responses }) => ({
      method: "PUT",
      path: `/v1/responses/${responses.own}`,
      body: "{}",
    }),
    { ...refused("method_not_allowed", 405), allow: "GET, HEAD, DELETE" },
  ),
  r.call(
    "its stream",
    ({ responses }) => ({ method: "GET", path: `/v1/responses/${responses.own}?stream=true` }),
    invalid("stream"),
  ),
  ...["limit=0", "limit=101", "limit=x", "limit=-1", "limit=1.5", "order=up", "after=nobody"].map((query) =>
    r.call(
      `input_items with ${query}`,
      ({ responses }) => ({
        method: "GET",
        path: `/v1/responses/${responses.own}/input_items?${query}`,
      }),
      invalid(query.split("=")[0] ?? ""),
    ),
  ),
  ...GONE.map((which) =>
    r.call(
      `input_items of a response that is ${which}`,
      ({ responses }) => ({
        method: "GET",
        path: `/v1/responses/${responses[which]}/input_items`,
      }),
      NOT_THERE("id"),
    ),
  ),
  r.call("cancel", ({ responses }) => ({ path: `/v1/responses/${responses.own}/cancel`, body: "{}" }), NOT_FOUND),
  // Everything else is the provider's to judge.
  ...(
    [
      { temperature: '"hot"' },
      { top_p: "[]" },
      { user: "5" },
      { truncation: '"never"' },
      { service_tier: "{}" },
      { x_new: '{"a":[1e400,9007199254740993,{"a":1,"A":2}]}' },
      { input: '[{"type":"hologram","data":1.0}]' },
      { input: '[{"role":"user","content":[{"type":"smell"}]}]' },
      { tools: '[{"type":"teleport","to":1.0}]' },
      { tool_choice: '{"type":"telepathy"}' },
      { text: '{"format":{"type":"haiku"}}' },
      { reasoning: '{"effort":"cosmic"}' },
      { metadata: '{"a":5}' },
    ] as const
  ).map((more): DoorRow => {
    const arrives = (sent: string): string =>
      `${sent.slice(0, -1)},"store":false${sent.includes("cosmic") ? ',"include":["reasoning.encrypted_content"]' : ""}}`;
    return { ...r.withMembers(more, "native"), arrives };
  }),
  r.call("input_tokens: no key", () => ({ path: TOKENS, headers: { authorization: null }, body: "{}" }), MISSING_KEY),
  r.call("input_tokens: GET is the path of a response", () => ({ path: TOKENS, method: "GET" }), NOT_THERE("id")),
  r.call(
    "input_tokens: text/plain",
    () => ({
      path: TOKENS,
      headers: { "content-type": "text/plain" },
      body: '{"input":"a"}',
    }),
    WRONG_TYPE,
  ),
  r.call("input_tokens: bad JSON", () => ({ path: TOKENS, body: "{" }), INVALID_JSON),
  r.call("input_tokens: no input", () => ({ path: TOKENS, body: "{}" }), invalid("input")),
  r.call(
    "input_tokens: an unknown route",
    () => ({
      path: TOKENS,
      body: '{"model":"flow/nowhere","input":"a"}',
    }),
    "estimated",
  ),
  r.call(
    "input_tokens: an unknown response",
    () => ({
      path: TOKENS,
      body: '{"previous_response_id":"resp_x","input":"a"}',
    }),
    NOT_THERE("previous_response_id"),
  ),
  r.call(
    "input_tokens: a page of elsewhere",
    () => ({
      path: TOKENS,
      headers: { origin: "https://evil.example" },
      body: '{"input":"a"}',
    }),
    refused("browser_request", 403),
  ),
  r.call("compact: no key", () => ({ path: COMPACT, headers: { authorization: null }, body: "{}" }), MISSING_KEY),
  r.call("compact: bad JSON", () => ({ path: COMPACT, body: "{" }), INVALID_JSON),
  r.call(
    "compact: a target that has it not",
    ({ route }) => ({
      path: COMPACT,
      body: `{"model":"${route}","input":"a"}`,
    }),
    { ...refused("not_found", 404), says: /Codex/ },
  ),
];

export const DOOR_INPUTS: readonly DoorRow[] = [...MESSAGES_ROWS, ...RESPONSES_ROWS];
