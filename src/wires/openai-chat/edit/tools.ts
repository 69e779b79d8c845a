/** `tools`, `functions` and the choice among them, in the format of the provider that gets them. */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, JsonEdit } from "../../../lib/json.ts";
import { editElements } from "../../../lib/json-spans.ts";
import { elementTexts } from "../../../lib/json-text.ts";
import type { ProviderRow } from "../../../providers/provider-row.ts";
import { TEXT_INPUT, textArguments, withGrammar } from "../../custom-tools.ts";
import { foldedRoot } from "../../root-schema.ts";
import type { ToolNames } from "../../tool-names.ts";
import { isUnknownTool } from "./members.ts";
import { customOf, takesCustomTools } from "./names.ts";

/** What a tool of a closed schema may have. */
const TOOL_MEMBERS: ReadonlySet<string> = new Set(["type", "function", "custom"]);
const FUNCTION_MEMBERS: ReadonlySet<string> = new Set(["name", "description", "parameters", "strict"]);

/** Members of a schema's root that OpenAI and those who follow it refuse there. */
const ROOT_CHOICES = ["anyOf", "oneOf", "allOf", "not", "enum", "if"] as const;

export interface ToolRules {
  readonly row: ProviderRow;
  readonly names: ToolNames | null;
  /** `strict` was refused, as too large or as unknown. */
  readonly withoutStrict: boolean;
}

/** Edits `body` in place. Returns the names of what was left out. */
export function writeTools(body: JsonEdit, fields: Json, rules: ToolRules): readonly string[] {
  const dropped = new Set<string>();
  for (const member of ["tools", "functions"] as const) {
    const list = fields[member];
    const raw = body.raw(member);
    if (raw === undefined || !Array.isArray(list)) continue;
    const edited = editElements(raw, (text, at) => editTool(text, list[at], member, rules, dropped));
    if (edited !== raw) body.setRaw(member, edited);
    // Only tools of other providers were offered, and the target has none of them.
    if (elementTexts(edited).length === 0 && list.length > 0) {
      for (const name of [member, "tool_choice", "parallel_tool_calls"]) body.remove(name);
    }
  }
  if (rules.names !== null) writeChoices(body, fields, rules.names);
  if (!takesCustomTools(rules.row)) writeFunctionChoice(body, fields["tool_choice"], rules.names);
  if (rules.withoutStrict) writeLooseFormat(body, fields);
  return [...dropped];
}

function editTool(
  text: string,
  tool: unknown,
  member: "tools" | "functions",
  rules: ToolRules,
  dropped: Set<string>,
): string | null | undefined {
  if (!isJsonObject(tool)) return undefined;
  // Its loss was weighed before: nothing forces it.
  if (member === "tools" && isUnknownTool(rules.row, tool)) return null;
  const edit = new JsonEdit(text);
  if (member === "functions") editFunction(edit, tool, rules, dropped, member);
  else {
    for (const name of unknownMembers(tool, TOOL_MEMBERS, rules)) {
      edit.remove(name);
      dropped.add(`${member}.${name}`);
    }
    for (const kind of ["function", "custom"] as const) {
      const detail = tool[kind];
      const raw = edit.raw(kind);
      if (!isJsonObject(detail) || raw === undefined) continue;
      if (kind === "custom" && customOf(tool) !== undefined && !takesCustomTools(rules.row)) {
        writeAsFunction(edit, detail, rules);
        continue;
      }
      const own = new JsonEdit(raw);
      if (kind === "function") editFunction(own, detail, rules, dropped, member);
      else writeName(own, detail, rules);
      if (own.toString() !== raw) edit.setRaw(kind, own.toString());
    }
  }
  const edited = edit.toString();
  return edited === text ? undefined : edited;
}

/** A custom tool as a function with one text, for a provider that knows functions only. */
function writeAsFunction(edit: JsonEdit, { name, description, format }: Json, { names }: ToolRules): void {
  const text = withGrammar(
    typeof description === "string" ? description : "",
    isJsonObject(format) ? format : undefined,
  );
  const described = text === "" ? {} : { description: text };
  const sent = typeof name === "string" ? (names?.sent({ name }) ?? name) : name;
  edit
    .remove("custom")
    .set("type", "function")
    .set("function", { name: sent, ...described, parameters: TEXT_INPUT });
}

