/** What leaving out a top-level member costs that the core has no place for. */
import type { OpaqueMember } from "../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../conversation/loss.ts";
import type { Json, WireId } from "../conversation/part.ts";
import { isJsonObject } from "../lib/json.ts";

/** What the model shall read: documents, indexes, contents that were cached or stored before. */
const CONTENT: ReadonlySet<string> = new Set([
  ...["documents", "data_sources", "attachments", "cached_content", "cachedContent", "prompt"],
]);
/** Searches that nothing forces, and shapes of the answer that some engines hold: another target may follow them. */
const WISHES: ReadonlySet<string> = new Set([
  ...["web_search_options", "search_parameters", "plugins", "enable_search", "connectors"],
  ...["guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs"],
]);

/** `null` where nothing is lost. A member of a message is named without its place: each name is listed once. */
export function lossOf({ name, path, source, asksForNothing }: OpaqueMember): Loss | null {
  // An empty object asks for a search, too.
  if (asksForNothing && !(name === "web_search_options" && isJsonObject(source))) return null;
  if (path.startsWith("messages[")) return harmless(`messages.${name}`, "member");
  if (CONTENT.has(name)) return changesMeaning(path, "part", `This target cannot read \`${name}\`.`);
  return WISHES.has(name) ? unmet(path, "member") : harmless(path, "member");
}

/** What a member that is read has to be. */
type Kind = "number" | "string" | "object" | "strings";

const IS: Readonly<Record<Kind, (value: unknown) => boolean>> = {
  number: (value) => typeof value === "number",
  string: (value) => typeof value === "string",
  object: isJsonObject,
  strings: (value) => Array.isArray(value) && value.every((each) => typeof each === "string"),
};

/** Members of `fields` that are read and have another kind of value: a provider of the same wire would judge them. */
export function oddMembers(
  wire: WireId,
  fields: Json,
  kinds: Readonly<Record<string, Kind>>,
  prefix = "",
): OpaqueMember[] {
  return Object.entries(kinds).flatMap(([name, kind]): OpaqueMember[] => {
    const source = fields[name];
    if (source === undefined || source === null || IS[kind](source)) return [];
    const path = prefix + name;
    return [{ wire, name: path, path, source, asksForNothing: false }];
  });
}
