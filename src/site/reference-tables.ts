/** Tables of the reference that are made from what the product runs on: the policy's schema and the operations. */
import { parseJson } from "../lib/json.ts";

interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}

interface Operation {
  readonly summary?: string;
  readonly tags?: readonly string[];
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const code = (text: string): string => `\`${text}\``;
const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");

function kindOf(schema: Schema): string {
  const { enum: values, minimum, exclusiveMinimum, maximum, minItems, maxItems } = schema;
  if (values !== undefined) return values.map((value) => code(String(value))).join(", ");
  const type = typeof schema.type === "string" ? schema.type : (schema.type ?? []).join(" or ");
  if (type === "array") {
    const length =
      minItems === undefined ? (maxItems === undefined ? "" : `, at most ${maxItems}`) : `, ${minItems} to ${maxItems}`;
    return `list${length}`;
  }
  const low = exclusiveMinimum === undefined ? minimum : `above ${exclusiveMinimum}`;
  return low === undefined || maximum === undefined ? type : `${type}, ${low} to ${maximum.toLocaleString("en-US")}`;
}

function policyRows(schema: Schema, path: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    if (name === "$schema") return [];
    const at = path === "" ? name : `${path}.${name}`;
    const preset =
      schema.required?.includes(name) === true
        ? "required"
        : member.default === undefined || typeof member.default === "object"
          ? ""
          : code(JSON.stringify(member.default));
    const row = `| ${code(at)} | ${cell(kindOf(member))} | ${preset} | ${cell(member.description ?? "")} |`;
    return [row, ...policyRows(member, at), ...policyRows(member.items ?? {}, `${at}[]`)];
  });
}

/** Every member of a policy with its range and default. */
export function policyTable(schema: string): string {
  const rows = policyRows(parseJson(schema) as Schema, "");
  return ["| member | value | default | meaning |", "|---|---|---|---|", ...rows].join("\n");
}

/** Every operation in one table per group, in the order of the document. */
export function operationsTables(openapi: string): string {
  const { paths } = parseJson(openapi) as Document;
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary = "", tags = [] }]) => ({
      tag: tags[0] ?? "Other",
      row: `| ${code(`${method.toUpperCase()} ${path}`)} | ${cell(summary)} |`,
    })),
  );
  return [...Map.groupBy(all, ({ tag }) => tag)]
    .map(([tag, rows]) => [`### ${tag}`, "", "| call | does |", "|---|---|", ...rows.map(({ row }) => row)].join("\n"))
    .join("\n\n");
}
