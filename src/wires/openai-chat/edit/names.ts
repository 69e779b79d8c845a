/** Aliases for tool names that OpenAI's protocol does not take: `^[a-zA-Z0-9_-]{1,64}$`. */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject } from "../../../lib/json.ts";
import type { ProviderRow } from "../../../providers/provider-row.ts";
import { ToolNames } from "../../tool-names.ts";
import { readRequest } from "../read-request.ts";

const MAX_LENGTH = 64;

/** `null` where every name is sent as it is, which is nearly always. */
export function aliasesFor(row: ProviderRow, fields: Json): ToolNames | null {
  if (row.looseTools === true || !namesOf(fields).some(isMisfit)) return null;
  return new ToolNames(readRequest(fields), MAX_LENGTH);
}

function isMisfit(name: unknown): boolean {
  return typeof name === "string" && (name === "" || name.length > MAX_LENGTH || /[^\w-]/.test(name));
}

/** Names of the tools that are offered: a name that only the conversation mentions has been sent before. */
function namesOf(fields: Json): unknown[] {
  const tools = Array.isArray(fields["tools"]) ? fields["tools"] : [];
  const functions = Array.isArray(fields["functions"]) ? fields["functions"] : [];
  return [
    ...tools.map((tool) => detailOf(tool)?.["name"]),
    ...functions.map((each) => isJsonObject(each) && each["name"]),
  ];
}

/**
 * Names, as they are sent, of custom tools that this provider gets as functions. `null`: there are none, or it takes
 * custom tools.
 */
export function textToolsFor(row: ProviderRow, fields: Json, names: ToolNames | null): ReadonlySet<string> | null {
  if (takesCustomTools(row) || !Array.isArray(fields["tools"])) return null;
  const sent = fields["tools"].flatMap((tool) => {
    const custom = customOf(tool);
    return typeof custom?.["name"] === "string" ? [names?.sent({ name: custom["name"] }) ?? custom["name"]] : [];
  });
  return sent.length === 0 ? null : new Set(sent);
}

export function takesCustomTools({ knows, customTools, looseTools }: ProviderRow): boolean {
  return knows === undefined && (customTools === true || looseTools === true);
}

/** The `custom` of a tool, a call or a choice that is one. */
export function customOf(value: unknown): Json | undefined {
  return isJsonObject(value) && isJsonObject(value["custom"]) && !isJsonObject(value["function"])
    ? value["custom"]
    : undefined;
}

/** Where a tool, a call or a choice of one has its name. */
export function detailOf(value: unknown): Json | undefined {
  if (!isJsonObject(value)) return undefined;
  if (isJsonObject(value["function"])) return value["function"];
  return isJsonObject(value["custom"]) ? value["custom"] : undefined;
}
