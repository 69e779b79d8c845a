/** Bad input at the door of embeddings: each is refused by the parameter at fault, before a provider is called. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChatRig, type ErrorBody, sharedChatRig } from "../support/chat.ts";
import { embeddingRoute } from "../support/embeddings.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());

type Json = Readonly<Record<string, unknown>>;
const SMALL = "text-embedding-3-small";
const errorOf = async (response: Response): Promise<ErrorBody["error"] & { readonly status: number }> => {
  const { error } = (await response.json()) as ErrorBody;
  return { ...error, status: response.status };
};

describe("bad input", () => {
  const many = (count: number) => Array.from({ length: count }, () => "x");

  test.each<{
    name: string;
    body: Json | string;
    code?: string;
    param?: string | null;
    status?: number;
    says?: string;
  }>([
    { name: "no input", body: {}, param: "input", says: "required" },
    { name: "null", body: { input: null }, param: "input" },
    { name: "an empty text", body: { input: "" }, param: "input", says: "empty" },
    { name: "an empty list", body: { input: [] }, param: "input", says: "empty" },
    { name: "an empty text in a list", body: { input: ["a", ""] }, param: "input[1]", says: "empty" },
    { name: "an empty list of tokens", body: { input: [[1], []] }, param: "input[1]" },
    { name: "a number", body: { input: 5 }, param: "input" },
    { name: "an object", body: { input: { text: "a" } }, param: "input" },
    { name: "a boolean in a list", body: { input: [true] }, param: "input[0]" },
    { name: "objects in a list", body: { input: [{ text: "a" }] }, param: "input[0]" },
    { name: "text, then tokens", body: { input: ["a", 1] }, param: "input[1]", says: "mix" },
    { name: "tokens, then text", body: { input: [1, "a"] }, param: "input[1]", says: "mix" },
    { name: "lists of tokens, then text", body: { input: [[1], "a"] }, param: "input[1]", says: "mix" },
    { name: "null in a list", body: { input: ["a", null] }, param: "input[1]" },
    { name: "a token below zero", body: { input: [1, -1] }, param: "input[1]" },
    { name: "a fraction of a token", body: { input: [[1, 1.5]] }, param: "input[0][1]" },
    { name: "a token that no tokenizer has", body: { input: [2 ** 40] }, param: "input[0]" },
    { name: "lists in lists of tokens", body: { input: [[[1]]] }, param: "input[0][0]" },
    { name: "too many inputs", body: { input: many(2_049) }, param: "input", says: "2048" },
    { name: "too many tokens", body: { input: new Array(131_073).fill(1) }, param: "input", says: "131072" },
    { name: "no length", body: { input: "a", dimensions: 0 }, param: "dimensions" },
    { name: "a length below zero", body: { input: "a", dimensions: -1 }, param: "dimensions" },
    { name: "half a length", body: { input: "a", dimensions: 1.5 }, param: "dimensions" },
    { name: "a length as text", body: { input: "a", dimensions: "256" }, param: "dimensions" },
    { name: "a length that no model has", body: { input: "a", dimensions: 1_000_000 }, param: "dimensions" },
    {
      name: "an unknown form",
      body: { input: "a", encoding_format: "int8" },
      param: "encoding_format",
      says: "base64",
    },
    { name: "an input type that is no text", body: { input: "a", input_type: 1 }, param: "input_type" },
    { name: "a model that is no text", body: { input: "a", model: 1 }, param: "model" },
    { name: "an unknown control", body: { input: "a", route: { fast: true } }, param: "route.fast" },
    {
      name: "a held step, which there is none of",
      body: { input: "a", route: { resume: `tr_${"a".repeat(32)}` } },
      param: "route.resume",
    },
    { name: "a key twice", body: '{"model":"MODEL","input":"a","input":"b"}', param: "input", says: "duplicate" },
    {
      name: "a key in another case",
      body: '{"model":"MODEL","input":"a","Dimensions":3}',
      param: "Dimensions",
      says: "case",
    },
    { name: "a key that is escaped", body: '{"model":"MODEL","input":"a","inp\\u0075t":"b"}', param: "input" },
    { name: "no JSON", body: '{"model":', code: "invalid_json", param: null },
    { name: "a list", body: "[]", param: null, says: "`input`" },
    { name: "too deep", body: `{"model":"MODEL","input":"a","x":${"[".repeat(70)}${"]".repeat(70)}}`, param: null },
    { name: "an unknown route", body: { input: "a", model: "flow/nothing" }, code: "unknown_route", param: "model" },
  ])("$name", async ({ body, code = "invalid_request", param = null, status = 400, says = "" }) => {
    rig.upstream.reset();
    const route = await badInputRoute();
    const text =
      typeof body === "string" ? body.replace("MODEL", route.model) : JSON.stringify({ model: route.model, ...body });
    const response = await rig.worker.fetch("/v1/embeddings", {
      method: "POST",
      headers: rig.headers(route),
      body: text,
    });
    const error = await errorOf(response);
    expect(error).toMatchObject({ status, code, param });
    expect(error.message).toContain(says);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(rig.upstream.calls).toEqual([]);
  });

  let route: ReturnType<typeof embeddingRoute> | undefined;
  const badInputRoute = () => {
    route ??= embeddingRoute(rig, { targets: [{ provider: "openai", model: SMALL }], embedding: { space: SMALL } });
    return route;
  };

  test("methods, types and keys are checked as behind every door", async () => {
    const { key } = await badInputRoute();
    const headers = { authorization: `Bearer ${key}` };
    const ask = (init: RequestInit) => rig.worker.fetch("/v1/embeddings", init);
    expect(await errorOf(await ask({ method: "GET", headers }))).toMatchObject({
      status: 405,
      code: "method_not_allowed",
    });
    expect(await errorOf(await ask({ method: "POST", headers, body: "{}" }))).toMatchObject({ status: 415 });
    expect(await errorOf(await ask({ method: "POST", body: "{}" }))).toMatchObject({
      status: 401,
      code: "missing_api_key",
    });
    const { key: other } = await rig.worker.createKey({ scopes: ["models"] });
    const own = { authorization: `Bearer ${other}`, "content-type": "application/json" };
    const body = JSON.stringify({ model: "flow/x", input: "a" });
    expect(await errorOf(await ask({ method: "POST", headers: own, body }))).toMatchObject({
      status: 403,
      code: "scope_required",
    });
  });
});
