/**
 * Recorded requests of clients, where they lie next to the checkout, through the door that they were made for: to a target
 * that speaks the door's wire, and to targets that do not. Nothing of them gets lost unless it is named or refused.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { billedWire, wireAt } from "../support/billed.ts";
import { type ChatRig, startChatRig } from "../support/chat.ts";
import { readMessage } from "../support/messages-protocol.ts";
import { faultsOf, type WantedRequest } from "../support/recorded-requests.ts";
import { readProtocol } from "../support/responses-protocol.ts";
import { readStream } from "../support/sse.ts";

type Json = Record<string, unknown>;

interface Recording {
  readonly file: string;
  readonly wire: "messages" | "responses";
  readonly kind: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly expect: WantedRequest;
}

const FOLDER = new URL("../../../shared/doors", import.meta.url).pathname;
const isThere = existsSync(join(FOLDER, "index.json"));
const recordings = isThere
  ? (JSON.parse(readFileSync(join(FOLDER, "index.json"), "utf8")) as Recording[]).filter(
      ({ kind, wire }) => kind === "request" && (wire as string) !== "embeddings",
    )
  : [];

const NATIVE = { messages: "anthropic", responses: "openai" } as const;
/** Chat first: that is the one the expectations speak of. */
const TRANSLATED = {
  messages: ["groq", "openai", "google", "bedrock", "cohere"],
  responses: ["groq", "anthropic", "google", "bedrock", "cohere"],
} as const;
const CHAT: ReadonlySet<string> = new Set(["groq", "openai"]);

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
  await rig.prepareForMany();
});
afterAll(() => rig.stop());

test.skipIf(isThere)("the recordings are not here: they lie beside the project, and are no part of it", ({ skip }) =>
  skip(),
);

const USED = { input: 11, output: 7 };

async function play({ file, wire, headers = {} }: Recording, provider: string) {
  rig.upstream.reset();
  const route = await rig.route({ providers: [provider], policy: { retry: { same_target: 0 } } });
  rig.upstream.script(({ path, body }) => {
    const answer = billedWire(wireAt(path, provider));
    const isStream = /stream/i.test(path) || (JSON.parse(body) as Json)["stream"] === true;
    return isStream ? answer.stream("Said.", USED) : answer.whole("Said.", USED);
  });
  const own = JSON.parse(readFileSync(join(FOLDER, file), "utf8")) as Json;
  const asked: Json = { ...own, model: route.model };
  const response = await rig.worker.fetch(`/v1/${wire}`, {
    method: "POST",
    headers: { ...rig.headers(route), ...headers },
    body: JSON.stringify(asked),
  });
  const read = await readStream(response);
  return { route, asked, response, ...read, call: rig.upstream.calls.at(-1) };
}

type Played = Awaited<ReturnType<typeof play>>;

/** A whole answer or a whole stream of the door's wire, with the text that was said. */
function expectAnswer({ wire }: Recording, { asked, response, text, isBroken }: Played): void {
  expect([response.status, isBroken], text).toEqual([200, false]);
  if (asked["stream"] !== true) {
    expect(JSON.parse(text)).toMatchObject(
      wire === "messages"
        ? { type: "message", role: "assistant", content: [{ type: "text", text: "Said." }], stop_reason: "end_turn" }
        : { object: "response", status: "completed", output: [{ type: "message", content: [{ text: "Said." }] }] },
    );
    return;
  }
  if (wire === "messages") {
    const { faults, content } = readMessage(text);
    expect([faults, content]).toMatchObject([[], [{ type: "text", text: "Said." }]]);
  } else {
    // The scripted provider leaves members out; the router writes all of them.
    const lenient = { noDone: true, changingHead: true, emptySnapshot: true };
    const { response: last } = readProtocol(text, lenient);
    expect(last).toMatchObject({ status: "completed", output: [{ type: "message", content: [{ text: "Said." }] }] });
  }
}

/** `undefined` where the recording says that every target is to refuse it. */
function expectRefusal({ expect: wanted }: Recording, { response, text, call }: Played): void {
  expect(response.status, text).toBe(wanted.status);
  const { error } = JSON.parse(text) as { error: Json };
  if (wanted.code !== undefined) expect(error["code"]).toBe(wanted.code);
  if (wanted.names !== undefined) expect([error["param"], error["message"]].join(" ")).toContain(wanted.names);
  expect(call).toBeUndefined();
}

