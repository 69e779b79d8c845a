/** What an export holds of each table, and what a line of an import must be. */
import * as z from "zod/mini";
import { BudgetRecord } from "../budgets/record.ts";
import { KeyRecord } from "../keys/record.ts";
import { tryParseJson } from "../lib/json.ts";
import { readStored } from "../lib/stored.ts";
import { ProviderRecord } from "../policy/provider-record.ts";
import { RouteIndex, RouteRecord } from "../policy/schema.ts";
import { PriceMembers } from "../prices/request.ts";

export type Value = string | number | null;
export type TransferRow = Readonly<Record<string, Value>>;

interface Column {
  readonly name: string;
  readonly isNumber: boolean;
  readonly mayBeNull: boolean;
}
export type Columns = readonly Column[];

/** `#`: a whole number, `?`: may be missing. */
function columns(text: string): Columns {
  return text.split(" ").map((spec) => {
    return { name: spec.replace(/[#?]/g, ""), isNumber: spec.includes("#"), mayBeNull: spec.includes("?") };
  });
}

interface Table {
  readonly table: string;
  readonly columns: Columns;
  /** What names a row, and orders the pages of an export. */
  readonly key: readonly string[];
}

/** `active` precedes `route`: a version that is published meanwhile may be missing there, and never here. */
export const TABLES = {
  key: { table: "key_record", key: ["seq"], columns: columns("seq# id env name created_at_ms# record digest") },
  active: { table: "route_active", key: ["env", "name"], columns: columns("env name seq# index_entry") },
  route: { table: "route_version", key: ["seq"], columns: columns("seq# env name version# record digest") },
  provider: { table: "provider", key: ["id"], columns: columns("id record? digest?") },
  price: {
    ...{ table: "price", key: ["seq"] },
    columns: columns("seq# provider model valid_from_ms# valid_until_ms#? record updated_by updated_at_ms#"),
  },
  budget: { table: "budget", key: ["id"], columns: columns("id record digest") },
  setting: { table: "setting", key: ["name"], columns: columns("name record updated_by updated_at_ms#") },
  disabled: { table: "disabled", key: ["name"], columns: columns("name reason until_ms#? actor at_ms#") },
  webhook: { table: "webhook", key: ["id"], columns: columns("id url events created_at_ms# disabled_at_ms#?") },
  audit: {
    ...{ table: "audit", key: ["seq"] },
    columns: columns(
      "seq# at_ms# actor action object before_digest? after_digest? reason? detail? before_members? after_members?",
    ),
  },
} as const satisfies Record<string, Table>;

export type TransferKind = keyof typeof TABLES;
export const KINDS = Object.keys(TABLES) as readonly TransferKind[];

const AnyJson = z.unknown();
const Members = z.record(z.string(), z.unknown());
const Texts = z.array(z.string());

/** What JSON in a column must read as, and the columns that its members repeat. */
const DOCUMENTS: Partial<
  Record<TransferKind, readonly (readonly [column: string, schema: z.ZodMiniType, repeated: readonly string[]])[]>
> = {
  key: [["record", KeyRecord, ["id", "env", "name"]]],
  active: [["index_entry", RouteIndex.def.element, ["name"]]],
  route: [["record", RouteRecord, ["env", "name", "version"]]],
  provider: [["record", ProviderRecord, ["id"]]],
  price: [["record", PriceMembers, []]],
  budget: [["record", BudgetRecord, ["id"]]],
  setting: [["record", AnyJson, []]],
  webhook: [["events", Texts, []]],
  audit: [
    ["detail", Members, []],
    ["before_members", Members, []],
    ["after_members", Members, []],
  ],
};

/** `null` where `row` is one of a kind: a text or a number in each column, and records that can be read. */
export function faultOf(kind: TransferKind, row: unknown): string | null {
  if (typeof row !== "object" || row === null || Array.isArray(row)) return "`row` must be an object";
  const members = new Map<string, unknown>(Object.entries(row));
  const known: Columns = TABLES[kind].columns;
  const unknown = [...members.keys()].find((name) => !known.some((column) => column.name === name));
  if (unknown !== undefined) return `\`row.${unknown.slice(0, 60)}\` is unknown`;
  for (const { name, isNumber, mayBeNull } of known) {
    const value = members.get(name) ?? null;
    if (value === null && !mayBeNull) return `\`row.${name}\` is missing`;
    const isFine = value === null || (isNumber ? Number.isSafeInteger(value) : typeof value === "string");
    if (!isFine) return `\`row.${name}\` is malformed`;
  }
  for (const [column, schema, repeated] of DOCUMENTS[kind] ?? []) {
    const text = members.get(column);
    if (typeof text !== "string") continue;
    const value = documentIn(schema, text);
    if (value === undefined) return `\`row.${column}\` cannot be read`;
    const other = repeated.find((name) => (value as Record<string, unknown>)[name] !== members.get(name));
    if (other !== undefined) return `\`row.${column}\` names another \`${other}\` than its row`;
  }
  return null;
}

/** As it would be read once it is stored; `undefined`: it cannot be. */
function documentIn(schema: z.ZodMiniType, text: string): unknown {
  const value = tryParseJson(text);
  if (value === undefined) return undefined;
  try {
    return readStored(schema, value) ?? undefined;
  } catch {
    return undefined;
  }
}
