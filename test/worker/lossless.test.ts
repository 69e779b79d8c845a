/** What of a request reaches the provider: every byte of the body but the router's own, and nothing of the headers. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CANARY_SECRET, type ChatRig, chatBody, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { readStream } from "../support/sse.ts";
import { chunks, completion, startUpstream, type Upstream } from "../support/upstream.ts";

let rig: ChatRig;
let canary: Upstream;
beforeAll(async () => {
  canary = await startUpstream();
  rig = await sharedChatRig();
});
afterAll(async () => {
  await rig.stop();
  await canary.stop();
});
beforeEach(() => rig.upstream.reset());

const sendText = (route: TestRoute, text: string, headers: Record<string, string> = {}): Promise<Response> =>
  rig.ask(route, {}, { body: text, headers });

/** The body the provider got, with its model name put back to the client's. */
function received(route: TestRoute): string {
  expect(rig.upstream.calls).toHaveLength(1);
  return rig.upstream.calls[0]!.body.replace(`"${route.models[0]}"`, `"${route.model}"`);
}

describe("numbers of schemas", () => {
  const BIG = "9007199254740993";
  const SCHEMA = `{"type":"object","properties":{"id":{"type":"integer","enum":[${BIG},-2512292042121000001]}},"required":["id"],"additionalProperties":false}`;
  const ROOT = `{"anyOf":[{"type":"object","properties":{"id":{"const":${BIG}}}},{"type":"object","properties":{"id":{"const":-2512292042121000001}}}]}`;
  const chat = '"messages":[{"role":"user","content":"hi"}]';
  const DOORS: readonly { readonly door: string; readonly path: string; readonly body: string }[] = [
    {
      door: "chat, a tool",
      path: "/v1/chat/completions",
      body: `${chat},"tools":[{"type":"function","function":{"name":"f","parameters":${SCHEMA}}}]`,
    },
    {
      door: "chat, a strict tool",
      path: "/v1/chat/completions",
      body: `${chat},"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":${SCHEMA}}}]`,
    },
    {
      door: "chat, choices at the root",
      path: "/v1/chat/completions",
      body: `${chat},"tools":[{"type":"function","function":{"name":"f","parameters":${ROOT}}}]`,
    },
    {
      door: "chat, an older function",
      path: "/v1/chat/completions",
      body: `${chat},"functions":[{"name":"f","parameters":${SCHEMA}}]`,
    },
    {
      door: "chat, a format",
      path: "/v1/chat/completions",
      body: `${chat},"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":${SCHEMA}}}`,
    },
    {
      door: "messages, a tool",
      path: "/v1/messages",
      body: `"max_tokens":9,${chat},"tools":[{"name":"f","input_schema":${SCHEMA}}]`,
    },
    {
      door: "responses, a tool",
      path: "/v1/responses",
      body: `"store":false,"input":"hi","tools":[{"type":"function","name":"f","parameters":${SCHEMA}}]`,
    },
    {
      door: "responses, a format",
      path: "/v1/responses",
      body: `"store":false,"input":"hi","text":{"format":{"type":"json_schema","name":"a","schema":${SCHEMA}}}`,
    },
  ];

  test.each(["openai", "mistral", "anthropic", "google", "bedrock", "cohere"])(
    "reach %s with every digit, by each door",
    async (provider) => {
      const route = await rig.route({ providers: [provider] });
      for (const { door, path, body } of DOORS) {
        rig.upstream.reset();
        const text = `{"model":"${route.model}",${body}}`;
        const init = { method: "POST", headers: rig.headers(route), body: text };
        // A provider that has no older functions is not sent any.
        if ((await (await rig.worker.fetch(path, init)).text()).includes('"no_capable_target"')) continue;
        const sent = rig.upstream.calls[0]?.body ?? "";
        expect(sent, door).toContain(BIG);
        expect(sent, door).toContain("-2512292042121000001");
      }
    },
  );
});

