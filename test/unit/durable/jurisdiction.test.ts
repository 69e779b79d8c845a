import { expect, test } from "vitest";
import { jurisdictionFault, jurisdictionRecord, placed } from "../../../src/durable/jurisdiction.ts";

const kvOf = (record: string | null, keys: readonly string[] = []) =>
  ({
    get: async () => record,
    list: async () => ({ keys: keys.map((name) => ({ name })), list_complete: true, cacheStatus: null }),
  }) as unknown as KVNamespace;

test.each([
  { name: "nothing configured, as ever", record: null, keys: ["key:a"], configured: "", says: null },
  { name: "a first start", record: null, keys: [], configured: "eu", says: null },
  { name: "the same again", record: jurisdictionRecord("eu"), keys: ["key:a"], configured: "eu", says: null },
  {
    name: "another one",
    record: jurisdictionRecord("eu"),
    keys: ["key:a"],
    configured: "us",
    says: "FLOW_JURISDICTION=eu",
  },
  {
    name: "none any more",
    record: jurisdictionRecord("eu"),
    keys: ["key:a"],
    configured: "",
    says: "Set it to eu again",
  },
  {
    name: "one for a deployment that began without",
    record: null,
    keys: ["key:a"],
    configured: "eu",
    says: "Remove it again",
  },
  { name: "a word that is none", record: null, keys: [], configured: "EU", says: "must be one of eu, us, fedramp" },
  { name: "a record that is damaged", record: "{", keys: ["key:a"], configured: "", says: null },
])("$name", async ({ record, keys, configured, says }) => {
  const fault = await jurisdictionFault(kvOf(record, keys), configured);
  if (says === null) expect(fault === null || configured === "").toBe(true);
  else expect(fault).toContain(says);
});

test("every namespace of objects is restricted, and nothing else is touched", () => {
  const namespace = { jurisdiction: (name: string) => ({ in: name }), getByName: () => {} };
  const local = {
    jurisdiction() {
      throw new Error("Jurisdiction restrictions are not implemented in workerd.");
    },
  };
  const env = { KEY_LEDGER: namespace, LOCAL: local, CONFIG: { get: 1 }, FLOW_JURISDICTION: "eu" };
  expect(placed(env, "eu")).toEqual({ ...env, KEY_LEDGER: { in: "eu" } });
  const broken = {
    jurisdiction: () => {
      throw new Error("unknown jurisdiction");
    },
  };
  expect(() => placed({ broken }, "eu")).toThrow("unknown jurisdiction");
});
