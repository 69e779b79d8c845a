/** What may be typed at the caret: members, listed values, providers and their models. */
import { type Context, type Outline, outline, pathText } from "./json-text.ts";
import { firstText, listedValues, type Schema, schemaAt, summary } from "./schema.ts";

export interface Proposal {
  /** As it is shown and looked for. */
  readonly name: string;
  readonly detail: string;
  /** What replaces `from` to `to`; `|` stands where the caret goes. */
  readonly text: string;
}

export interface Proposals {
  readonly context: Context;
  readonly list: readonly Proposal[];
}

export interface KnownModel {
  readonly provider: string;
  readonly id: string;
  readonly input: number | null;
  readonly output: number | null;
}

export interface Known {
  readonly schema: Schema;
  readonly models: readonly KnownModel[];
  /** Ids of providers that have their secret here. */
  readonly configured: readonly string[];
}

const MOST = 60;

const usdText = (value: number | null): string => (value === null ? "?" : `$${value}`);

function membersAt({ path }: Context, { members }: Outline, schema: Schema): Proposal[] {
  const there = members.get(pathText(path)) ?? new Set();
  const properties = schemaAt(schema, path)?.properties ?? {};
  return Object.entries(properties)
    .filter(([name]) => name !== "$schema" && !there.has(name))
    .map(([name, member]) => ({
      name,
      detail: [summary(member), member.description].filter(Boolean).join(". "),
      text: `${JSON.stringify(name)}: ${firstText(member)}`,
    }));
}

function valuesAt({ path }: Context, { strings }: Outline, { schema, models, configured }: Known): Proposal[] {
  const name = path.at(-1);
  const quoted = (id: string, detail: string): Proposal => ({ name: id, detail, text: `${JSON.stringify(id)}|` });
  if (name === "model") {
    const provider = strings.get(pathText([...path.slice(0, -1), "provider"]));
    return models
      .filter((model) => provider === undefined || model.provider === provider)
      .map(({ id, input, output }) => quoted(id, `${usdText(input)} in, ${usdText(output)} out for a million tokens`));
  }
  const place = schemaAt(schema, path);
  if (place === null) return [];
  const listed = listedValues(place).map((text) => ({
    name: text.replace(/^"|"$/g, ""),
    detail: text === JSON.stringify(place.default) ? "default" : "",
    text: `${text}|`,
  }));
  if (name !== "provider") {
    if (listed.length > 0) return listed;
    const item = place.items === undefined ? "" : firstText(place);
    return item === "" ? [] : [{ name: item.replace("|", ""), detail: summary(place), text: item }];
  }
  const isConfigured = (id: string): boolean => configured.includes(id);
  return listed
    .map((each) => ({ ...each, detail: isConfigured(each.name) ? "configured" : "has no secret here" }))
    .toSorted((left, right) => Number(isConfigured(right.name)) - Number(isConfigured(left.name)));
}

/** Proposals for the caret's place, those that begin with what is typed first. `null` where nothing fits. */
export function proposalsAt(text: string, caret: number, known: Known): Proposals | null {
  const read = outline(text, caret);
  const { context } = read;
  if (context === null) return null;
  const all = context.expects === "key" ? membersAt(context, read, known.schema) : valuesAt(context, read, known);
  const prefix = context.prefix.toLowerCase();
  const begins = all.filter(({ name }) => name.toLowerCase().startsWith(prefix));
  const contains = all.filter(
    ({ name }) => !begins.some((each) => each.name === name) && name.toLowerCase().includes(prefix),
  );
  const list = [...begins, ...contains].slice(0, MOST);
  const isDone = list.length === 1 && list[0]?.name === context.prefix;
  return list.length === 0 || isDone ? null : { context, list };
}

/** What is inserted for a proposal and where the caret goes in it: a member before another one gets its comma. */
export function insertion({ context }: Proposals, { text }: Proposal, all: string): { text: string; caret: number } {
  const isMember = context.expects === "key";
  const needsComma = isMember && /^\s*"/.test(all.slice(context.to));
  const [before = "", after = ""] = text.split("|");
  return { text: `${before}${after}${needsComma ? "," : ""}`, caret: before.length };
}
