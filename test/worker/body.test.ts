/** What an endpoint takes of a body, and what an isolate holds of all of them. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectRaw, type RawClient } from "../support/raw.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

let upstream: Upstream;
let worker: TestWorker;
let key: CreatedKey;
let decider: CreatedKey;
beforeAll(async () => {
  upstream = await startUpstream();
  worker = await startWorker({ vars: { OPENAI_API_KEY: "sk-x", OPENAI_BASE_URL: `${upstream.url}/v1` } });
  const targets = [{ provider: "openai", model: "m" }];
  await worker.putRoute("production", "r", { targets });
  await worker.putRoute("production", "resumes", { targets, stream_recovery: "resume" });
  key = await worker.createKey();
  decider = await worker.createKey({ scopes: ["approvals:decide"] });
});
afterAll(async () => {
  await worker.stop();
  await upstream.stop();
});

const headersOf = (token: string): Record<string, string> => ({
  authorization: `Bearer ${token}`,
  "content-type": "application/json",
});
const chat = (members = "", of = worker, token = key.key): Promise<Response> =>
  of.fetch("/v1/chat/completions", {
    method: "POST",
    headers: headersOf(token),
    body: `{"model":"flow/r","messages":[{"role":"user","content":"hi"}]${members}}`,
  });
const codeOf = async (response: Response): Promise<string> =>
  ((await response.json()) as { error: { code: string } }).error.code;

/** A request that declares so many bytes, or none, and sends the beginning of them. */
async function announce(
  bytes: number | null,
  begin = "{",
  path = "/v1/chat/completions",
  of = worker,
  token = key.key,
): Promise<RawClient> {
  const client = await connectRaw(of.url);
  const framing = bytes === null ? "Transfer-Encoding: chunked" : `Content-Length: ${bytes}`;
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json`;
  client.send(`${head}\r\n${framing}\r\n\r\n${begin}`);
  return client;
}

/** Clients that have announced so many bytes, once the isolate is known to hold them: `probe` bytes more are too many. */
async function hold(sizes: readonly number[], probe: number): Promise<RawClient[]> {
  const held = await Promise.all(sizes.map((bytes) => announce(bytes)));
  await expect
    .poll(
      async () => {
        const { status } = await padded(probe);
        // The probe itself may have taken the room of one.
        for (const [at, client] of held.entries())
          if (client.received() !== "") held[at] = await announce(sizes[at] ?? 0);
        return status;
      },
      { timeout: 10_000 },
    )
    .toBe(503);
  return held;
}

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const padded = (bytes: number): Promise<Response> => chat(`,"x":"${"p".repeat(bytes)}"`);

describe("an isolate", () => {
  test("holds 24 MiB of announced bodies, refuses what is beyond, and is free again when they end", async () => {
    const held = await hold([10 * MIB, 10 * MIB], 5 * MIB);
    const refused = await padded(5 * MIB);
    expect(
      Object.fromEntries(["retry-after", "x-should-retry"].map((name) => [name, refused.headers.get(name)])),
    ).toEqual({ "retry-after": "1", "x-should-retry": "true" });
    expect(await codeOf(refused)).toBe("overloaded");
    // There is room for four more.
    expect((await padded(MIB)).status).toBe(200);
    for (const client of held) client.close();
    await expect.poll(async () => (await padded(5 * MIB)).status, { timeout: 10_000 }).toBe(200);
  });

  test("is free again within seconds where what was announced does not come", { timeout: 40_000 }, async () => {
    const held = await hold([10 * MIB, 10 * MIB], 5 * MIB);
    held[0]?.send(" ".repeat(MIB));
    await expect.poll(async () => (await padded(5 * MIB)).status, { timeout: 25_000, interval: 500 }).toBe(200);
    // By its declared length each of them would have had two minutes.
    for (const client of held) {
      await expect.poll(() => client.received(), { timeout: 25_000, interval: 200 }).toContain("took too long");
      client.close();
    }
  });

  test("counts what it has read of a body without a length", async () => {
    const held = await hold([10 * MIB, 10 * MIB], 5 * MIB);
    const streamed = await announce(null, chunk(" ".repeat(3 * MIB)));
    streamed.send(chunk(" ".repeat(2 * MIB)));
    streamed.send("0\r\n\r\n");
    const { status, body } = await streamed.response();
    expect([status, (JSON.parse(body) as { error: { code: string } }).error.code]).toEqual([503, "overloaded"]);
    for (const client of [...held, streamed]) client.close();
    await expect.poll(async () => (await padded(9 * MIB)).status, { timeout: 10_000 }).toBe(200);
  });

  test.each(["r", "resumes"])("is free again after every kind of end on %s", async (route) => {
    const big = `"x":"${"p".repeat(9 * MIB)}"`;
    const send = (members: string): Promise<Response> =>
      worker.fetch("/v1/chat/completions", {
        method: "POST",
        headers: headersOf(key.key),
        body: `{"model":"flow/${route}","messages":[{"role":"user","content":"hi"}],${members},${big}}`,
      });
    for (let round = 0; round < 2; round++) {
      for (const members of ['"stream":false', '"stream":true', '"n":0', '"route":{"only":["groq"]}']) {
        const answer = await send(members);
        await answer.text();
        expect([200, 400]).toContain(answer.status);
      }
    }
    expect((await send('"model":"x"')).status).toBe(400);
    expect((await chat()).status).toBe(200);
  });
});

describe("a body", () => {
  test.each([
    { path: "/v1/approvals/call_x", bytes: 16 * KIB, token: () => decider.key, ok: "not_found" },
    { path: "/admin/approvals/call_x", bytes: 16 * KIB, token: () => worker.adminToken, ok: "not_found" },
    { path: "/admin/keys", bytes: MIB, token: () => worker.adminToken, ok: "invalid_request" },
    { path: "/admin/routes/r/promote", bytes: MIB, token: () => worker.adminToken, ok: "invalid_request" },
  ])("of $path may have $bytes bytes", async ({ path, bytes, token, ok }) => {
    const send = async (length: number): Promise<string> => {
      const text = '{"decision":"approve","reason":"a"}';
      const headers = headersOf(token());
      return codeOf(await worker.fetch(path, { method: "POST", headers, body: text.padEnd(length, " ") }));
    };
    expect(await send(bytes)).toBe(ok);
    expect(await send(bytes + 1)).toBe("request_too_large");
    expect(await send(15 * MIB)).toBe("request_too_large");
  });

  test("of an admin endpoint is read as strictly as any other", async () => {
    const put = (headers: Record<string, string>, body: string): Promise<Response> =>
      worker.fetch("/admin/routes/production/strict", {
        method: "PUT",
        headers: { ...headersOf(worker.adminToken), ...headers },
        body,
      });
    const utf16 = { "content-type": "application/json; charset=utf-16" };
    expect(await codeOf(await put(utf16, "{}"))).toBe("unsupported_media_type");
    expect(await codeOf(await put({ "content-encoding": "gzip" }, "{}"))).toBe("unsupported_media_type");
    const many = `{"targets":[${Array.from({ length: 60_000 }, () => "0").join(",")}]}`;
    const answer = await put({}, many);
    expect([answer.status, await codeOf(answer)]).toEqual([400, "invalid_request"]);
  });

  test.each([
    { mib: "1", most: 1 },
    { mib: "16", most: 16 },
    { mib: "17", most: 10 },
    { mib: "ten", most: 10 },
  ])("with FLOW_MAX_BODY_MIB=$mib may have $most MiB", async ({ mib, most }) => {
    const other = await startWorker({ vars: { FLOW_MAX_BODY_MIB: mib } });
    try {
      await other.putRoute("production", "r", { targets: [{ provider: "sandbox", model: "m" }] });
      const { key: token } = await other.createKey();
      const empty = '{"model":"flow/r","messages":[{"role":"user","content":"hi"}],"x":""}'.length;
      const sized = (bytes: number): Promise<Response> => chat(`,"x":"${"p".repeat(bytes - empty)}"`, other, token);
      expect((await sized(most * MIB)).status).toBe(200);
      // Refused by its head: a client that goes on writing may lose the answer with its connection.
      const client = await announce(most * MIB + 1, "{", "/v1/chat/completions", other, token);
      const refused = await client.response();
      client.close();
      const { error } = JSON.parse(refused.body) as { error: { code: string } };
      expect([refused.status, error.code]).toEqual([413, "request_too_large"]);
      expect(other.logs().includes("variable_ignored")).toBe(Number(mib) !== most);
    } finally {
      await other.stop();
    }
  });
});
