/** `GET /openapi.json`: the HTTP contract as a machine reads it. Nothing in it depends on the deployment. */
import { ERRORS, type ErrorCode } from "../http/errors.ts";
import {
  EXAMPLES,
  headerComponents,
  headerParameter,
  pathParameter,
  queryParameter,
  responseHeaders,
  tagOf,
  tags,
} from "./details.ts";
import { OPERATIONS, type Operation } from "./operations.ts";
import { type JsonSchema, REFERENCE } from "./schema.ts";
import { components } from "./shapes.ts";

const VERSION = "1";
/** Header mirrors of the members of `route`, and what groups and correlates. */
const CHAT_HEADERS = [
  ...["X-FlowLayer-Fallback", "X-FlowLayer-Latency-Budget-Ms", "X-FlowLayer-Spend-Budget-Usd"],
  ...["X-FlowLayer-Require-Tool-Approval", "X-Session-Id", "traceparent"],
];
const KEY_HEADERS = ["X-FlowLayer-App", "X-FlowLayer-Env", "X-Client-Request-Id"];

/** The document, an OpenAPI 3.1 object. Each call makes a new one. */
export function openApiDocument(): JsonSchema {
  const paths: Record<string, Record<string, JsonSchema>> = {};
  for (const operation of OPERATIONS) {
    const { path, method } = operation;
    paths[path] = { ...paths[path], [method]: describe(operation) };
  }
  const bearer = (description: string): JsonSchema => ({ type: "http", scheme: "bearer", description });
  return {
    openapi: "3.1.0",
    info: {
      title: "The Flow Layer",
      version: VERSION,
      description:
        "An OpenAI-compatible router. Another method of a path is 405 `method_not_allowed`; another path is 404 `not_found`.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/", description: "The host that served this document." }],
    tags: tags(),
    paths,
    components: {
      schemas: components(),
      headers: headerComponents(),
      securitySchemes: { key: bearer("An API key: `fl_…`."), operator: bearer("The admin token.") },
    },
  };
}

function describe(operation: Operation): JsonSchema {
  const { method, path, summary, caller, body, isBodyOptional } = operation;
  const parameters = parametersOf(operation);
  return {
    operationId: `${method}${path.replace(/[^A-Za-z0-9]+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
    tags: [tagOf(path)],
    summary,
    security: caller === "anyone" ? [] : [{ [caller]: [] }],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : {
          requestBody: { required: isBodyOptional !== true, content: json({ $ref: REFERENCE + body }, EXAMPLES[body]) },
        }),
    responses: responsesOf(operation),
  };
}

const json = (schema: JsonSchema, example?: JsonSchema): JsonSchema => ({
  "application/json": { schema, ...(example === undefined ? {} : { example }) },
});

function parametersOf({ path, query = {}, takesIfMatch, caller, isStream }: Operation): JsonSchema[] {
  const headers = [
    ...(caller === "key" ? KEY_HEADERS : []),
    ...(isStream === true ? CHAT_HEADERS : []),
    ...(takesIfMatch === true ? ["If-Match"] : []),
  ];
  return [
    ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => pathParameter(name)),
    ...Object.entries(query).map(([name, kind]) => ({
      ...queryParameter(name, querySchema(kind)),
      ...(name === "group_by" ? { required: true } : {}),
    })),
    ...headers.map(headerParameter),
  ];
}

function querySchema(kind: string): JsonSchema {
  if (kind.includes("|")) return { type: "string", enum: kind.split("|") };
  if (kind === "integer") return { type: kind, minimum: 1 };
  return kind === "date-time" ? { type: "string", format: kind } : { type: kind };
}

/** Codes that come with another status in some situation. */
const OTHER_STATUSES: Partial<Record<ErrorCode, readonly number[]>> = {
  // A rollback to the version that is active.
  version_mismatch: [409],
};

/** One response per status, with the codes it may carry. */
function responsesOf({ success: [status, name], codes, isStream, textType }: Operation): JsonSchema {
  const isRouted = isStream === true;
  const failing = codes.flatMap((code) =>
    [ERRORS[code].status, ...(OTHER_STATUSES[code] ?? [])].map((each) => ({ each, code })),
  );
  const byStatus = Map.groupBy(failing, ({ each }) => each);
  const stream = isRouted ? { "text/event-stream": { schema: streamSchema(name) } } : {};
  const text = textType === undefined ? {} : { content: { [textType]: { schema: { type: "string" } } } };
  const content = name === null ? text : { content: { ...json({ $ref: REFERENCE + name }), ...stream } };
  const failures = [...byStatus].sort(([one], [other]) => one - other);
  return {
    [status]: { description: "Success", headers: responseHeaders(status, isRouted), ...content },
    ...Object.fromEntries(
      failures.map(([failure, those]) => {
        const headers = responseHeaders(failure, isRouted);
        return [failure, { ...failureOf(those.map(({ code }) => code)), headers }];
      }),
    ),
  };
}

/** The data of each event but the last, `[DONE]`. Other doors send the events of their own protocol. */
function streamSchema(answer: string | null): JsonSchema {
  return answer === "ChatCompletion" ? { $ref: `${REFERENCE}ChatCompletionChunk` } : { type: "string" };
}

function failureOf(codes: readonly ErrorCode[]): JsonSchema {
  const narrowed = { properties: { error: { properties: { code: { enum: codes } } } } };
  const description = codes.map((code) => `\`${code}\``).join(", ");
  return { description, content: json({ allOf: [{ $ref: `${REFERENCE}Error` }, narrowed] }) };
}
