/**
 * The four public examples, as a reader copies them: only host and key are exchanged.
 *
 * Each runs twice. As a request of its own, so that every header can be looked at, and as the printed program, run by
 * the tool it is written for. curl and Python are not on every machine; what is missing is left out of the table.
 */
import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SEED_ENVIRONMENTS, seedRoutes } from "../../src/dev/seed.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

const HOST = "https://api.theflowlayer.ai";

let worker: TestWorker;
const keys: Record<string, string> = {};
beforeAll(async () => {
  worker = await startWorker();
  for (const env of SEED_ENVIRONMENTS) {
    for (const [name, policy] of Object.entries(seedRoutes(() => false))) {
      // Nobody decides here, so nobody waits.
      await worker.putRoute(env, name, { ...policy, tools: { ...policy.tools, wait_ms: 0 } });
    }
    keys[env] = (await worker.createKey({ env })).key;
  }
});
afterAll(() => worker.stop());

interface Example {
  readonly section: string;
  readonly app: string;
  readonly env: "production" | "staging";
  readonly body: Readonly<Record<string, unknown>> & { readonly model: string };
  readonly firstModel: string;
}

const tools = [
  {
    type: "function",
    function: { name: "lookup_order", parameters: { type: "object", properties: { order: { type: "string" } } } },
  },
];

const EXAMPLES: readonly Example[] = [
  {
    section: "02 curl",
    app: "studio-console",
    env: "production",
    body: {
      model: "flow/best-reasoning",
      messages: [{ role: "user", content: "Compare these model routes for a code review agent." }],
      route: { fallback: true, latency_budget_ms: 1800 },
    },
    firstModel: "deep-1",
  },
  {
    section: "03 fetch",
    app: "studio-console",
    env: "production",
    body: {
      model: "flow/best-reasoning",
      messages: [
        { role: "system", content: "Answer in the product team's incident format." },
        { role: "user", content: "Turn this incident into a remediation plan." },
      ],
      route: { fallback: true, latency_budget_ms: 1800 },
    },
    firstModel: "deep-1",
  },
  {
    section: "04 Python",
    app: "eval-runner",
    env: "staging",
    body: {
      model: "flow/fast-eval",
      messages: [{ role: "user", content: "Score this support answer for policy fit." }],
      route: { fallback: true, latency_budget_ms: 2400 },
    },
    firstModel: "fast-1",
  },
  {
    section: "06 agent step",
    app: "developer-agent",
    env: "production",
    body: {
      model: "flow/agent-reasoning",
      messages: [{ role: "user", content: "Where is my order?" }],
      tools,
      route: { fallback: true, require_tool_approval: true },
    },
    firstModel: "agent-1",
  },
];

function send({ app, env }: Pick<Example, "app" | "env">, body: object, key = keys[env] ?? ""): Promise<Response> {
  return worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: {
      Authorization: `Bearer ${key}`,
      "Content-Type": "application/json",
      "X-FlowLayer-App": app,
      "X-FlowLayer-Env": env,
    },
    body: JSON.stringify(body),
  });
}

interface StreamChunk {
  readonly choices: readonly {
    readonly delta: { readonly content?: string | null; readonly tool_calls?: unknown };
    readonly finish_reason: string | null;
  }[];
}

/** The chunks of an event stream that must end in `[DONE]`. */
function chunksOf(text: string): StreamChunk[] {
  const data = text
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => event.slice("data: ".length));
  expect(data.at(-1)).toBe("[DONE]");
  return data.slice(0, -1).map((each) => JSON.parse(each) as StreamChunk);
}

const textOf = (chunks: readonly StreamChunk[]): string =>
  chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");

const TRACE_ID = /^tr_[0-9A-Za-z]{32}$/;

