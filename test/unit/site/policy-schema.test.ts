import { expect, test } from "vitest";
import { openApiDocument } from "../../../src/openapi/document.ts";
import { PolicyDocument } from "../../../src/policy/schema.ts";
import { providerIds } from "../../../src/providers/index.ts";
import { policySchema, undescribed } from "../../../src/site/policy-schema.ts";

const { components } = openApiDocument() as { components: { schemas: Record<string, Record<string, unknown>> } };
const policy = components.schemas["Policy"] ?? {};

test("every member of a policy has a meaning that an editor shows", () => {
  expect(undescribed(policy)).toEqual([]);
});

test("providers are offered, and those of operators stay valid", () => {
  const schema = JSON.stringify(policySchema(policy, providerIds()));
  expect(schema).toContain('"enum":["openai"');
  expect(schema).toContain('"additionalProperties":false');
});

test("an editor's `$schema` is part of a document", () => {
  const document = { $schema: "https://host/policy.schema.json", targets: [{ provider: "openai", model: "m" }] };
  expect(PolicyDocument.parse(document).targets).toHaveLength(1);
});
