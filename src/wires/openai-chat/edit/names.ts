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

/** Where a tool, a call or a choice of one has its name. */
export function detailOf(value: unknown): Json | undefined {
  if (!isJsonObject(value)) return undefined;
  if (isJsonObject(value["function"])) return value["function"];
  return isJsonObject(value["custom"]) ? value["custom"] : undefined;
}
