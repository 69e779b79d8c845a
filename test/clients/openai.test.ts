/** The `openai` package, unmodified: base URL, key and model name are all that changes for its user. */
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { countingFetch, type OwnRoute, type Rig, startRig } from "../support/rig.ts";
import { chunks, completion, usage } from "../support/upstream.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

type Options = NonNullable<ConstructorParameters<typeof OpenAI>[0]>;

const clientOf = (own: Pick<OwnRoute, "key">, options: Options = {}): OpenAI =>
  new OpenAI({ apiKey: own.key, baseURL: rig.baseURL, ...options });

const messages = [{ role: "user" as const, content: "Compare two routes." }];

const weather = {
  type: "function" as const,
  function: {
    name: "get_weather",
    description: "Weather of a city",
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
  },
};

/** Rejects a promise that does not reject, and gives back what it rejected with. */
async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It did not reject.");
}

describe("answers", () => {
  test("a chat completion has text, usage, the request id and the flow member", async () => {
    const own = await rig.sandbox();
    const answer = await clientOf(own).chat.completions.create({ model: own.model, messages });
    expect(answer.choices[0]?.message.content).toContain("Compare two routes.");
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    expect(answer.usage?.total_tokens).toBeGreaterThan(0);
    expect(answer.model).toBe(own.upstreamModel);
    expect(answer._request_id).toMatch(/^tr_[0-9A-Za-z]{32}$/);
    expect(answer).toMatchObject({ flow: { trace_id: answer._request_id, route: own.model, provider: "sandbox" } });
  });

  test("withResponse() shows the trace headers, and the trace they name can be read with the same client", async () => {
    const own = await rig.sandbox();
    const client = clientOf(own, { defaultHeaders: { "X-FlowLayer-App": "studio" } });
    const { response, request_id } = await client.chat.completions
      .create({ model: own.model, messages })
      .withResponse();
    const shown = (name: string) => response.headers.get(`x-flowlayer-${name}`);
    expect(request_id).toBe(shown("trace-id"));
    expect([shown("route"), shown("provider"), shown("model")]).toEqual([own.model, "sandbox", own.upstreamModel]);
    expect([shown("app"), shown("env"), shown("attempts"), shown("fallback")]).toEqual([
      "studio",
      "production",
      "1",
      "false",
    ]);
    const trace = () => client.get(`/traces/${request_id}`) as Promise<unknown>;
    await expect.poll(() => trace().catch(() => null)).toMatchObject({ id: request_id, status: "ok", app: "studio" });
  });

  test("an extra body member `route` steers the request and never reaches the provider", async () => {
    const own = await rig.scripted({ json: completion() });
    const body = { model: own.model, messages, route: { latency_budget_ms: 5_000, tags: { job: "nightly" } } };
    const { response } = await clientOf(own).chat.completions.create(body).withResponse();
    expect(response.headers.get("x-flowlayer-latency-budget-ms")).toBe("5000");
    expect(response.headers.get("x-flowlayer-latency-budget-met")).toBe("true");
    const [call] = rig.upstream.callsTo(own.upstreamModel);
    expect(own.upstreamCalls()).toBe(1);
    expect(call?.body).not.toContain('"route"');
    expect(call?.headers["authorization"]).toBe("Bearer provider-secret");
  });

  test("header mirrors steer a client that cannot add members, and the body wins over them", async () => {
    const own = await rig.scripted({ json: completion() });
    const defaultHeaders = { "X-FlowLayer-Latency-Budget-Ms": "4000" };
    const { create } = chatOf(clientOf(own, { defaultHeaders }));
    const mirrored = await create({ model: own.model, messages }).withResponse();
    expect(mirrored.response.headers.get("x-flowlayer-latency-budget-ms")).toBe("4000");
    const body = { model: own.model, messages, route: { latency_budget_ms: 3_000 } };
    const overruled = await create(body).withResponse();
    expect(overruled.response.headers.get("x-flowlayer-latency-budget-ms")).toBe("3000");
    expect(own.upstreamCalls()).toBe(2);
  });

  test.each([
    { mirror: "false", status: 502, provider: null },
    { mirror: "true", status: 200, provider: "sandbox" },
  ])(
    "the mirror X-FlowLayer-Fallback: $mirror decides whether a failure is rescued",
    async ({ mirror, status, provider }) => {
      const name = `mirror-${mirror}`;
      rig.upstream.scriptFor(`${name}-model`, { status: 500, json: { error: { message: "down" } } });
      const targets = [
        { provider: "openai", model: `${name}-model` },
        { provider: "sandbox", model: `${name}-spare` },
      ];
      await rig.worker.putRoute("production", name, { targets, retry: { same_target: 0 } });
      const client = clientOf(await rig.worker.createKey(), { defaultHeaders: { "X-FlowLayer-Fallback": mirror } });
      const asked = client.chat.completions.create({ model: `flow/${name}`, messages });
      const headers =
        status === 200
          ? (await asked.withResponse()).response.headers
          : ((await rejection(asked)) as InstanceType<typeof OpenAI.APIError>).headers;
      expect(headers?.get("x-flowlayer-fallback")).toBe(mirror);
      expect(headers?.get("x-flowlayer-fallback-reason")).toBe(mirror === "true" ? "server_error" : null);
      expect(headers?.get("x-flowlayer-provider")).toBe(provider);
      expect(rig.upstream.callsTo(`${name}-model`)).toHaveLength(1);
    },
  );

  test("structured output parses against its schema", async () => {
    const own = await rig.sandbox();
    const Score = z.object({ score: z.number(), verdict: z.enum(["pass", "fail"]) });
    const answer = await clientOf(own).chat.completions.parse({
      model: own.model,
      messages,
      response_format: zodResponseFormat(Score, "score"),
    });
    expect(Score.safeParse(answer.choices[0]?.message.parsed).success).toBe(true);
  });
});