describe("the body", () => {
  const MESSAGES = '"messages":[{"role":"user","content":"hi"}]';
  test.each([
    { name: "integers beyond 2^53", member: '"seed":9007199254740993,"x":-123456789012345678901234567890' },
    { name: "spellings of numbers", member: '"temperature":1.0,"top_p":1e0,"x":[0.10,-0,1E+2,1.50]' },
    { name: "unknown members, deep", member: '"x_new":{"a":[{"b":{"c":[[],{},null,true]}}]}' },
    { name: "key order and numeric keys", member: '"z":1,"b":{"2":0,"1":0,"a":0},"a":2' },
    { name: "escapes", member: '"x":"\\u0041\\/\\u00e9\\ud83c\\udf0d\\n\\u2028","y":"\\\\"' },
    { name: "unicode", member: '"x":"Grüße 世界 \u{1F30D} \u2028 e\u0301"' },
    { name: "a lone surrogate as an escape", member: '"x":"\\ud800"' },
    { name: "unknown keys given twice", member: '"x":1,"x":2,"y":{"k":1,"k":2}' },
    { name: "a key with an escape", member: '"\\u0078":1' },
    { name: "__proto__ and constructor", member: '"__proto__":{"a":1},"constructor":{"prototype":1}' },
    {
      name: "null where nothing is meant",
      member: '"stop":null,"tool_choice":null,"response_format":null,"stream":false',
    },
    { name: "text that looks like the router's members", member: '"x":"\\"model\\":\\"flow/x\\",\\"route\\":{}"' },
    { name: "members called route further down", member: '"metadata":{"route":"r","model":"m"}' },
  ])("$name arrive as they were sent", async ({ member }) => {
    const route = await rig.route();
    const texts = [
      `{"model":"${route.model}",${MESSAGES},${member}}`,
      `{${member},${MESSAGES},"model":"${route.model}"}`,
      `\r\n\t{ ${member} ,\n\t"model" : "${route.model}" , ${MESSAGES}\n}\n`,
    ];
    for (const text of texts) {
      rig.upstream.reset();
      expect((await sendText(route, text)).status).toBe(200);
      expect(received(route)).toBe(text);
    }
  });

  test.each([
    {
      name: "first",
      text: (model: string) => `{"route":{"fallback":true},"model":${model},${MESSAGES},"seed":9007199254740993}`,
    },
    {
      name: "in the middle",
      text: (model: string) => `{"model":${model},"route":{"tags":{"a":"b"}},${MESSAGES},"seed":9007199254740993}`,
    },
    { name: "last", text: (model: string) => `{"model":${model},${MESSAGES},"seed":9007199254740993,"route":{}}` },
    {
      name: "with an escaped name",
      text: (model: string) => `{"model":${model},"rout\\u0065":{},${MESSAGES},"seed":9007199254740993}`,
    },
  ])("`route` $name is taken out, and nothing else", async ({ text }) => {
    const route = await rig.route();
    expect((await sendText(route, text(`"${route.model}"`))).status).toBe(200);
    expect(received(route)).toBe(`{"model":"${route.model}",${MESSAGES},"seed":9007199254740993}`);
  });

  test.each([
    { name: "no options", before: "", after: ',"stream_options":{"include_usage":true}' },
    {
      name: "other options",
      before: ',"stream_options":{"x_big":9007199254740993,"include_usage":false}',
      after: ',"stream_options":{"x_big":9007199254740993,"include_usage":true}',
    },
    {
      name: "usage already",
      before: ',"stream_options":{"include_usage":true}',
      after: ',"stream_options":{"include_usage":true}',
    },
  ])("of a stream with $name only `stream_options` is written", async ({ before, after }) => {
    const route = await rig.route();
    rig.upstream.script({ events: chunks("hi") });
    const text = (options: string): string =>
      `{"model":"${route.model}","stream":true,${MESSAGES},"seed":9007199254740993${options}}`;
    await (await sendText(route, text(before))).text();
    expect(received(route)).toBe(text(after));
  });

  test("a body of 2 MB arrives whole", async () => {
    const route = await rig.route();
    const text = JSON.stringify(chatBody(route, { x: "é\u{1F30D}".repeat(300_000) }));
    expect((await sendText(route, text)).status).toBe(200);
    expect(received(route) === text).toBe(true);
  });

  test("a policy's params fill what is missing and change nothing that is there", async () => {
    const params = { temperature: 0.5, top_p: 0.9, model: "evil", messages: [], stream: true, route: {} };
    const route = await rig.route({ targets: [{ params }] });
    await rig.ask(route, { temperature: 0.1 });
    expect(JSON.parse(received(route))).toEqual({ ...chatBody(route), temperature: 0.1, top_p: 0.9 });
  });
});

