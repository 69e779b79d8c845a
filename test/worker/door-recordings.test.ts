/**
 * Recorded answers of providers, where they lie next to the checkout, played to a target that speaks the door's own wire:
 * whole, and cut at many places.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, sharedChatRig } from "../support/chat.ts";
import { readMessage } from "../support/messages-protocol.ts";
import { eventData, readStream } from "../support/sse.ts";

type Json = Record<string, unknown>;

interface Recording {
  readonly file: string;
  readonly wire?: string;
  readonly provider: string;
  readonly kind: string;
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly expect: {
    readonly text?: string;
    readonly tool_calls?: readonly { readonly name: string; readonly arguments_json: string }[];
    readonly status?: string;
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly cached_tokens?: number;
    readonly reasoning_tokens?: number;
    readonly error?: { readonly message?: string };
  };
}

const SHARED = new URL("../../../shared", import.meta.url).pathname;

function recordingsIn(folder: string): readonly (Recording & { readonly path: string })[] {
  const index = join(SHARED, folder, "index.json");
  if (!existsSync(index)) return [];
  const all = JSON.parse(readFileSync(index, "utf8")) as unknown;
  const list = (Array.isArray(all) ? all : Object.values(all as object).find(Array.isArray)) as readonly Recording[];
  return list.map((each) => ({ ...each, path: join(SHARED, folder, each.file) }));
}

const responses = recordingsIn("doors").filter(({ wire, kind }) => wire === "responses" && kind !== "request");
const messages = recordingsIn("fixtures").filter(
  ({ provider, kind }) => provider === "anthropic" && kind !== "request",
);

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

/** Where a recording names who answered by a product of OpenAI's. */
const SPEAKS_AS: Readonly<Record<string, string>> = { chatgpt: "openai" };

async function play(recording: Recording, path: string, body: object, script: object) {
  const provider = SPEAKS_AS[recording.provider] ?? recording.provider;
  const route = await rig.route({ providers: [provider], policy: { retry: { same_target: 0 } } });
  const { "content-type": type = "application/json" } = recording.headers ?? {};
  rig.upstream.script({ status: recording.status, headers: { "content-type": type }, ...script });
  const response = await rig.worker.fetch(path, {
    method: "POST",
    headers: rig.headers(route),
    body: JSON.stringify({ model: route.model, ...body }),
  });
  return { route, response };
}

const cuts = (length: number): number[] => [0.1, 0.35, 0.6, 0.8, 0.95, 0.99].map((part) => Math.floor(length * part));

function usageOf({ expect: wanted }: Recording): Json {
  const { prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens } = wanted;
  const all = { prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

const isThere = responses.length + messages.length > 0;
test.skipIf(isThere)("the recordings are not here: they lie beside the project, and are no part of it", ({ skip }) =>
  skip(),
);

describe.runIf(responses.length > 0).each(responses)("Responses: $file", (recording) => {
  const bytes = readFileSync(recording.path);
  const ask = (script: object, stream = recording.kind === "sse") =>
    play(recording, "/v1/responses", { input: "q", store: false, stream }, script);
  // Bytes that move natively may have been cut inside an event.
  const failed = (text: string): string | undefined =>
    eventData(text).findLast((data) => /^\{"type": ?"(?:response\.failed|error)"/.test(data));

  test("whole", async () => {
    const isStream = recording.kind === "sse";
    const { route, response } = await ask(isStream ? { events: [bytes] } : { body: bytes });
    const { text, isBroken } = await readStream(response);
    if (recording.kind === "error") {
      expect(response.status).toBeGreaterThanOrEqual(400);
      return;
    }
    expect([response.status, isBroken]).toEqual([200, false]);
    const trace = await rig.trace(route, response);
    if (recording.expect.status === "failed") {
      expect(trace).toMatchObject({ status: "error" });
      return;
    }
    if (isStream) expect(text).toBe(bytes.toString("utf8"));
    else expect(text.startsWith(bytes.toString("utf8").trimEnd().slice(0, 200))).toBe(true);
    expect(trace).toMatchObject({ status: "ok", usage: usageOf(recording) });
    const names = (recording.expect.tool_calls ?? []).map(({ name }) => name);
    if (!isStream) expect(trace.tool_calls.filter((name) => names.includes(name))).toEqual(names);
  });

  test.runIf(recording.kind === "sse").each(cuts(bytes.length))("cut at byte %i", async (at) => {
    const { route, response } = await ask({ events: [bytes.subarray(0, at)], end: "fin", gapMs: 1 });
    const { text, isBroken } = await readStream(response);
    if (response.status !== 200) return;
    expect(isBroken).toBe(false);
    const last = failed(text);
    expect((await rig.trace(route, response)).status).toBe(last === undefined ? "ok" : "error");
    if (last === undefined) expect(text).toMatch(/"type": ?"response\.(?:completed|incomplete)"/);
  });
});

describe.runIf(messages.length > 0).each(messages)("Messages: $file", (recording) => {
  const bytes = readFileSync(recording.path);
  const ask = (script: object) => {
    const body = { max_tokens: 100, messages: [{ role: "user", content: "q" }], stream: recording.kind === "sse" };
    return play(recording, "/v1/messages", body, script);
  };

  test("whole", async () => {
    const isStream = recording.kind === "sse";
    const { route, response } = await ask(isStream ? { events: [bytes] } : { body: bytes });
    const { text, isBroken } = await readStream(response);
    if (recording.kind === "error" || recording.expect.error !== undefined) {
      const isTold = response.status >= 400 || isBroken;
      expect(isTold).toBe(true);
      return;
    }
    expect([response.status, isBroken]).toEqual([200, false]);
    const own = bytes.toString("utf8");
    expect(text.startsWith(isStream ? own : own.trimEnd().slice(0, 200))).toBe(true);
    expect(await rig.trace(route, response)).toMatchObject({ status: "ok", usage: usageOf(recording) });
    if (!isStream) return;
    const { content } = readMessage(text);
    const said = content.flatMap((block) => (block["type"] === "text" ? [String(block["text"])] : []));
    if (recording.expect.text !== undefined) expect(said.join("")).toContain(recording.expect.text.slice(0, 40));
  });

  test.runIf(recording.kind === "sse").each(cuts(bytes.length))("cut at byte %i", async (at) => {
    const { route, response } = await ask({ events: [bytes.subarray(0, at)], end: "fin", gapMs: 1 });
    const { text, isBroken } = await readStream(response);
    if (response.status !== 200) return;
    const whole = bytes.subarray(0, at).toString("utf8").split("\n\n").slice(0, -1).join("\n\n");
    const isWhole = /"stop_reason": ?"[^"]/.test(whole);
    expect([isWhole, isBroken]).toEqual([isWhole, !isWhole]);
    if (isWhole) expect(text.replaceAll(" ", "")).toContain('"type":"message_stop"}\n\n');
    const { status } = await rig.trace(route, response);
    expect(status).toBe(isWhole ? "ok" : "error");
  });
});
