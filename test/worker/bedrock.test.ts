/** A request signed with AWS keys, as it leaves the Worker: the bytes of the address are what was signed. */
import { createHash, createHmac } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChatRig, startChatRig } from "../support/chat.ts";

const SECRET = "aws-secret/0123456789+canary";
const MODEL = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-micro-v1:0";
const ANSWER = {
  output: { message: { role: "assistant", content: [{ text: "signed" }] } },
  stopReason: "end_turn",
  usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 },
};

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig({
    AWS_BEARER_TOKEN_BEDROCK: "",
    AWS_REGION: "eu-west-1",
    AWS_ACCESS_KEY_ID: "AKIDEXAMPLE",
    AWS_SECRET_ACCESS_KEY: SECRET,
    AWS_SESSION_TOKEN: "session+token/=",
  });
});
afterAll(() => rig.stop());

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html: paths are encoded once more. */
function signatureOf(path: string, headers: Readonly<Record<string, string>>, body: string): string {
  const signed = ["host", "x-amz-date", "x-amz-security-token"];
  const encodedPath = path.split("/").map(encodeURIComponent).join("/");
  const lines = signed.map((name) => `${name}:${headers[name]}`);
  const canonical = ["POST", encodedPath, "", ...lines, "", signed.join(";"), sha256(body)].join("\n");
  const date = headers["x-amz-date"] ?? "";
  const scope = [date.slice(0, 8), "eu-west-1", "bedrock", "aws4_request"];
  const key = scope.reduce<string | Buffer>((last, part) => hmac(last, part), `AWS4${SECRET}`);
  return hmac(key as Buffer, ["AWS4-HMAC-SHA256", date, scope.join("/"), sha256(canonical)].join("\n")).toString("hex");
}

test("the signature holds for the request that arrives", async () => {
  rig.upstream.script({ body: JSON.stringify(ANSWER), headers: { "content-type": "application/json" } });
  const route = await rig.route({ providers: ["bedrock"], targets: [{ model: MODEL }] });
  const response = await rig.ask(route, { messages: [{ role: "user", content: "Grüße & <b>" }] });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  expect(text).toContain('"signed"');
  const [call] = rig.upstream.calls;
  expect(call?.path).toBe(`/v1/model/${encodeURIComponent(MODEL)}/converse`);
  const { authorization = "" } = call!.headers;
  expect(authorization).toMatch(
    /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/eu-west-1\/bedrock\/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=[0-9a-f]{64}$/,
  );
  expect(authorization.slice(-64)).toBe(signatureOf(call!.path, call!.headers, call!.body));
  expect(JSON.stringify(call)).not.toContain(SECRET);
});