describe("headers", () => {
  test("none of the client's reaches the provider; the credential is ours", async () => {
    const route = await rig.route();
    const text = JSON.stringify(chatBody(route));
    const response = await sendText(route, text, {
      cookie: "session=client-value",
      "x-flowlayer-app": "studio",
      "x-flowlayer-fallback": "true",
      "x-session-id": "client-value",
      "x-client-request-id": "client-value",
      "idempotency-key": "client-value",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      tracestate: "client-value=1",
      baggage: "client-value=1",
      "x-forwarded-for": "203.0.113.7",
      "x-real-ip": "203.0.113.7",
      "openai-organization": "client-value",
      "openai-project": "client-value",
      "x-api-key": "client-value",
      "api-key": "client-value",
      "x-portkey-custom-host": canary.url,
      "user-agent": "client-value",
      "accept-language": "client-value",
      "x-stainless-os": "client-value",
    });
    expect(response.status).toBe(200);
    const { host, ...headers } = rig.upstream.calls[0]!.headers;
    expect(host).toBe(new URL(rig.upstream.url).host);
    // These are workerd's own words; the rest is written by the router.
    const { connection: _connection, "accept-encoding": _encoding, "cf-worker": _worker, ...written } = headers;
    expect(written).toEqual({
      accept: "application/json",
      authorization: `Bearer ${CANARY_SECRET}`,
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(rig.upstream.calls[0]!.body)),
      "user-agent": expect.stringMatching(/^flow-layer\//),
    });
    expect(JSON.stringify(rig.upstream.calls)).not.toContain(route.key);
  });

  test("a stream is asked for uncompressed, so that no proxy holds it back", async () => {
    const route = await rig.route();
    rig.upstream.script({ events: chunks("hi") });
    await (await rig.ask(route, { stream: true })).text();
    expect(rig.upstream.calls[0]!.headers).toMatchObject({
      accept: "text/event-stream",
      "accept-encoding": "identity",
    });
  });

  const VENDOR_HEADERS = {
    "set-cookie": ["a=vendor-value", "b=vendor-value"],
    server: "vendor-value",
    "x-request-id": "vendor-value",
    "openai-organization": "vendor-value",
    "x-ratelimit-remaining-requests": "123456",
    "retry-after": "59",
    "access-control-allow-origin": "*",
    "strict-transport-security": "vendor-value",
    "cf-ray": "vendor-value",
    "x-should-retry": "true",
    "alt-svc": "vendor-value",
    "content-disposition": "vendor-value",
  } as const;
  test.each([
    { name: "a whole answer", script: { json: completion() }, body: {}, status: 200 },
    { name: "a stream", script: { events: chunks("hi") }, body: { stream: true }, status: 200 },
    {
      name: "a native stream",
      script: { events: chunks("hi") },
      body: { stream: true, stream_options: { include_usage: true } },
      status: 200,
    },
    { name: "a refusal", script: { status: 400, json: { error: { message: "no" } } }, body: {}, status: 400 },
    { name: "a failure", script: { status: 500, json: { error: { message: "no" } } }, body: {}, status: 502 },
  ])("no header of the provider's reaches the client ($name)", async ({ script, body, status }) => {
    const route = await rig.route();
    rig.upstream.script({ ...script, headers: VENDOR_HEADERS });
    const response = await rig.ask(route, body);
    expect(response.status).toBe(status);
    await response.text();
    expect(JSON.stringify([...response.headers])).not.toContain("vendor-value");
    for (const name of ["set-cookie", "access-control-allow-origin", "x-ratelimit-remaining-requests", "retry-after"]) {
      expect(response.headers.has(name)).toBe(false);
    }
    expect(response.headers.get("x-should-retry")).toBe(status === 200 ? null : "false");
  });
});

