/**
 * The embeddings request as the router reads it. Everything that is not checked here is the provider's to judge and is
 * forwarded as it came.
 */
import * as z from "zod/mini";
import type { EmbeddingInput } from "../../embedding/parts.ts";
import { RouterError } from "../../http/errors.ts";
import { EXPLAINED, invalidField } from "../../http/validation-errors.ts";
import { isJsonObject, JsonEdit, parseJson, scanJson } from "../../lib/json.ts";
import { keyLevel } from "../../lib/json-keys.ts";
import { askedInChat } from "../asked.ts";
import { type ChatRequest, controlsOf, RouteControls, readDocument } from "../openai-chat/request-fields.ts";

/** OpenAI's own limit, and the most that any provider takes in a call. */
const MAX_INPUTS = 2_048;
/** Tokens of one input: as many as the longest window of an embedding model. */
const MAX_TOKENS = 131_072;
/** No tokenizer knows as many. */
const MAX_TOKEN = 2_147_483_647;
/** Above any model's vectors. */
export const MAX_DIMENSIONS = 65_536;

const dimensions = z.int("must be a positive integer").check(z.minimum(1, "must be a positive integer"));

/** The members that the router reads, but for `input`. */
export const EmbeddingsFields = z.looseObject({
  model: z.string('must be a string such as "flow/embeddings"'),
  input: z.unknown(),
  dimensions: z.optional(dimensions.check(z.maximum(MAX_DIMENSIONS))),
  encoding_format: z.optional(z.enum(["float", "base64"])),
  input_type: z.optional(z.string("must be a string").check(z.minLength(1), z.maxLength(64))),
  route: z.optional(RouteControls),
});

/** What another reader must not understand differently. */
const REQUEST_KEYS = keyLevel(Object.keys(EmbeddingsFields.shape), {
  route: keyLevel(Object.keys(RouteControls.shape)),
});

/** Checks a request body. Throws `invalid_json` or `invalid_request` that names the field and the remedy. */
export function parseEmbeddingsRequest(body: string): ChatRequest {
  const { text, fields, members } = withoutNulls(readDocument(body, REQUEST_KEYS, "`model` and `input`"));
  const route = isJsonObject(fields["route"]) ? { route: controlsOf(fields["route"]) } : {};
  const parsed = EmbeddingsFields.safeParse({ ...fields, ...route }, EXPLAINED);
  if (!parsed.success) throw invalidField(parsed.error.issues);
  checkInput(fields["input"]);
  const { model, route: controls = {} } = parsed.data;
  if (controls.resume !== undefined) {
    throw new RouterError("invalid_request", "`route.resume`: embeddings hold no tool calls. Leave it out.", {
      param: "route.resume",
    });
  }
  return { model, stream: false, includeUsage: false, controls, text, members, ...askedInChat(fields) };
}

/** SDKs send `null` for every option that was not set, and providers refuse some of them. */
function withoutNulls(document: ReturnType<typeof readDocument>): ReturnType<typeof readDocument> {
  const { fields, text, members } = document;
  const absent = Object.keys(EmbeddingsFields.shape).filter((name) => fields[name] === null);
  if (absent.length === 0) return document;
  const edit = new JsonEdit(text, members);
  for (const name of absent) edit.remove(name);
  const edited = edit.toString();
  const value = parseJson(edited);
  return { text: edited, fields: isJsonObject(value) ? value : {}, members: scanJson(edited).members };
}

/** The inputs of a request that was checked: one for a string or for the tokens of one text. */
export function inputsOf({ input }: Readonly<Record<string, unknown>>): readonly EmbeddingInput[] {
  if (!Array.isArray(input)) return [String(input)];
  return (typeof input[0] === "number" ? [input] : input) as readonly EmbeddingInput[];
}

function checkInput(input: unknown): void {
  if (input === undefined) throw badInput("input", "is required");
  if (typeof input === "string") {
    if (input === "") throw badInput("input", "must not be empty. Send text, or leave the request out");
    return;
  }
  const forms = "a string, a list of strings, a list of token numbers, or a list of such lists";
  if (!Array.isArray(input)) throw badInput("input", `must be ${forms}`);
  const [first] = input as readonly unknown[];
  if (first === undefined) throw badInput("input", "must not be an empty list. Send at least one text");
  if (typeof first === "number") {
    checkTokens(input, "input");
    return;
  }
  if (input.length > MAX_INPUTS) {
    throw badInput("input", `has ${input.length} inputs. Send at most ${MAX_INPUTS} in one request`);
  }
  const isText = typeof first === "string";
  if (!isText && !Array.isArray(first))
    throw badInput("input[0]", `is nothing that can be embedded: \`input\` must be ${forms}`);
  for (const [at, each] of input.entries()) {
    const param = `input[${at}]`;
    if (isText) checkText(each, param);
    else if (!Array.isArray(each))
      throw badInput(param, "must be a list of token numbers like the first. Do not mix forms");
    else checkTokens(each, param);
  }
}

function checkText(text: unknown, param: string): void {
  if (typeof text !== "string") throw badInput(param, "must be a string like the first. Do not mix forms");
  if (text === "") throw badInput(param, "must not be empty. Send text, or leave it out of the list");
}

function checkTokens(tokens: readonly unknown[], param: string): void {
  if (tokens.length === 0) throw badInput(param, "must not be an empty list of tokens. Leave it out");
  if (tokens.length > MAX_TOKENS) {
    throw badInput(param, `has ${tokens.length} tokens. Send at most ${MAX_TOKENS} for one input`);
  }
  const at = tokens.findIndex((each) => !isToken(each));
  if (at !== -1) throw badInput(`${param}[${at}]`, "must be a token: a whole number from 0. Do not mix forms");
}

function isToken(value: unknown): boolean {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_TOKEN;
}

function badInput(param: string, must: string): RouterError {
  return new RouterError("invalid_request", `\`${param}\` ${must}.`, { param });
}