describe("every example, sent as it is printed", () => {
  const table = EXAMPLES.flatMap((example) => [false, true].map((stream) => ({ ...example, stream })));
  test.each(table)("$section has every header it is promised (stream: $stream)", async (example) => {
    const { body, app, env, firstModel, stream } = example;
    const response = await send(example, { ...body, stream });
    const text = await response.text();
    expect(response.status, text).toBe(200);
    const header = (name: string): string | null => response.headers.get(name);
    const budget = (body["route"] as { latency_budget_ms?: number }).latency_budget_ms;

    expect(header("x-request-id")).toMatch(TRACE_ID);
    expect(header("x-flowlayer-trace-id")).toBe(header("x-request-id"));
    expect(header("x-flowlayer-route")).toBe(body.model);
    expect(header("x-flowlayer-route-version")).toBe("1");
    expect(header("x-flowlayer-app")).toBe(app);
    expect(header("x-flowlayer-env")).toBe(env);
    expect(header("x-flowlayer-provider")).toBe("sandbox");
    expect(header("x-flowlayer-model")).toBe(firstModel);
    expect(header("x-flowlayer-attempts")).toBe("1");
    expect(header("x-flowlayer-fallback")).toBe("false");
    expect(header("x-flowlayer-fallback-reason")).toBeNull();
    expect(header("x-flowlayer-attempt-log")).toMatch(new RegExp(`^sandbox/${firstModel};ok;200;\\d+ms$`));
    expect(header("x-flowlayer-latency-ms")).toMatch(/^\d+$/);
    expect(header("x-flowlayer-latency-budget-ms")).toBe(budget === undefined ? null : String(budget));
    expect(header("x-flowlayer-latency-budget-met")).toBe(budget === undefined ? null : "true");
    expect(header("x-flowlayer-hedge")).toBeNull();
    expect(header("x-flowlayer-cost-usd")).toBe(stream ? null : "0");
    expect(header("x-flowlayer-budget-remaining-usd")).toBeNull();
    expect(header("x-ratelimit-limit-requests")).toBeNull();
    expect(header("x-flowlayer-dropped-params")).toBeNull();
    expect(header("x-flowlayer-tool-approval") !== null).toBe(budget === undefined);
    expect(header("x-should-retry")).toBeNull();
    const phases = ["auth", "policy", "admission", "upstream", "total"];
    expect(header("server-timing")).toMatch(new RegExp(`^${phases.map((each) => `${each};dur=[\\d.]+`).join(", ?")}$`));
    expect(header("access-control-allow-origin")).toBeNull();
    if (stream) {
      expect(header("content-type")).toBe("text/event-stream; charset=utf-8");
      expect(header("cache-control")).toBe("no-cache, no-transform");
      expect(header("x-accel-buffering")).toBe("no");
      return;
    }
    expect(header("content-type")).toBe("application/json");
    expect(header("cache-control")).toBe("no-store");
    const { flow, usage } = JSON.parse(text) as { flow: Record<string, unknown>; usage: Record<string, number> };
    expect(flow).toMatchObject({
      trace_id: header("x-flowlayer-trace-id"),
      route: body.model,
      route_version: 1,
      provider: "sandbox",
      model: firstModel,
      attempts: 1,
      fallback: false,
      latency_ms: Number(header("x-flowlayer-latency-ms")),
      cost_usd: 0,
    });
    expect(usage["total_tokens"]).toBeGreaterThan(0);
  });

  test.each(EXAMPLES.slice(0, 3))("$section answers the same text streamed and whole", async (example) => {
    const whole = (await (await send(example, example.body)).json()) as {
      choices: { message: { content: string }; finish_reason: string }[];
    };
    const chunks = chunksOf(await (await send(example, { ...example.body, stream: true })).text());
    expect(textOf(chunks)).toBe(whole.choices[0]?.message.content);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe(whole.choices[0]?.finish_reason);
  });

  test("a budgeted key is told what is left of its budget", async () => {
    const { key } = await worker.createKey({ budget: { limit_usd: 2.5, period: "month" } });
    const response = await send(EXAMPLES[0]!, EXAMPLES[0]!.body, key);
    expect(response.headers.get("x-flowlayer-budget-remaining-usd")).toBe("2.5");
    expect(await response.json()).toMatchObject({ flow: { budget_remaining_usd: 2.5 } });
  });

  test("a target that fails is left for the next one, and headers, body and trace say so", async () => {
    const { key } = await worker.createKey({ env: "staging" });
    await worker.putRoute("staging", "failing", {
      targets: [
        { provider: "sandbox", model: "seed-broken", params: { fail: "500" } },
        { provider: "sandbox", model: "seed-spare" },
      ],
    });
    const example = { ...EXAMPLES[0]!, env: "staging" } as const;
    const response = await send(example, { ...example.body, model: "flow/failing" }, key);
    const traceId = response.headers.get("x-flowlayer-trace-id");
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-fallback")).toBe("true");
    expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("server_error");
    expect(response.headers.get("x-flowlayer-model")).toBe("seed-spare");
    expect(response.headers.get("x-flowlayer-attempts")).toBe("3");
    expect(response.headers.get("x-flowlayer-attempt-log")).toMatch(
      /^(sandbox\/seed-broken;server_error;500;\d+ms, ){2}sandbox\/seed-spare;ok;200;\d+ms$/,
    );
    expect(await response.json()).toMatchObject({ flow: { fallback: true, attempts: 3, model: "seed-spare" } });
    const trace = async (): Promise<unknown> => {
      const found = await worker.fetch(`/v1/traces/${traceId}`, { headers: { authorization: `Bearer ${key}` } });
      return found.json();
    };
    await expect.poll(trace).toMatchObject({
      id: traceId,
      status: "ok",
      fallback: true,
      app: "studio-console",
      attempts: [{ outcome: "server_error" }, { outcome: "server_error" }, { outcome: "ok", winner: true }],
    });
  });
});