function chatOf(client: OpenAI): Pick<OpenAI["chat"]["completions"], "create"> {
  return { create: client.chat.completions.create.bind(client.chat.completions) };
}

describe("streams", () => {
  test.each([
    { name: "with include_usage the last chunk carries usage", include: true },
    { name: "without include_usage every chunk has a choice", include: false },
  ])("$name, and both read the same text", async ({ include }) => {
    const own = await rig.scripted({
      events: chunks("one two three four", { usage: { prompt_tokens: 7, completion_tokens: 4, total_tokens: 11 } }),
    });
    const stream = await clientOf(own).chat.completions.create({
      model: own.model,
      messages,
      stream: true,
      ...(include ? { stream_options: { include_usage: true } } : {}),
    });
    const seen: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) seen.push(chunk);
    expect(seen.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")).toBe("one two three four");
    expect(seen.filter((chunk) => chunk.choices.length === 0)).toHaveLength(include ? 1 : 0);
    expect(seen.at(-1)?.usage?.total_tokens).toBe(include ? 11 : undefined);
    expect(own.upstreamCalls()).toBe(1);
    // Usage is asked of the provider either way: the trace has it.
    const [call] = rig.upstream.callsTo(own.upstreamModel);
    expect(JSON.parse(call?.body ?? "")).toMatchObject({ stream_options: { include_usage: true } });
  });

  test("the stream helper collects a sandbox answer to the same completion as a plain call", async () => {
    const own = await rig.sandbox();
    const client = clientOf(own);
    const plain = await client.chat.completions.create({ model: own.model, messages });
    const collected = await client.chat.completions.stream({ model: own.model, messages }).finalChatCompletion();
    expect(collected.choices[0]?.message.content).toBe(plain.choices[0]?.message.content);
    expect(collected.choices[0]?.finish_reason).toBe("stop");
  });

  test("the head of a stream has the trace headers before its first chunk is read", async () => {
    const own = await rig.sandbox({ chunk_interval_ms: 5 });
    const { data, response, request_id } = await clientOf(own)
      .chat.completions.create({ model: own.model, messages, stream: true })
      .withResponse();
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(response.headers.get("x-flowlayer-trace-id")).toBe(request_id);
    expect(response.headers.get("x-flowlayer-provider")).toBe("sandbox");
    let text = "";
    for await (const chunk of data) text += chunk.choices[0]?.delta.content ?? "";
    expect(text).toContain("Compare two routes.");
  });

  test.each([
    { name: "where the router reads events", include: false },
    { name: "where bytes move natively", include: true },
  ])("a stream that breaks midway raises APIError stream_interrupted, $name", async ({ include }) => {
    const own = await rig.scripted({
      events: chunks("one two three", { finish: null, usage: null, done: false }),
      gapMs: 5,
      end: "fin",
    });
    const stream = await clientOf(own).chat.completions.create({
      model: own.model,
      messages,
      stream: true,
      stream_options: { include_usage: include },
    });
    let text = "";
    const error = await rejection(
      (async () => {
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
      })(),
    );
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ code: "stream_interrupted", type: "upstream_error" });
    expect(text).toBe("one two three");
    expect(own.upstreamCalls()).toBe(1);
  });

  test("controller.abort() ends the loop and closes the upstream call", async () => {
    const own = await rig.scripted({ events: chunks("word ".repeat(2_000)), gapMs: 5 });
    const stream = await clientOf(own).chat.completions.create({ model: own.model, messages, stream: true });
    let seen = 0;
    for await (const _ of stream) if (++seen === 3) stream.controller.abort();
    expect(seen).toBe(3);
    await expect.poll(() => rig.upstream.callsTo(own.upstreamModel)[0]?.closedBy, { timeout: 5_000 }).toBe("router");
    expect(own.upstreamCalls()).toBe(1);
  });

  test("a signal that fires before the answer raises APIUserAbortError and is not tried again", async () => {
    const own = await rig.scripted({ hang: true });
    const sent = countingFetch();
    const abort = new AbortController();
    const asked = rejection(
      clientOf(own, { fetch: sent.fetch }).chat.completions.create(
        { model: own.model, messages },
        { signal: abort.signal },
      ),
    );
    await expect.poll(own.upstreamCalls).toBe(1);
    abort.abort();
    expect(await asked).toBeInstanceOf(OpenAI.APIUserAbortError);
    expect(sent.count()).toBe(1);
  });
});