/** A call of a custom tool as one of the function in its place. */
export function customCallAsFunction(edit: JsonEdit, { name, input }: Json): void {
  edit
    .remove("custom")
    .set("type", "function")
    .set("function", { name, arguments: textArguments(input) });
}

function writeFunctionChoice(body: JsonEdit, choice: unknown, names: ToolNames | null): void {
  const written = functionChoice(choice);
  if (written !== choice) body.set("tool_choice", names === null ? written : renamed(written, names));
}

/** The choice without custom tools, also inside the list of those allowed; the same where it names none. */
function functionChoice(choice: unknown): unknown {
  const custom = customOf(choice);
  if (custom !== undefined) return { type: "function", function: { name: custom["name"] } };
  if (!isJsonObject(choice) || !isJsonObject(choice["allowed_tools"])) return choice;
  const { tools } = choice["allowed_tools"];
  if (!Array.isArray(tools) || !tools.some((tool) => customOf(tool) !== undefined)) return choice;
  return { ...choice, allowed_tools: { ...choice["allowed_tools"], tools: tools.map(functionChoice) } };
}

function unknownMembers(object: Json, known: ReadonlySet<string>, { row }: ToolRules): string[] {
  if (row.knows !== undefined) return Object.keys(object).filter((name) => !known.has(name));
  return row.cacheMarks !== true && object["cache_control"] !== undefined ? ["cache_control"] : [];
}

function editFunction(edit: JsonEdit, detail: Json, rules: ToolRules, dropped: Set<string>, member: string): void {
  for (const name of unknownMembers(detail, FUNCTION_MEMBERS, rules)) {
    edit.remove(name);
    dropped.add(`${member}.${name}`);
  }
  writeName(edit, detail, rules);
  const { parameters } = detail;
  const isFolded = rules.row.looseTools !== true && isJsonObject(parameters) && hasRootChoice(parameters);
  if (isFolded) edit.set("parameters", foldedRoot(parameters));
  // A schema that was folded lists fewer members as required than strict decoding wants.
  if (detail["strict"] === true && (rules.withoutStrict || isFolded)) {
    edit.remove("strict");
    dropped.add(`${member}.strict`);
  }
}

function hasRootChoice(schema: Json): boolean {
  const { $ref: reference } = schema;
  // An address elsewhere is for the provider to judge: the router never looks it up.
  const isLocal = typeof reference === "string" && reference.startsWith("#/");
  return isLocal || ROOT_CHOICES.some((name) => schema[name] !== undefined);
}

function writeName(edit: JsonEdit, detail: Json, { names }: ToolRules): void {
  const name = detail["name"];
  if (names === null || typeof name !== "string") return;
  const sent = names.sent({ name });
  if (sent !== name) edit.set("name", sent);
}

/** `tool_choice` and `function_call`, which name a tool, and the list of those allowed. */
function writeChoices(body: JsonEdit, fields: Json, names: ToolNames): void {
  for (const member of ["tool_choice", "function_call"] as const) {
    const choice = fields[member];
    if (isJsonObject(choice) && body.has(member)) body.set(member, renamed(choice, names));
  }
}

/** A choice holds names and words only: nothing in it is lost by writing it again. */
function renamed(value: unknown, names: ToolNames): unknown {
  if (Array.isArray(value)) return value.map((each) => renamed(each, names));
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key,
      key === "name" && typeof each === "string" ? names.sent({ name: each }) : renamed(each, names),
    ]),
  );
}

/** `response_format` with a schema that is not held to strictly. */
function writeLooseFormat(body: JsonEdit, fields: Json): void {
  const format = fields["response_format"];
  const raw = body.raw("response_format");
  if (raw === undefined || !isJsonObject(format) || !isJsonObject(format["json_schema"])) return;
  if (format["json_schema"]["strict"] !== true) return;
  const edit = new JsonEdit(raw);
  const schema = new JsonEdit(edit.raw("json_schema") ?? "{}").set("strict", false);
  body.setRaw("response_format", edit.setRaw("json_schema", schema.toString()).toString());
}