describe("section 06: an agent step on a route whose tool calls need approval", () => {
  const [, , , step] = EXAMPLES as readonly [Example, Example, Example, Example];

  test("a whole answer holds no tool call, ends in stop and names what is pending", async () => {
    const response = await send(step, step.body);
    expect(response.headers.get("x-flowlayer-tool-approval")).toBe("pending");
    const { choices, flow } = (await response.json()) as { choices: StreamChunk[]; flow: object };
    expect(choices).toMatchObject([{ message: { role: "assistant" }, finish_reason: "stop" }]);
    expect(JSON.stringify(choices)).toContain("lookup_order");
    expect(JSON.stringify(choices)).not.toContain("tool_calls");
    expect(flow).toMatchObject({ tool_approval: { status: "pending" } });
  });

  test("a stream holds no tool call and ends in stop", async () => {
    const response = await send(step, { ...step.body, stream: true });
    expect(response.headers.get("x-flowlayer-tool-approval")).toBe("required");
    const chunks = chunksOf(await response.text());
    expect(JSON.stringify(chunks)).not.toContain('"tool_calls"');
    expect(textOf(chunks)).toContain("lookup_order");
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("stop");
  });

  test("a step without tools is a plain answer", async () => {
    const { tools: _tools, ...body } = step.body;
    const response = await send(step, body);
    expect(response.headers.get("x-flowlayer-tool-approval")).toBe("required");
    expect(await response.json()).toMatchObject({ choices: [{ finish_reason: "stop" }], flow: { attempts: 1 } });
  });

  test("a result of a call that nobody approved is refused before any provider is asked", async () => {
    const call = { id: "call_1", type: "function", function: { name: "lookup_order", arguments: "{}" } };
    const messages = [
      ...(step.body["messages"] as object[]),
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: "call_1", content: "shipped" },
    ];
    const response = await send(step, { ...step.body, messages });
    expect(response.status).toBe(403);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(response.headers.get("x-flowlayer-attempts")).toBe("0");
    expect(await response.json()).toMatchObject({
      error: {
        type: "permission_error",
        code: "tool_approval_required",
        tool_calls: [expect.stringMatching(/^call_/)],
      },
    });
  });
});

const CURL = String.raw`curl https://api.theflowlayer.ai/v1/chat/completions \
  -H "Authorization: Bearer $FLOW_LAYER_API_KEY" \
  -H "Content-Type: application/json" \
  -H "X-FlowLayer-App: studio-console" \
  -H "X-FlowLayer-Env: production" \
  -d '{
    "model": "flow/best-reasoning",
    "messages": [
      { "role": "user", "content": "Compare these model routes for a code review agent." }
    ],
    "route": {
      "fallback": true,
      "latency_budget_ms": 1800
    }
  }'`;

const FETCH = `const response = await fetch("https://api.theflowlayer.ai/v1/chat/completions", {
  method: "POST",
  headers: {
    "Authorization": \`Bearer \${process.env.FLOW_LAYER_API_KEY}\`,
    "Content-Type": "application/json",
    "X-FlowLayer-App": "studio-console",
    "X-FlowLayer-Env": "production",
  },
  body: JSON.stringify({
    "model": "flow/best-reasoning",
    "stream": true,
    "messages": [
      { role: "system", content: "Answer in the product team's incident format." },
      { role: "user", content: "Turn this incident into a remediation plan." },
    ],
    "route": {
      "fallback": true,
      "latency_budget_ms": 1800,
    },
  }),
});

console.log(await response.text());`;

