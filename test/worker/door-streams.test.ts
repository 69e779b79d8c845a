/**
 * Random streams of every provider's wire through the Messages and the Responses door, whole and cut anywhere: whatever
 * comes, the client is sent the door's protocol, and in it all that the model said.
 */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, startChatRig, type TestRoute } from "../support/chat.ts";
import { readMessage } from "../support/messages-protocol.ts";
import { INPUT_TOKENS, OUTPUT_TOKENS, type Plan, type PlanPart, plans, RENDERERS } from "../support/random-answers.ts";
import { readProtocol } from "../support/responses-protocol.ts";
import { readStream, type StreamText } from "../support/sse.ts";

type Json = Readonly<Record<string, unknown>>;
type Provider = keyof typeof RENDERERS;

let rig: ChatRig;
const routes = new Map<Provider, TestRoute>();
const PROVIDERS = Object.keys(RENDERERS) as Provider[];
beforeAll(async () => {
  rig = await startChatRig();
  const policy = { retry: { same_target: 0 } };
  for (const provider of PROVIDERS) routes.set(provider, await rig.route({ providers: [provider], policy }));
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const TOOLS = ["lookup", "write_file", "a-b"];
const SCHEMA = { type: "object", properties: {} };
const BODIES = {
  messages: {
    max_tokens: 500,
    messages: [{ role: "user", content: "Hi." }],
    tools: TOOLS.map((name) => ({ name, input_schema: SCHEMA })),
  },
  responses: {
    input: "Hi.",
    store: false,
    tools: TOOLS.map((name) => ({ type: "function", name, parameters: SCHEMA })),
  },
} as const;
type Door = keyof typeof BODIES;

interface Played extends StreamText {
  readonly response: Response;
  /** The provider had said how its answer ends. */
  readonly isWhole: boolean;
  /** Nothing is missing of its stream. */
  readonly isEntire: boolean;
}

/** `cut`: the share of the bytes that come. */
async function play(door: Door, provider: Provider, plan: Plan, cut: number, sliceBytes: number): Promise<Played> {
  const route = routes.get(provider)!;
  const { contentType, events, endsAt } = RENDERERS[provider](plan);
  const bytes = events.map((each) => Buffer.from(each));
  const all = Buffer.concat(bytes);
  const told = Buffer.concat(bytes.slice(0, endsAt + 1)).length;
  const length = cut === 1 ? all.length : Math.floor(all.length * cut);
  rig.upstream.script({
    headers: { "content-type": contentType },
    events: [all.subarray(0, length)],
    sliceBytes,
    ...(cut === 1 ? {} : { end: "fin" as const, gapMs: 1 }),
  });
  const response = await rig.worker.fetch(`/v1/${door}`, {
    method: "POST",
    headers: rig.headers(route),
    body: JSON.stringify({ model: route.model, stream: true, ...BODIES[door] }),
  });
  return { response, isWhole: length >= told, isEntire: length === all.length, ...(await readStream(response)) };
}

const textOf = (parts: readonly PlanPart[], ...kinds: readonly PlanPart["kind"][]): string =>
  parts.flatMap((part) => (kinds.includes(part.kind) ? part.pieces : [])).join("");
const callsOf = (parts: readonly PlanPart[]): unknown[] =>
  parts.flatMap((part) => (part.kind === "call" ? [{ name: part.name, args: JSON.parse(part.pieces.join("")) }] : []));

interface Heard {
  readonly text: string;
  readonly thinking: string;
  readonly calls: unknown[];
}

function heardOfMessage(content: readonly Json[]): Heard {
  const of = (type: string, member: string): string =>
    content.flatMap((block) => (block["type"] === type ? [String(block[member])] : [])).join("");
  return {
    text: of("text", "text"),
    thinking: of("thinking", "thinking"),
    calls: content.flatMap(({ type, name, input }) => (type === "tool_use" ? [{ name, args: input }] : [])),
  };
}

function heardOfResponse(output: readonly Json[]): Heard {
  const texts = (list: unknown): string =>
    ((list as Json[] | undefined) ?? []).map(({ text, refusal }) => text ?? refusal ?? "").join("");
  return {
    text: output.flatMap(({ type, content }) => (type === "message" ? [texts(content)] : [])).join(""),
    thinking: output
      .flatMap(({ type, summary, content }) => (type === "reasoning" ? [texts(summary) || texts(content)] : []))
      .join(""),
    calls: output.flatMap(({ type, name, arguments: args }) =>
      type === "function_call" ? [{ name, args: JSON.parse(String(args)) }] : [],
    ),
  };
}

/** Which ends of a plan are known to every wire. */
const STOPS = { stop: "end_turn", length: "max_tokens", refused: "refusal" } as const;

function checkMessage(plan: Plan, { text, isBroken, isWhole, isEntire }: Played, isNative: boolean): void {
  // Bytes that move natively may have been cut inside an event.
  if (isNative && !isWhole) {
    expect([isBroken, /event: error\ndata: \{"type":"error"[^\n]*\n{2,}$/.test(text)], text).toEqual([true, true]);
    return;
  }
  const { faults, types, content, stopReason, usage, error, flow } = readMessage(text);
  if (error !== null) {
    expect([isBroken, types.at(-1)]).toEqual([true, "error"]);
    expect(error).toMatchObject({ type: "api_error", message: expect.any(String) });
    expect(faults.filter((fault) => !/no message_stop/.test(fault))).toEqual([]);
    expect(isWhole && plan.end === "stop").toBe(false);
    return;
  }
  expect([faults, isBroken]).toEqual([[], false]);
  expect(isWhole).toBe(true);
  expect(types.filter((type) => type === "message_delta")).toHaveLength(1);
  expect(types.slice(-2)).toEqual(["message_delta", "message_stop"]);
  const ids = content.flatMap(({ type, id }) => (type === "tool_use" ? [id] : []));
  expect(new Set(ids).size).toBe(ids.length);
  if (!isNative) {
    expect(flow).toMatchObject({ trace_id: expect.any(String) });
    expect([usage["input_tokens"], usage["output_tokens"]].every((count) => Number(count) > 0)).toBe(true);
    // An empty block is refused when it is sent back.
    expect(content.filter(({ type, text: said }) => type === "text" && said === "")).toEqual([]);
  }
  const { parts, end, hasUsage } = plan;
  if (end === "odd") return;
  expect(heardOfMessage(content)).toEqual({
    ...{ text: textOf(parts, "text", "refusal"), thinking: textOf(parts, "thinking"), calls: callsOf(parts) },
  });
  expect(stopReason).toBe(end === "stop" && ids.length > 0 ? "tool_use" : STOPS[end]);
  if (hasUsage && isEntire) expect(usage).toMatchObject({ input_tokens: INPUT_TOKENS, output_tokens: OUTPUT_TOKENS });
}

const STATUSES = { stop: "completed", length: "incomplete", refused: "incomplete" } as const;

function checkResponse(plan: Plan, { text, isBroken, isWhole, isEntire }: Played): void {
  const { faults, types, response } = readProtocol(text);
  expect([faults, isBroken]).toEqual([[], false]);
  expect(types.slice(0, 2)).toEqual(["response.created", "response.in_progress"]);
  expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  expect(response?.["flow"]).toMatchObject({ trace_id: expect.any(String) });
  if (types.at(-1) === "response.failed") {
    expect(response).toMatchObject({ error: { code: "server_error", message: expect.any(String) } });
    expect(isWhole && plan.end === "stop").toBe(false);
    return;
  }
  expect(isWhole).toBe(true);
  const { parts, end, hasUsage } = plan;
  if (end === "odd") return;
  expect(heardOfResponse(response?.["output"] as Json[])).toEqual({
    ...{ text: textOf(parts, "text", "refusal"), thinking: textOf(parts, "thinking"), calls: callsOf(parts) },
  });
  expect(response?.["status"]).toBe(STATUSES[end]);
  const used = response?.["usage"] as Json | undefined;
  expect([used?.["input_tokens"], used?.["output_tokens"]].every((count) => Number(count) > 0)).toBe(true);
  if (!hasUsage || !isEntire) return;
  expect(used).toMatchObject({ input_tokens: INPUT_TOKENS, output_tokens: OUTPUT_TOKENS });
}

const cuts = fc.oneof({ weight: 2, arbitrary: fc.constant(1) }, fc.double({ min: 0, max: 1, noNaN: true }));
const slices = fc.constantFrom(7, 64, 1_000, 100_000);
/** A soak run tries many more. */
const RUNS = process.env["FLOW_SOAK"] === "1" ? 300 : 30;

describe.each(["messages", "responses"] as const)("%s", (door) => {
  test.each(PROVIDERS)("keeps its protocol and says all that came from %s", { timeout: 600_000 }, async (provider) => {
    const property = fc.asyncProperty(plans, cuts, slices, async (plan, cut, sliceBytes) => {
      const played = await play(door, provider, plan, cut, sliceBytes);
      if (played.response.status !== 200) {
        // Nothing had been said that a client could be sent.
        expect(played.response.status, played.text).toBe(502);
        expect(JSON.parse(played.text)).toMatchObject({ error: { code: "upstream_failed" } });
        expect(plan.end === "stop" && played.isWhole).toBe(false);
        return;
      }
      if (door === "messages") checkMessage(plan, played, provider === "anthropic");
      else checkResponse(plan, played);
    });
    await fc.assert(property, { numRuns: RUNS });
  });
});
