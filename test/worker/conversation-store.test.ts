/** Stored responses in real workerd: found across restarts by their own secret, and by nothing that lies on a disk. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Env } from "../../src/config.ts";
import {
  deleteResponse,
  eraseResponses,
  type Reader,
  readConversation,
  readInput,
  readItems,
  readResponse,
  storeResponse,
} from "../../src/conversation-store/client.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

const TTL_MS = 60_000;
let keys = 0;
const newOwner = (secret = "s".repeat(32)): Reader => {
  return { keyId: `key${String(++keys).padStart(9, "0")}`, secret, hold: () => {} };
};

const message = (id: string, text: string) => ({
  id,
  type: "message",
  role: "assistant",
  content: [{ type: "output_text", text }],
});
const user = (text: string) => ({ type: "message", role: "user", content: [{ type: "input_text", text }] });
const kept = (id: string, text: string, previousId: string | null = null, ttlMs = TTL_MS) => ({
  ...{ id, previousId, ttlMs, input: [user(`asked ${text}`)] },
  response: { id, object: "response", status: "completed", output: [message(`msg_${id}`, `said ${text}`)] },
});

describe("the store of a key", () => {
  let worker: TestWorker;
  let store: Env["CONVERSATION_STORE"];
  beforeAll(async () => {
    worker = await startWorker();
    store = worker.bindings().CONVERSATION_STORE;
  });
  afterAll(() => worker.stop());

  test("gives a response, its conversation and its items back", async () => {
    const owner = newOwner();
    expect(await storeResponse(store, owner, kept("resp_1", "one"))).toBe(true);
    expect(await storeResponse(store, owner, kept("resp_2", "two", "resp_1"))).toBe(true);
    const { input, response } = kept("resp_2", "two");
    expect(await readResponse(store, owner, "resp_2")).toBe(JSON.stringify(response));
    expect(await readInput(store, owner, "resp_2")).toEqual(input);
    expect(await readConversation(store, owner, "resp_2")).toEqual({
      ok: true,
      items: [
        user("asked one"),
        message("msg_resp_1", "said one"),
        user("asked two"),
        message("msg_resp_2", "said two"),
      ],
    });
    const found = await readItems(store, owner, ["msg_resp_2", "msg_resp_1"]);
    expect(found.ok && [...found.items.keys()].sort()).toEqual(["msg_resp_1", "msg_resp_2"]);
    expect(await readItems(store, owner, ["msg_resp_1", "msg_unknown"])).toEqual({ ok: false, reason: "not_found" });
    expect(await readItems(store, owner, [])).toEqual({ ok: true, items: new Map() });
  });

  test("gives nothing to another key or secret, and forgets what is deleted", async () => {
    const owner = newOwner();
    await storeResponse(store, owner, kept("resp_1", "one"));
    for (const other of [newOwner(), { ...owner, secret: "t".repeat(32) }]) {
      expect(await readResponse(store, other, "resp_1")).toBeNull();
      expect(await readConversation(store, other, "resp_1")).toEqual({ ok: false, reason: "not_found" });
      expect(await readItems(store, other, ["msg_resp_1"])).toEqual({ ok: false, reason: "not_found" });
      expect(await deleteResponse(store, other, "resp_1")).toBe(false);
    }
    expect(await deleteResponse(store, owner, "resp_1")).toBe(true);
    expect(await readResponse(store, owner, "resp_1")).toBeNull();
    await storeResponse(store, owner, kept("resp_1", "again"));
    await eraseResponses(store, owner.keyId);
    expect(await readResponse(store, owner, "resp_1")).toBeNull();
  });

  test("takes a response of several rows whole, and none above 8 MiB", async () => {
    const owner = newOwner();
    expect(await storeResponse(store, owner, kept("resp_1", "a".repeat(4_200_000)))).toBe(false);
    expect(await readResponse(store, owner, "resp_1")).toBeNull();
    const text = "é".repeat(700_000);
    expect(await storeResponse(store, owner, kept("resp_2", text))).toBe(true);
    const read = await readResponse(store, owner, "resp_2");
    expect(read).toBe(JSON.stringify(kept("resp_2", text).response));
  });

  test("does not find what has expired", async () => {
    const owner = newOwner();
    await storeResponse(store, owner, kept("resp_1", "one", null, 50));
    await expect.poll(() => readResponse(store, owner, "resp_1"), { timeout: 5_000 }).toBeNull();
  });

  test("that does not answer is a response that is not stored, and a refusal of reading", async () => {
    const broken = { getByName: () => ({}) } as unknown as Env["CONVERSATION_STORE"];
    expect(await storeResponse(broken, newOwner(), kept("resp_1", "one"))).toBe(false);
    await expect(readResponse(broken, newOwner(), "resp_1")).rejects.toMatchObject({ code: "ledger_unavailable" });
  });
});

describe("on disk", () => {
  let directory: string;
  afterEach(() => rm(directory, { recursive: true, force: true }));

  test("there is nothing of a conversation or a secret, and the secret opens it after a restart", async () => {
    directory = await mkdtemp(join(tmpdir(), "responses-"));
    const owner = newOwner(`zq${"q7x".repeat(10)}`);
    const canary = "zq-canary-of-this-conversation";
    const first = await startWorker({ persist: directory });
    await storeResponse(first.bindings().CONVERSATION_STORE, owner, kept("resp_1", canary));
    await first.stop();
    const files = await filesIn(directory);
    expect(files.some((file) => file.includes("resp_1"))).toBe(true);
    const bytes = Buffer.from(canary);
    for (const text of [canary, owner.secret, bytes.toString("base64").slice(0, 24), bytes.toString("hex"), "asked"]) {
      expect(files.filter((file) => file.includes(text))).toEqual([]);
    }
    const second = await startWorker({ persist: directory });
    const read = await readResponse(second.bindings().CONVERSATION_STORE, owner, "resp_1");
    await second.stop();
    expect(read).toBe(JSON.stringify(kept("resp_1", canary).response));
  });
});

async function filesIn(directory: string): Promise<Buffer[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return Promise.all(entries.filter((each) => each.isFile()).map((each) => readFile(join(each.parentPath, each.name))));
}