describe("tools", () => {
  test("a tool call comes whole, its result is accepted and the loop ends in text", async () => {
    const own = await rig.sandbox();
    const { create } = chatOf(clientOf(own));
    const first = await create({ model: own.model, messages, tools: [weather] });
    const [call] = first.choices[0]?.message.tool_calls ?? [];
    if (call?.type !== "function") throw new Error("The sandbox called no function.");
    expect(first.choices[0]?.finish_reason).toBe("tool_calls");
    expect(call.function.name).toBe("get_weather");
    expect(JSON.parse(call.function.arguments)).toEqual({ city: expect.any(String) });
    const last = await create({
      model: own.model,
      tools: [weather],
      messages: [
        ...messages,
        first.choices[0]!.message,
        { role: "tool", tool_call_id: call.id, content: "12 degrees" },
      ],
    });
    expect(last.choices[0]?.finish_reason).toBe("stop");
  });

  test("a streamed tool call arrives in fragments that join to the same arguments", async () => {
    const own = await rig.sandbox();
    const client = clientOf(own);
    const whole = await client.chat.completions.create({ model: own.model, messages, tools: [weather] });
    const stream = client.chat.completions.stream({ model: own.model, messages, tools: [weather] });
    const [wanted] = whole.choices[0]?.message.tool_calls ?? [];
    const streamed = (await stream.finalChatCompletion()).choices[0];
    // Only the id differs: it is made from the whole request, `stream` included.
    expect(streamed?.message.tool_calls).toMatchObject([{ ...wanted, id: expect.stringMatching(/^call_/) }]);
    expect(streamed?.finish_reason).toBe("tool_calls");
  });

  test("runTools runs the loop by itself: a call, its function, an answer", async () => {
    const own = await rig.sandbox();
    const cities: string[] = [];
    const runner = clientOf(own).chat.completions.runTools({
      model: own.model,
      messages,
      tools: [
        {
          type: "function",
          function: {
            ...weather.function,
            parse: (text: string) => JSON.parse(text) as { city: string },
            function: ({ city }: { city: string }) => {
              cities.push(city);
              return "12 degrees";
            },
          },
        },
      ],
    });
    expect(await runner.finalContent()).toContain("Compare two routes.");
    expect(cities).toHaveLength(1);
  });

  test("arguments of a provider's call arrive byte for byte", async () => {
    const written = '{ "id": 12345678901234567890, "b":1, "a":"\\u00e9" }';
    const own = await rig.scripted({
      json: completion({ toolCalls: [{ id: "call_1", name: "get_weather", arguments: written }] }),
    });
    const answer = await clientOf(own).chat.completions.create({ model: own.model, messages, tools: [weather] });
    const [call] = answer.choices[0]?.message.tool_calls ?? [];
    expect(call?.type === "function" ? call.function.arguments : null).toBe(written);
    expect(own.upstreamCalls()).toBe(1);
  });
});

