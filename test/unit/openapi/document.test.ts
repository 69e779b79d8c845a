import { describe, expect, test } from "vitest";
import { app } from "../../../src/app.ts";
import { ERRORS } from "../../../src/http/errors.ts";
import { openApiDocument } from "../../../src/openapi/document.ts";

interface Described {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, unknown>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

const document = JSON.parse(JSON.stringify(openApiDocument())) as Document;
const text = JSON.stringify(document);
const described = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    call: `${method.toUpperCase()} ${path}`,
    path,
    ...operation,
  })),
);

/** As the document spells a registered path. */
const spelled = (path: string): string =>
  path
    .replace(/(?<=(?::provider|providers\/:id)\/)\*$/, "{model}")
    .replace(/\*$/, "{id}")
    .replace(/:(\w+)/g, "{$1}")
    .replace(/(?<=.)\/$/, "");

/** Codes of the contract that nothing sends yet. */
const NOT_SENT = [
  ...["wrong_route_kind", "tool_not_gateable", "range_not_kept", "unknown_environment", "role_required"],
  ...["response_not_found", "provider_in_use", "not_empty"],
];

describe("the document", () => {
  // What only our own pages and `npm start` call is no part of the API.
  const isOurs = (path: string): boolean =>
    (path.startsWith("/console") && path !== "/console/run") || path === "/admin/demo";
  const routes = app.routes
    .filter(({ method, path }) => method !== "ALL" && !isOurs(path))
    .map(({ method, path }) => `${method} ${spelled(path)}`);
  const azure = routes.filter((call) => call.includes(" /openai/v1/"));

  test("has exactly the routes that are registered", () => {
    const registered = routes.filter((call) => !azure.includes(call));
    expect(registered.length).toBeGreaterThan(30);
    // A deployment's name may have slashes, so its path is matched by hand.
    const byHand = ["chat/completions", "embeddings"].map((call) => `POST /openai/deployments/{model}/${call}`);
    expect(described.map(({ call }) => call).sort()).toEqual([...new Set([...registered, ...byHand])].sort());
  });

  test("all of /v1 is there below /openai/v1, too", () => {
    const own = routes.filter((call) => call.includes(" /v1/")).map((call) => call.replace(" /", " /openai/"));
    expect(azure.sort()).toEqual(own.sort());
  });

  test("refers only to components that are there, and to each of them", () => {
    const named = [...text.matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name);
    expect([...new Set(named)].sort()).toEqual(Object.keys(document.components.schemas).sort());
  });

  test("names every operation once and none of its errors under two statuses but a rollback's", () => {
    const ids = described.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { responses } of described) {
      for (const [status, response] of Object.entries(responses)) {
        const codes = [...JSON.stringify(response).matchAll(/"enum":(\[[^\]]*\])/g)].flatMap(([, list]) =>
          JSON.parse(list ?? "[]"),
        );
        const isOther = (code: string): boolean => code === "version_mismatch" && status === "409";
        for (const code of codes.filter((each) => !isOther(each))) {
          expect(ERRORS[code as keyof typeof ERRORS].status).toBe(Number(status));
        }
      }
    }
  });

  test("names every error code there is but the one of a wrong method, which is everywhere", () => {
    const missing = Object.keys(ERRORS).filter((code) => !text.includes(`"${code}"`));
    expect(missing.filter((code) => !NOT_SENT.includes(code))).toEqual(["method_not_allowed"]);
  });

  test("every parameter of a path is described", () => {
    for (const { path, call, ...operation } of described) {
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const { parameters = [] } = operation as { parameters?: { name: string; in: string }[] };
      expect([call, parameters.filter((each) => each.in === "path").map(({ name }) => name)]).toEqual([call, names]);
    }
  });
});