const REQUESTS = `import os
import requests

response = requests.post(
    "https://api.theflowlayer.ai/v1/chat/completions",
    headers={
        "Authorization": f"Bearer {os.environ['FLOW_LAYER_API_KEY']}",
        "Content-Type": "application/json",
        "X-FlowLayer-App": "eval-runner",
        "X-FlowLayer-Env": "staging",
    },
    json={
        "model": "flow/fast-eval",
        "messages": [
            {"role": "user", "content": "Score this support answer for policy fit."}
        ],
        "route": {
            "fallback": True,
            "latency_budget_ms": 2400,
        },
    },
    timeout=30,
)

print(response.json())`;

/** The part of `requests` that the example uses, for a Python that has only its standard library. */
const REQUESTS_STAND_IN = `import json, urllib.request
class requests:
    @staticmethod
    def post(url, headers, json, timeout):
        body = __import__("json").dumps(json).encode()
        answer = urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=timeout)
        return type("Response", (), {"json": lambda self: __import__("json").load(answer)})()
`;

const AGENT_STEP = `async function runAgentStep(messages, tools) {
  return fetch("https://api.theflowlayer.ai/v1/chat/completions", {
    method: "POST",
    headers: {
      "Authorization": \`Bearer \${process.env.FLOW_LAYER_API_KEY}\`,
      "Content-Type": "application/json",
      "X-FlowLayer-App": "developer-agent",
      "X-FlowLayer-Env": "production",
    },
    body: JSON.stringify({
      model: "flow/agent-reasoning",
      messages,
      tools,
      route: {
        fallback: true,
        require_tool_approval: true,
      },
    }),
  });
}`;

const RUN_AGENT_STEP = `${AGENT_STEP}
const response = await runAgentStep([{ role: "user", content: "Where is my order?" }], ${JSON.stringify(tools)});
console.log(JSON.stringify([response.status, await response.json()]));`;

const runs = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;
const hasRequests = runs("python3", "-c", "import requests");

const PYTHON = hasRequests ? REQUESTS : REQUESTS_STAND_IN + REQUESTS.replace("import requests\n", "");

const PROGRAMS = [
  {
    name: "02 as a shell command",
    env: "production",
    installed: runs("curl", "--version"),
    command: "bash",
    args: (host: string) => ["-c", CURL.replace(HOST, host)],
    prints: /"content":\s?"[^"]*deep-1.*Compare these model routes for a code review agent\.[\s\S]*"flow":/,
  },
  {
    name: "03 as a Node program",
    env: "production",
    installed: true,
    command: process.execPath,
    args: (host: string) => ["--input-type=module", "-e", FETCH.replace(HOST, host)],
    prints: /^data: [\s\S]*"content":" remediation"[\s\S]*\ndata: \[DONE\]\n/,
  },
  {
    name: `04 as a Python program${hasRequests ? "" : ", with urllib in place of requests"}`,
    env: "staging",
    installed: runs("python3", "--version"),
    command: "python3",
    args: (host: string) => ["-c", PYTHON.replace(HOST, host)],
    prints: /'content': .*Score this support answer for policy fit\..*'route': 'flow\/fast-eval'/,
  },
  {
    name: "06 as a Node program",
    env: "production",
    installed: true,
    command: process.execPath,
    args: (host: string) => ["--input-type=module", "-e", RUN_AGENT_STEP.replace(HOST, host)],
    prints: /^\[200,.*lookup_order.*"tool_approval":\{"status":"pending"/,
  },
].filter(({ installed }) => installed);

describe("every example, run as the program it is", () => {
  test.each(PROGRAMS)("$name prints the answer", async ({ env, command, args, prints }) => {
    const environment = { ...process.env, FLOW_LAYER_API_KEY: keys[env], NO_PROXY: "*" };
    const { stdout } = await promisify(execFile)(command, args(worker.url), { env: environment });
    expect(stdout).toMatch(prints);
  });
});
