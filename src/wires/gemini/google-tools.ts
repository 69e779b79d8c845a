/**
 * Tools that Google runs by itself: an allow-list, each with the writer that builds it.
 *
 * An entry has exactly one member, the tool's name, in either of Google's spellings; so what an approval gate sees of
 * it is all there is. https://ai.google.dev/api/caching#Tool
 */
import type { ProviderTool } from "../../conversation/conversation.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";

/** What a tool is built from, and which of its options the writer reads. */
interface GoogleTool {
  readonly name: string;
  readonly build: (options: Json) => Json;
}

const TOOLS: readonly GoogleTool[] = [
  { name: "googleSearch", build: (options) => timeRange(options) },
  { name: "googleSearchRetrieval", build: (options) => dynamicRetrieval(options) },
  { name: "urlContext", build: () => ({}) },
  { name: "codeExecution", build: () => ({}) },
  { name: "googleMaps", build: (options) => flagOf("enableWidget", options) },
  {
    name: "fileSearch",
    build: (options) => ({
      ...textsOf("fileSearchStoreNames", options),
      ...countOf("topK", options),
      ...textOf("metadataFilter", options),
    }),
  },
];

/** Google reads members in both spellings. */
const underscored = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const BY_NAME: ReadonlyMap<string, GoogleTool> = new Map(
  TOOLS.flatMap((tool) => [
    [tool.name, tool],
    [underscored(tool.name), tool],
  ]),
);

export interface WrittenTool {
  readonly tool: Json;
  /** Some of the options that the client gave are not among those that are written. */
  readonly isReduced: boolean;
}

/** `null` for everything that is none of Google's tools. */
export function writeGoogleTool({ source }: ProviderTool): WrittenTool | null {
  const [name = "", ...others] = Object.keys(source);
  const known = BY_NAME.get(name);
  const options = source[name];
  if (known === undefined || others.length > 0 || !isJsonObject(options)) return null;
  const built = known.build(options);
  const isReduced = Object.keys(options).some((each) => !Object.hasOwn(built, each) && !hasSpelling(built, each));
  return { tool: { [known.name]: built }, isReduced };
}

function hasSpelling(built: Json, name: string): boolean {
  return Object.keys(built).some((each) => underscored(each) === name);
}

function read(name: string, options: Json): unknown {
  return options[name] ?? options[underscored(name)];
}

function textOf(name: string, options: Json): Json {
  const value = read(name, options);
  return typeof value === "string" ? { [name]: value } : {};
}

function flagOf(name: string, options: Json): Json {
  const value = read(name, options);
  return typeof value === "boolean" ? { [name]: value } : {};
}

function countOf(name: string, options: Json): Json {
  const value = read(name, options);
  return typeof value === "number" ? { [name]: value } : {};
}

function textsOf(name: string, options: Json): Json {
  const value = read(name, options);
  return Array.isArray(value) && value.every((each) => typeof each === "string") ? { [name]: [...value] } : {};
}

function timeRange(options: Json): Json {
  const range = read("timeRangeFilter", options);
  if (!isJsonObject(range)) return {};
  return { timeRangeFilter: { ...textOf("startTime", range), ...textOf("endTime", range) } };
}

function dynamicRetrieval(options: Json): Json {
  const config = read("dynamicRetrievalConfig", options);
  if (!isJsonObject(config)) return {};
  return { dynamicRetrievalConfig: { ...textOf("mode", config), ...countOf("dynamicThreshold", config) } };
}
