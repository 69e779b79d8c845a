/**
 * Amazon Bedrock: address and credentials.
 *
 * Signed with AWS keys, or sent with a Bedrock API key. Nothing of the keys leaves this file but the signature.
 * Surprising: only the host, the date and the session token are signed. The runtime may rewrite other headers on the
 * way out, and a signature over a rewritten header is worthless.
 */
import { AwsV4Signer } from "aws4fetch";
import { COHERE_WORDS, lacksWord } from "../embedding/input-type.ts";
import { droppedMembers, invokePath, isCohereModel, readInvoke, writeInvoke } from "../wires/bedrock/embeddings.ts";
import { classifyConverse } from "../wires/bedrock/errors.ts";
import { bedrockWire } from "../wires/bedrock/wire.ts";
import { bridged, droppedParams } from "../wires/bridge.ts";
import type { WrittenRequest } from "../wires/wire.ts";
import type { AdapterCall, Provider, ProviderConfig, Secrets, UpstreamRequest } from "./adapter.ts";
import { COHERE_LIMITS } from "./embeddings/rows.ts";
import { baseUrlOf, secretText, upstreamHeaders } from "./provider-settings.ts";

const { translation, toUpstream, lacks, refuses } = bridged(bedrockWire, "bedrock", send);

export const bedrock: Provider = {
  id: "bedrock",
  adapter: { translation, toUpstream, classify: classifyConverse },
  requires: [
    ["AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION"],
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"],
    ["AWS_BEARER_TOKEN_BEDROCK", "BEDROCK_BASE_URL"],
  ],
  pool: ["AWS_BEARER_TOKEN_BEDROCK"],
  configure,
  lacks,
  refuses,
  embedding: {
    limits: (model) => (isCohereModel(model) ? COHERE_LIMITS : { inputs: 1 }),
    base64: "none",
    takesTokens: false,
    takesDimensions: true,
    isNative: false,
    lacksInputType: (word, model) => isCohereModel(model) && lacksWord(word, COHERE_WORDS),
    toUpstream: (call) => signed(invokePath(call.model), writeInvoke(call), call.config, droppedMembers(call)),
    read: readInvoke,
  },
};

function configure(secrets: Secrets): ProviderConfig | null {
  const baseUrl = baseUrlOf("bedrock", "https://bedrock-runtime.{AWS_REGION}.amazonaws.com", secrets);
  if (baseUrl === null) return null;
  if (isSet(secrets["AWS_BEARER_TOKEN_BEDROCK"])) {
    const token = secretText(secrets["AWS_BEARER_TOKEN_BEDROCK"]);
    return token === null ? null : { baseUrl, headers: { authorization: `Bearer ${token}` } };
  }
  const region = secretText(secrets["AWS_REGION"]);
  const accessKeyId = secretText(secrets["AWS_ACCESS_KEY_ID"]);
  const secretAccessKey = secretText(secrets["AWS_SECRET_ACCESS_KEY"]);
  if (region === null || accessKeyId === null || secretAccessKey === null) return null;
  if (!isSet(secrets["AWS_SESSION_TOKEN"])) {
    return { baseUrl, headers: {}, settings: { region, accessKeyId, secretAccessKey } };
  }
  const sessionToken = secretText(secrets["AWS_SESSION_TOKEN"]);
  // Keys of a session are nothing without its token.
  if (sessionToken === null) return null;
  return { baseUrl, headers: {}, settings: { region, accessKeyId, secretAccessKey, sessionToken } };
}

const isSet = (value: unknown): boolean => value !== undefined && value !== "";

async function signed(
  path: string,
  body: string,
  config: ProviderConfig,
  droppedParams: readonly string[],
): Promise<UpstreamRequest> {
  const url = config.baseUrl + path;
  const headers = { ...upstreamHeaders(config, false), ...(await signature(url, body, config.settings)) };
  return { url, headers, body, droppedParams };
}

/** The bytes that are signed are the bytes that are sent. */
async function send({ path, body, losses }: WrittenRequest, call: AdapterCall): Promise<UpstreamRequest> {
  const { config, stream, asked } = call;
  const url = `${config.baseUrl}${path}`;
  return {
    url,
    headers: {
      ...upstreamHeaders(config, stream, "application/vnd.amazon.eventstream"),
      ...(await signature(url, body, config.settings)),
    },
    body,
    droppedParams: droppedParams(losses, asked),
  };
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. No settings: no signature. */
async function signature(
  url: string,
  body: string,
  settings: ProviderConfig["settings"],
): Promise<Readonly<Record<string, string>>> {
  const { accessKeyId, secretAccessKey, sessionToken, region } = settings ?? {};
  if (accessKeyId === undefined || secretAccessKey === undefined || region === undefined) return {};
  const keys = { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
  const signed = await new AwsV4Signer({ ...keys, method: "POST", url, body, region, service: "bedrock" }).sign();
  return Object.fromEntries(signed.headers);
}