describe("no field chooses a host", () => {
  const KEYS = [
    "api_base",
    "base_url",
    "baseURL",
    "api_url",
    "endpoint",
    "custom_host",
    "host",
    "url",
    "proxy",
    "headers",
    "extra_headers",
    "extra_body",
    "provider",
    "config",
    "api_key",
  ];
  test.each([
    { depth: "at the top", place: (keys: object) => keys },
    { depth: "in metadata", place: (keys: object) => ({ metadata: keys }) },
    { depth: "in a message", place: (keys: object) => ({ messages: [{ role: "user", content: "hi", ...keys }] }) },
    { depth: "in extra_body", place: (keys: object) => ({ extra_body: { extra_body: keys } }) },
    {
      depth: "as an image",
      place: () => ({
        messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: `${canary.url}/x.png` } }] }],
      }),
    },
  ])("$depth", async ({ place }) => {
    const route = await rig.route();
    const address = `${canary.url}/v1`;
    const keys = Object.fromEntries(
      KEYS.map((key) => [key, key.includes("headers") ? { host: address, authorization: "x" } : address]),
    );
    const response = await rig.ask(route, place(keys));
    expect(response.status).toBe(200);
    expect(rig.calls(route)).toEqual([1, 0]);
    expect(rig.upstream.calls[0]!.headers["authorization"]).toBe(`Bearer ${CANARY_SECRET}`);
    expect(canary.calls).toHaveLength(0);
    expect(canary.openSockets()).toBe(0);
  });

  test("in `route` they are refused", async () => {
    const route = await rig.route();
    const response = await rig.ask(route, { route: { base_url: canary.url } });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: "invalid_request", param: "route.base_url" } });
    expect(rig.calls(route)).toEqual([0, 0]);
  });

  test("nor does a header", async () => {
    const route = await rig.route();
    const names = [
      "x-api-base",
      "x-base-url",
      "x-custom-host",
      "x-portkey-custom-host",
      "x-forwarded-host",
      "x-upstream-url",
      "x-original-url",
      "x-rewrite-url",
      "forwarded",
      "x-flowlayer-provider",
      "x-flowlayer-base-url",
    ];
    const response = await rig.ask(route, {}, { headers: Object.fromEntries(names.map((name) => [name, canary.url])) });
    expect(response.status).toBe(200);
    expect(rig.calls(route)).toEqual([1, 0]);
    expect(canary.calls).toHaveLength(0);
  });
});

test("the provider's credential is in no answer, error, trace or log, even where the provider repeats it", async () => {
  const secret = `Incorrect key ${CANARY_SECRET}`;
  const scripts = [
    ...[400, 401, 403, 404, 422, 429, 500].map((status) => ({
      status,
      json: { error: { message: secret, type: secret, code: secret, param: secret }, detail: secret },
      headers: { "x-echo": CANARY_SECRET },
    })),
    { status: 302, body: secret, headers: { location: `${canary.url}/?key=${CANARY_SECRET}` } },
    { body: secret },
    { json: { error: secret } },
    { events: [chunks("hi")[0]!, { error: { message: secret } }] },
    { events: [...chunks("hi").slice(0, 2), { error: { message: secret } }] },
    { raw: `HTTP/1.1 200 OK\r\n${CANARY_SECRET}\r\n\r\n` },
  ];
  const seen: string[] = [];
  for (const script of scripts) {
    const route = await rig.route({ policy: { retry: { same_target: 0 } } });
    rig.upstream.script(script);
    for (const stream of [false, true]) {
      const response = await rig.ask(route, { stream });
      seen.push(JSON.stringify([...response.headers]), (await readStream(response)).text);
      seen.push(JSON.stringify(await rig.trace(route, response)));
    }
  }
  for (const path of ["/admin/routes", "/admin/keys", "/admin/audit"])
    seen.push(await (await rig.worker.admin(path)).text());
  expect(seen.length).toBeGreaterThan(3 * 2 * scripts.length);
  expect(seen.filter((text) => text.includes("canary0123"))).toEqual([]);
  expect(rig.worker.logs()).not.toContain("canary0123");
  expect(canary.calls).toHaveLength(0);
});
