/** The console's session: opened by a token, used by the console's own page only, ended by time and configuration. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startWorker, type TestWorker } from "../support/worker.ts";

const RELEASER = "releaser-token-releaser-token-releaser-1";
const PAGE = { "sec-fetch-site": "same-origin", "content-type": "application/json" };
const CONSOLE = { "sec-fetch-site": "same-origin", "x-flowlayer-console": "1" };

let worker: TestWorker;
beforeAll(async () => {
  worker = await startWorker({ vars: { FLOW_ADMIN_TOKENS: `maria:${RELEASER}:release` } });
});
afterAll(() => worker.stop());

const open = (token: string, headers: Record<string, string> = PAGE): Promise<Response> =>
  worker.fetch("/console/session", { method: "POST", headers, body: JSON.stringify({ token }) });

async function cookieOf(token: string): Promise<string> {
  const response = await open(token);
  expect(response.status).toBe(200);
  return response.headers.get("set-cookie")?.split(";")[0] ?? "";
}

const ask = (cookie: string, headers: Record<string, string> = CONSOLE, path = "/admin/keys"): Promise<Response> =>
  worker.fetch(path, { headers: { ...headers, cookie } });

const codeOf = async (response: Response): Promise<string> =>
  ((await response.json()) as { error: { code: string } }).error.code;

describe("opening a session", () => {
  test("names the operator and role, and sets a cookie that scripts cannot read", async () => {
    const response = await open(RELEASER);
    const person = (await response.json()) as { name: string; role: string; expires_at: string };
    expect(person).toMatchObject({ name: "maria", role: "release" });
    const hours = (Date.parse(person.expires_at) - Date.now()) / 3_600_000;
    expect(hours).toBeGreaterThan(11.9);
    expect(hours).toBeLessThanOrEqual(12);
    const cookie = response.headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(/^flowlayer-local=[\w-]+\.[\w-]+; HttpOnly; SameSite=Strict; Path=\/; Max-Age=43200$/);
    expect(cookie).not.toContain(RELEASER);
    expect(response.headers.get("cache-control")).toBe("no-store");
  });

  test.each([
    ["a wrong token", "no-such-token-no-such-token-no-such-token", PAGE, 401, "invalid_api_key"],
    ["another origin", RELEASER, { ...PAGE, "sec-fetch-site": "cross-site" }, 403, "browser_request"],
    ["no browser", RELEASER, { "content-type": "application/json" }, 403, "browser_request"],
    ["a form", RELEASER, { ...PAGE, "content-type": "text/plain" }, 415, "unsupported_media_type"],
  ] as const)("%s is refused", async (_what, token, headers, status, code) => {
    const response = await open(token, headers);
    expect(response.status).toBe(status);
    expect(response.headers.get("set-cookie")).toBeNull();
    expect(await codeOf(response)).toBe(code);
  });

  test("wrong tokens of one address are counted: the eleventh of a minute is told to wait", async () => {
    const wrong = (): Promise<Response> =>
      open("no-such-token-no-such-token-no-such-token", { ...PAGE, "cf-connecting-ip": "203.0.113.7" });
    const statuses: number[] = [];
    for (let tried = 0; tried < 12; tried++) statuses.push((await wrong()).status);
    expect(statuses[0]).toBe(401);
    expect(statuses.at(-1)).toBe(429);
    const refused = await wrong();
    expect(refused.headers.get("retry-after")).toBe("60");
    expect(await codeOf(refused)).toBe("rate_limit_exceeded");
    expect((await open(RELEASER, { ...PAGE, "cf-connecting-ip": "203.0.113.7" })).status).toBe(200);
  });
});

describe("using a session", () => {
  test("a page of the console reads and changes what its role may", async () => {
    const cookie = await cookieOf(RELEASER);
    expect((await ask(cookie)).status).toBe(200);
    const create = await worker.fetch("/admin/keys", {
      method: "POST",
      headers: { ...CONSOLE, cookie, "content-type": "application/json" },
      body: JSON.stringify({ name: "no", env: "production" }),
    });
    expect(create.status).toBe(403);
    expect(await codeOf(create)).toBe("role_required");
  });

  test.each([
    ["a page of another origin", { "sec-fetch-site": "cross-site", "x-flowlayer-console": "1" }],
    ["a page of another subdomain", { "sec-fetch-site": "same-site", "x-flowlayer-console": "1" }],
    ["a page that is not the console", { "sec-fetch-site": "same-origin" }],
    ["a program without a browser", { "x-flowlayer-console": "1" }],
  ])("%s is nobody", async (_what, headers) => {
    const response = await ask(await cookieOf(RELEASER), headers);
    expect(response.status).toBe(401);
    expect(await codeOf(response)).toBe("missing_api_key");
  });

  test("the data plane never reads it", async () => {
    const response = await ask(await cookieOf(worker.adminToken), CONSOLE, "/v1/models");
    expect(response.status).toBe(401);
  });

  test("a changed cookie is none, whatever was changed", async () => {
    const cookie = await cookieOf(RELEASER);
    const [name = "", value = ""] = cookie.split("=");
    const [body = "", signature = ""] = value.split(".");
    const said = JSON.parse(Buffer.from(body, "base64url").toString()) as object;
    const forged = Buffer.from(JSON.stringify({ ...said, name: "admin", role: "admin" })).toString("base64url");
    const others = [
      `${forged}.${signature}`,
      body,
      `${body}.`,
      `${body}.${signature}.x`,
      `.${signature}`,
      "%",
      "x".repeat(9_000),
    ];
    for (const other of others) expect((await ask(`${name}=${other}`)).status).toBe(401);
    expect((await ask(`other=1; ${cookie}; more=2`)).status).toBe(200);
  });

  test("closing it takes the cookie away, and may be repeated", async () => {
    for (let time = 0; time < 2; time++) {
      const response = await worker.fetch("/console/session", { method: "DELETE", headers: PAGE });
      expect(response.status).toBe(204);
      expect(response.headers.get("set-cookie")).toContain("Max-Age=0");
    }
  });
});

test("a session ends with the token that opened it, and with the pepper", async () => {
  const cookie = await cookieOf(RELEASER);
  const changes = [
    { FLOW_ADMIN_TOKENS: `maria:${RELEASER}-changed:release` },
    { FLOW_ADMIN_TOKENS: "" },
    { FLOW_ADMIN_TOKENS: `maria:${RELEASER}:release`, FLOW_KEY_PEPPER: "another-pepper-another-pepper" },
  ];
  for (const vars of changes) {
    const other = await startWorker({ vars });
    const response = await other.fetch("/admin/keys", { headers: { ...CONSOLE, cookie } });
    expect(response.status).toBe(401);
    await other.stop();
  }
});

test("FLOW_ADMIN_HOST fences the session too", async () => {
  const fenced = await startWorker({ vars: { FLOW_ADMIN_HOST: "admin.example.com" } });
  const response = await fenced.fetch("/console/session", { method: "POST", headers: PAGE, body: '{"token":"x"}' });
  expect(response.status).toBe(404);
  expect((await fenced.fetch("/console")).status).toBe(404);
  await fenced.stop();
});
