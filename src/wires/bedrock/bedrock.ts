/**
 * Amazon Bedrock through Converse and ConverseStream.
 *
 * Signed with AWS keys, or sent with a Bedrock API key. Nothing of the keys leaves this file but the signature.
 * Surprising: only the host, the date and the session token are signed. The runtime may rewrite other headers on the
 * way out, and a signature over a rewritten header is worthless.
 */
import { AwsV4Signer } from "aws4fetch";
import type { AdapterCall, Provider, ProviderConfig, Secrets, UpstreamRequest } from "../../providers/adapter.ts";
import { baseUrlOf, secretText, upstreamHeaders } from "../../providers/provider-settings.ts";
import { toBedrockCompletion } from "./answer.ts";
import { classifyBedrock } from "./errors.ts";
import { missingOnBedrock, toConverse } from "./request.ts";
import { BedrockStream } from "./stream.ts";

export const bedrock: Provider = {
  id: "bedrock",
  adapter: {
    translation: {
      toCompletion: toBedrockCompletion,
      openStream: (context) => new BedrockStream(context),
    },
    toUpstream,
    classify: classifyBedrock,
  },
  requires: [
    ["AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION"],
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"],
    ["AWS_BEARER_TOKEN_BEDROCK", "BEDROCK_BASE_URL"],
  ],
  configure,
  lacks: missingOnBedrock,
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

async function toUpstream(call: AdapterCall): Promise<UpstreamRequest> {
  const { config, model, stream } = call;
  const { body, droppedParams } = toConverse(call);
  const text = JSON.stringify(body);
  // Model ids have colons and, as ARNs, slashes: one path segment, whatever stands in it.
  const url = `${config.baseUrl}/model/${encodeURIComponent(model)}/${stream ? "converse-stream" : "converse"}`;
  return {
    url,
    headers: {
      ...upstreamHeaders(config, stream, "application/vnd.amazon.eventstream"),
      ...(await signature(url, text, config.settings)),
    },
    body: text,
    droppedParams,
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
