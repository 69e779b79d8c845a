/** Operators' own endpoints: where they are called, and with which secret. */
import { expect, test } from "vitest";
import { ProviderRecord, ProviderRequest } from "../../../src/policy/provider-record.ts";
import { missingNames, operatorProvider } from "../../../src/providers/index.ts";

const SECRETS = {
  UPSTREAM_LAB: "sk-lab",
  UPSTREAM_BAD: "two words",
  OPENAI_API_KEY: "sk-openai",
  LAB_BASE_URL: "https://elsewhere.com",
};
const endpoint = { id: "lab", base_url: "https://api.lab.com/v1", secret: "UPSTREAM_LAB" };

test("it is called at its own address, with its own secret", () => {
  expect(operatorProvider(endpoint).configure(SECRETS)).toEqual({
    baseUrl: "https://api.lab.com/v1",
    headers: { authorization: "Bearer sk-lab" },
  });
  expect(operatorProvider({ ...endpoint, secret: null }).configure(SECRETS)?.headers).toEqual({});
});

test.each([
  { name: "a secret that is not set", endpoint: { ...endpoint, secret: "UPSTREAM_NONE" }, missing: ["UPSTREAM_NONE"] },
  { name: "a secret that cannot stand in a header", endpoint: { ...endpoint, secret: "UPSTREAM_BAD" }, missing: [] },
  { name: "a private address", endpoint: { ...endpoint, base_url: "http://10.0.0.1/v1" }, missing: [] },
])("with $name it is no candidate", ({ endpoint: own, missing }) => {
  const provider = operatorProvider(own);
  expect(provider.configure(SECRETS)).toBeNull();
  expect(missingNames(provider, SECRETS)).toEqual(missing);
});

test("private addresses are called where the deployment allows them", () => {
  const provider = operatorProvider({ ...endpoint, base_url: "http://127.0.0.1:8000/v1" });
  expect(provider.configure({ ...SECRETS, FLOW_ALLOW_PRIVATE_UPSTREAMS: "1" })?.baseUrl).toBe(
    "http://127.0.0.1:8000/v1",
  );
});

test.each(["https://api.lab.com/{OPENAI_API_KEY}", "https://{UPSTREAM_LAB}.lab.com/v1"])(
  "%s is an address and no template",
  (base_url) => {
    const provider = operatorProvider({ ...endpoint, base_url, secret: null });
    expect(JSON.stringify(provider.configure(SECRETS))).not.toContain("sk-");
  },
);

test("only names of its own kind pass as a secret, in a request and in a record", () => {
  const body = { protocol: "openai", base_url: "https://api.lab.com" };
  for (const secret of [
    "OPENAI_API_KEY",
    "UPSTREAM_",
    "xUPSTREAM_A",
    "UPSTREAM_A\n",
    "UPSTREAM_a",
    "FLOW_KEY_PEPPER",
    "",
  ]) {
    expect(ProviderRequest.safeParse({ ...body, secret }).success).toBe(false);
    expect(ProviderRecord.safeParse({ ...body, id: "lab", secret }).success).toBe(false);
  }
  expect(ProviderRequest.safeParse({ ...body, secret: "UPSTREAM_A_1" }).success).toBe(true);
});
