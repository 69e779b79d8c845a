/** What variables mean, and that each is said once in the log when it is ignored. */
import { beforeEach, expect, test, vi } from "vitest";
import { type settingsOf as Read, VARIABLES } from "../../src/config.ts";

const MIB = 1024 * 1024;
let settingsOf: typeof Read;
let lines: string[] = [];

beforeEach(async () => {
  // An isolate of its own: what was read is kept in module scope.
  vi.resetModules();
  ({ settingsOf } = await import("../../src/config.ts"));
  lines = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => lines.push(line));
});

test.each([
  { pepper: undefined, is: "", logged: 1 },
  { pepper: "", is: "", logged: 1 },
  { pepper: "p".repeat(15), is: "", logged: 1 },
  { pepper: "p".repeat(16), is: "p".repeat(16), logged: 0 },
])("the pepper $pepper is $is", ({ pepper, is, logged }) => {
  for (let request = 0; request < 3; request++) expect(settingsOf({ FLOW_KEY_PEPPER: pepper }).pepper).toBe(is);
  expect(lines).toHaveLength(logged);
  expect(lines.join()).not.toContain("ppp");
});

test.each([
  { text: undefined, mib: 10, logged: 0 },
  { text: "", mib: 10, logged: 0 },
  { text: "1", mib: 1, logged: 0 },
  { text: "16", mib: 16, logged: 0 },
  ...["0", "17", "1.5", "-1", "016", "1 ", "ten"].map((text) => ({ text, mib: 10, logged: 1 })),
])("FLOW_MAX_BODY_MIB=$text means $mib MiB", ({ text, mib, logged }) => {
  const env = { FLOW_KEY_PEPPER: "p".repeat(16), FLOW_MAX_BODY_MIB: text };
  expect(settingsOf(env).maxBodyBytes).toBe(mib * MIB);
  expect(lines).toHaveLength(logged);
});

test.each([
  ...[1, 30].map((days) => ({ text: String(days), days, logged: 0 })),
  ...["0", "31", "-1", "x"].map((text) => ({ text, days: 30, logged: 1 })),
])("FLOW_TRACE_DAYS=$text means $days days", ({ text, days, logged }) => {
  expect(settingsOf({ FLOW_KEY_PEPPER: "p".repeat(16), FLOW_TRACE_DAYS: text }).traceDays).toBe(days);
  expect(lines).toHaveLength(logged);
});

test("an empty value sets nothing, a host is compared in lower case, only 1 switches on", () => {
  const env = {
    ...{ FLOW_ADMIN_TOKEN: "", FLOW_ADMIN_TOKENS: "ann:x", FLOW_ADMIN_HOST: " Admin.Example.com " },
    ...{ FLOW_LOG_REQUESTS: "true", FLOW_ALLOW_PRIVATE_UPSTREAMS: "1", OTEL_EXPORTER_OTLP_ENDPOINT: "" },
  };
  expect(settingsOf(env)).toMatchObject({
    ...{ operators: [], adminHost: "admin.example.com" },
    ...{ logsEveryRequest: false, allowsPrivateUpstreams: true, exporter: { FLOW_ALLOW_PRIVATE_UPSTREAMS: "1" } },
  });
  const said = '{"event":"admin_token_ignored","name":"ann","reason":"FLOW_ADMIN_TOKEN is not usable"}';
  expect(lines.filter((line) => line.includes("admin_token"))).toEqual([said]);
});

test.each([
  { env: { FLOW_ADMIN_TOKEM: "secret-secret" }, name: "FLOW_ADMIN_TOKEM", says: "the nearest is FLOW_ADMIN_TOKEN" },
  { env: { FLOW_TRACE_DAY: "3" }, name: "FLOW_TRACE_DAY", says: "the nearest is FLOW_TRACE_DAYS" },
  { env: { FLOW_SANDBOX: "true" }, name: "FLOW_SANDBOX", says: "neither 0 nor 1" },
  { env: { FLOW_RESPONSES_STORE: "off" }, name: "FLOW_RESPONSES_STORE", says: "neither 0 nor 1" },
  { env: { FLOW_LOG_REQUESTS: "yes" }, name: "FLOW_LOG_REQUESTS", says: "neither 0 nor 1" },
])("$name that is ignored is said once, without its value", ({ env, name, says }) => {
  for (let request = 0; request < 3; request++) settingsOf({ FLOW_KEY_PEPPER: "p".repeat(16), ...env });
  expect(lines).toHaveLength(1);
  const said = JSON.parse(lines[0] ?? "") as { readonly event: string; readonly name: string; readonly reason: string };
  expect(said).toMatchObject({ event: "variable_ignored", name });
  expect(said.reason).toContain(says);
  expect(lines[0]).not.toContain(Object.values(env)[0]);
});

test("switches that are 0 or 1, and what is not ours, are not spoken of", () => {
  settingsOf({ FLOW_KEY_PEPPER: "p".repeat(16), FLOW_SANDBOX: "0", FLOW_RESPONSES_STORE: "1", OTHER_THING: "x" });
  expect(lines).toEqual([]);
});

test("is read once: another object with the same values is the same deployment", () => {
  const first = settingsOf({ FLOW_ADMIN_HOST: "a" });
  expect(settingsOf({ FLOW_ADMIN_HOST: "a", CONFIG: {} })).toBe(first);
  expect(settingsOf({ FLOW_ADMIN_HOST: "b" })).not.toBe(first);
  expect(lines.filter((line) => line.includes("FLOW_KEY_PEPPER"))).toHaveLength(2);
});

test("every variable is described in a sentence", () => {
  for (const text of Object.values(VARIABLES)) expect(text).toMatch(/^[A-Z`].{20,}\.$/);
});