interface ErrorCase {
  readonly name: string;
  readonly route: () => Promise<OwnRoute>;
  /** Members of the body instead of the usual ones. */
  readonly body?: Readonly<Record<string, unknown>>;
  readonly options?: Options;
  readonly raised: new (...args: never[]) => Error;
  readonly status: number;
  readonly code: string;
  readonly type: string;
  readonly param?: string;
  readonly upstreamCalls: number;
}

const vendorError = (status: number, error: object, headers: Record<string, string> = {}) => ({
  status,
  headers,
  json: { error },
});

const ERROR_CASES: readonly ErrorCase[] = [
  {
    name: "an invented key",
    route: () => rig.scripted({ json: completion() }),
    options: { apiKey: "sk-invented" },
    raised: OpenAI.AuthenticationError,
    status: 401,
    code: "invalid_api_key",
    type: "authentication_error",
    upstreamCalls: 0,
  },
  {
    name: "a key of another route",
    route: () => rig.scripted({ json: completion() }, { key: { routes: ["elsewhere"] } }),
    raised: OpenAI.PermissionDeniedError,
    status: 403,
    code: "route_not_allowed",
    type: "permission_error",
    param: "model",
    upstreamCalls: 0,
  },
  {
    name: "a key of another environment",
    route: () => rig.scripted({ json: completion() }),
    options: { defaultHeaders: { "X-FlowLayer-Env": "staging" } },
    raised: OpenAI.PermissionDeniedError,
    status: 403,
    code: "env_mismatch",
    type: "permission_error",
    param: "X-FlowLayer-Env",
    upstreamCalls: 0,
  },
  {
    name: "a vendor's model name in place of a route",
    route: () => rig.scripted({ json: completion() }),
    body: { model: "gpt-5" },
    raised: OpenAI.BadRequestError,
    status: 400,
    code: "unknown_route",
    type: "invalid_request_error",
    param: "model",
    upstreamCalls: 0,
  },
  {
    name: "a misspelt route control",
    route: () => rig.scripted({ json: completion() }),
    body: { route: { fall_back: true } },
    raised: OpenAI.BadRequestError,
    status: 400,
    code: "invalid_request",
    type: "invalid_request_error",
    param: "route.fall_back",
    upstreamCalls: 0,
  },
  {
    name: "a request the vendor refuses",
    route: () =>
      rig.scripted(
        vendorError(400, { message: "Unknown parameter: 'foo'.", type: "invalid_request_error", param: "foo" }),
      ),
    body: { foo: 1 },
    raised: OpenAI.BadRequestError,
    status: 400,
    code: "upstream_invalid_request",
    type: "invalid_request_error",
    param: "foo",
    // Once more without the member that is named.
    upstreamCalls: 2,
  },
  {
    name: "a conversation that is too long for the vendor",
    route: () =>
      rig.scripted(
        vendorError(400, { message: "Too long.", type: "invalid_request_error", code: "context_length_exceeded" }),
      ),
    raised: OpenAI.BadRequestError,
    status: 400,
    code: "context_length_exceeded",
    type: "invalid_request_error",
    upstreamCalls: 1,
  },
  {
    name: "a busy vendor",
    route: () => rig.scripted(vendorError(429, { message: "Slow down." })),
    raised: OpenAI.RateLimitError,
    status: 429,
    code: "upstream_rate_limited",
    type: "rate_limit_error",
    upstreamCalls: 1,
  },
  {
    name: "a failing vendor",
    route: () => rig.scripted(vendorError(500, { message: "The database is gone." })),
    raised: OpenAI.InternalServerError,
    status: 502,
    code: "upstream_failed",
    type: "upstream_error",
    upstreamCalls: 1,
  },
  {
    name: "our own credential refused by the vendor",
    route: () => rig.scripted(vendorError(401, { message: "Incorrect API key provided: vendor-secret" })),
    raised: OpenAI.InternalServerError,
    status: 502,
    code: "upstream_failed",
    type: "upstream_error",
    upstreamCalls: 1,
  },
  {
    name: "a silent vendor",
    route: () =>
      rig.scripted({ hang: true }, { policy: { timeouts: { first_token_ms: 150, idle_ms: 150, total_ms: 150 } } }),
    raised: OpenAI.InternalServerError,
    status: 504,
    code: "upstream_timeout",
    type: "timeout_error",
    upstreamCalls: 1,
  },
  {
    name: "a hard latency budget that is used up",
    route: () => rig.scripted({ hang: true }, { policy: { latency: { mode: "hard", budget_ms: 150 } } }),
    raised: OpenAI.InternalServerError,
    status: 504,
    code: "latency_budget_exceeded",
    type: "timeout_error",
    upstreamCalls: 1,
  },
];