const droppedOf = ({ response }: Played): string[] =>
  (response.headers.get("x-flowlayer-dropped-params") ?? "").split(/,\s*/).filter((name) => name !== "");

describe.runIf(isThere).each(recordings)("$file", (recording) => {
  const { wire, expect: wanted } = recording;

  test("natively", async () => {
    const played = await play(recording, NATIVE[wire]);
    if (wanted.status !== undefined) return expectRefusal(recording, played);
    expectAnswer(recording, played);
    const sent = JSON.parse(played.call?.body ?? "{}") as Json;
    const { model: _, ...own } = played.asked;
    const { model, store, include, ...rest } = sent;
    expect(model).toBe(played.route.models[0]);
    const { store: _store, include: asked, ...members } = own;
    expect(rest).toEqual(wire === "responses" ? { ...withoutEmpty(members), input: ownItems(own["input"]) } : members);
    if (wire === "responses") expect(store).toBe(false);
    for (const each of (asked as string[] | undefined) ?? []) expect(include).toContain(each);
    expect(droppedOf(played)).toEqual([]);
    for (const [name, value] of Object.entries(recording.headers ?? {})) {
      if (name.startsWith("anthropic-")) expect(played.call?.headers[name]).toBe(value);
    }
  });

  test.each(TRANSLATED[wire])("by %s", async (provider) => {
    const played = await play(recording, provider);
    if (wanted.status !== undefined) return expectRefusal(recording, played);
    const { response, text, call } = played;
    const mayRefuse = wanted.may_refuse === true || (wanted.native_only ?? []).length > 0;
    if (response.status === 400 && (mayRefuse || !CHAT.has(provider))) {
      const { error } = JSON.parse(text) as { error: Json };
      expect(error["code"], text).toBe("no_capable_target");
      expect(error["param"], text).toEqual(expect.stringMatching(/./));
      expect(call).toBeUndefined();
      return;
    }
    expectAnswer(recording, played);
    const body = JSON.parse(call?.body ?? "{}") as Json;
    if (CHAT.has(provider)) {
      expect(faultsOf({ body, dropped: droppedOf(played) }, wanted), call?.body).toEqual([]);
      return;
    }
    for (const each of wanted.never_upstream ?? []) expect(call?.body).not.toContain(each);
    const said = textsIn(body);
    // A document may be sent as a file, in base64.
    for (const each of textsOf(wanted)) {
      expect(said.includes(each) || said.includes(Buffer.from(each).toString("base64")), each).toBe(true);
    }
    // A wire without the word for it says that no tool may be called by offering none.
    if (wanted.tool_choice === "none") return;
    for (const { name } of wanted.tools ?? []) expect(said).toContain(name);
  });
});

/** No tools are no member: a provider may refuse the empty list. */
const withoutEmpty = ({ tools, ...members }: Json): Json =>
  Array.isArray(tools) && tools.length === 0 ? members : { ...members, ...(tools === undefined ? {} : { tools }) };

/** Items as the provider may be sent them: thoughts that it did not encrypt stay away, and what refers to them. */
function ownItems(input: unknown): unknown {
  if (!Array.isArray(input)) return input;
  const isForeign = (item: Json): boolean =>
    item["type"] === "reasoning" && !String(item["encrypted_content"] ?? "").startsWith("gAAAA");
  const items = input as Json[];
  if (!items.some(isForeign)) return items;
  return items
    .filter((item) => !isForeign(item))
    .map(({ id, ...item }) =>
      item["role"] === "user" || /_output$/.test(String(item["type"])) ? { id, ...item } : item,
    );
}

const textsOf = ({ messages = [] }: WantedRequest): string[] =>
  messages.flatMap(({ texts = [], parts = [] }) => [...texts, ...parts.flatMap(({ text }) => text ?? [])]);

/** Every text of a value, one after the other. */
function textsIn(value: unknown): string {
  if (typeof value === "string") return `${value}\n`;
  return typeof value === "object" && value !== null ? Object.values(value).map(textsIn).join("") : "";
}