describe("errors", () => {
  const table = ERROR_CASES.flatMap((each) => [false, true].map((stream) => ({ ...each, stream })));
  test.each(table)("$name raises its class once and is not retried (stream: $stream)", async (each) => {
    const own = await each.route();
    const sent = countingFetch();
    const client = clientOf(own, { ...each.options, fetch: sent.fetch });
    const body = { model: own.model, messages, stream: each.stream, ...each.body };
    const error = await rejection(client.chat.completions.create(body));
    expect(error).toBeInstanceOf(each.raised);
    const { status, code, type, param, headers, requestID, message } = error as InstanceType<typeof OpenAI.APIError>;
    expect({ status, code, type }).toEqual({ status: each.status, code: each.code, type: each.type });
    expect(param ?? null).toBe(each.param ?? null);
    expect(headers?.get("x-should-retry")).toBe("false");
    expect(requestID).toMatch(/^tr_[0-9A-Za-z]{32}$/);
    expect(message).not.toMatch(/vendor-secret|database/);
    // The SDK would try a 429 or 5xx three times on its own judgement.
    expect(sent.count()).toBe(1);
    expect(own.upstreamCalls()).toBe(each.upstreamCalls);
  });

  test("a rate limit says how long to wait, from the provider's own figure", async () => {
    const own = await rig.scripted(vendorError(429, { message: "Slow down." }, { "retry-after": "7" }));
    const client = clientOf(own, { maxRetries: 0 });
    const error = await rejection(client.chat.completions.create({ model: own.model, messages }));
    expect((error as InstanceType<typeof OpenAI.RateLimitError>).headers.get("retry-after")).toBe("7");
    expect((error as Error).message).toMatch(/rate_limited 429\)\. Try again in 7 s\.$/);
    expect(own.upstreamCalls()).toBe(1);
  });

  test("a rate limit that nobody has waited for is waited for by the SDK, as it is without the router", async () => {
    const busy = vendorError(429, { message: "Slow down." }, { "retry-after": "1" });
    const own = await rig.scripted([busy, { json: completion({ text: "There." }) }]);
    const answer = await clientOf(own).chat.completions.create({ model: own.model, messages });
    expect(answer.choices[0]?.message.content).toBe("There.");
    expect(own.upstreamCalls()).toBe(2);
  });

  test("a failure lists what was tried", async () => {
    const own = await rig.scripted({ status: 503 }, { policy: { retry: { same_target: 1, backoff_ms: 10 } } });
    const error = await rejection(clientOf(own).chat.completions.create({ model: own.model, messages }));
    const attempt = { provider: "openai", model: own.upstreamModel, outcome: "server_error", status: 503 };
    expect(error).toMatchObject({ status: 502, error: { attempts: [attempt, attempt] } });
    expect(own.upstreamCalls()).toBe(2);
  });

  test("a spent budget is an APIError 402 and stops before the provider", async () => {
    const name = "budget-openai";
    rig.upstream.scriptFor("gpt-4o-mini", { json: completion({ usage: usage(1_000, 100) }) });
    await rig.worker.putRoute("production", name, { targets: [{ provider: "openai", model: "gpt-4o-mini" }] });
    const { key } = await rig.worker.createKey({ budget: { limit_usd: 0.0001, period: "total" } });
    const client = clientOf({ key });
    // A cap of its own: what nobody capped is never cut below 256 tokens, and those do not fit.
    const ask = () => client.chat.completions.create({ model: `flow/${name}`, messages, max_tokens: 100 });
    expect((await ask()).usage?.total_tokens).toBe(1_100);
    // The first answer is settled behind it.
    await expect
      .poll(() =>
        ask().then(
          () => null,
          (error: unknown) => error,
        ),
      )
      .toMatchObject({
        status: 402,
        code: "budget_exceeded",
        type: "insufficient_quota",
      });
    const calls = rig.upstream.callsTo("gpt-4o-mini").length;
    expect(await rejection(ask())).toBeInstanceOf(OpenAI.APIError);
    expect(rig.upstream.callsTo("gpt-4o-mini")).toHaveLength(calls);
  });

  test("a route without any configured provider is a 503 that is not retried", async () => {
    await rig.worker.putRoute("production", "unconfigured", { targets: [{ provider: "cerebras", model: "llama" }] });
    const sent = countingFetch();
    const client = clientOf(await rig.worker.createKey(), { fetch: sent.fetch });
    const error = await rejection(client.chat.completions.create({ model: "flow/unconfigured", messages }));
    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
    expect(error).toMatchObject({ status: 503, code: "no_target_configured" });
    expect((error as InstanceType<typeof OpenAI.InternalServerError>).headers.get("retry-after")).toBe("1");
    expect(sent.count()).toBe(1);
  });
});

describe("other resources", () => {
  test("models.list() pages through the routes of the key, and retrieve() takes the id with its slash", async () => {
    await rig.worker.putRoute("staging", "best-reasoning", {
      description: "The strongest first.",
      targets: [{ provider: "sandbox", model: "deep-1" }],
    });
    const client = clientOf(await rig.worker.createKey({ env: "staging" }));
    const ids: string[] = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual(["flow/best-reasoning"]);
    const model = await client.models.retrieve("flow/best-reasoning");
    expect(model).toMatchObject({ id: "flow/best-reasoning", object: "model", description: "The strongest first." });
    const missing = await rejection(client.models.retrieve("flow/none"));
    expect(missing).toBeInstanceOf(OpenAI.NotFoundError);
    expect(missing).toMatchObject({ status: 404, code: "not_found" });
  });

  test.each([
    {
      name: "completions",
      call: (client: OpenAI) => client.completions.create({ model: "flow/x", prompt: "Hi" }),
      says: /chat\/completions/,
    },
    {
      name: "moderations",
      call: (client: OpenAI) => client.moderations.create({ model: "flow/x", input: "Hi" }),
      says: /not routed/,
    },
  ])("client.$name raises NotFoundError with what to use instead", async ({ call, says }) => {
    const sent = countingFetch();
    const error = await rejection(call(clientOf(await rig.worker.createKey(), { fetch: sent.fetch })));
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(String(error)).toMatch(says);
    expect(sent.count()).toBe(1);
  });
});
