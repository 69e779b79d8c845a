/** What a provider takes of a request, from the row that the router itself writes requests by. */
import type { ProviderRow } from "../providers/provider-row.ts";
import { ROWS } from "../providers/rows.ts";
import type { ModelRow } from "./model-rows.ts";

export interface Terms {
  /** Name and text; names of members stand in backquotes. */
  readonly lines: readonly (readonly [name: string, text: string])[];
  /** The provider's page on its API; empty: its own protocol, which the reference describes. */
  readonly source: string;
}

const members = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(", ");

export function termsOf(model: ModelRow): Terms {
  const row = ROWS.find(({ id }) => id === model.provider);
  const own = modelLines(model, row);
  if (row === undefined) {
    const text =
      "It has a protocol of its own; the router writes it. What is left out is named in the answer's headers.";
    return { lines: [["Taken", text], ...own], source: "" };
  }
  const { knows, drop = [], cannot = [], rename = {}, limit = ["max_tokens"] } = row;
  const renamed = Object.entries(rename).map(([from, to]) => `\`${from}\` as \`${to}\``);
  const lines: (readonly [string, string])[] = [
    [
      "Taken",
      knows === undefined
        ? "Every member of chat completions, as the client wrote it."
        : `${members(knows)}. Others are left out and named in \`x-flowlayer-dropped-params\`.`,
    ],
    [
      "Token limit",
      `Sent as ${members(limit.slice(0, 1))}${limit.length > 1 ? `; ${members(limit.slice(1))} is read too` : ""}.`,
    ],
    ...(renamed.length === 0 ? [] : [["Renamed", `${renamed.join(", ")}.`] as const]),
    ...(drop.length === 0 ? [] : [["Left out", `${members(drop)}.`] as const]),
    ...(cannot.length === 0
      ? []
      : [["Not to be had", `${members(cannot)}: another target of the policy is called where one can.`] as const]),
    ...own,
    ...quirks(row),
  ];
  return { lines, source: row.source };
}

function modelLines({ efforts, fixedSampling }: ModelRow, row: ProviderRow | undefined): (readonly [string, string])[] {
  const lines: (readonly [string, string])[] = [];
  if (efforts.length > 0) {
    lines.push(["Reasoning effort", `${members(efforts)}; another value is sent as the nearest of these.`]);
  }
  if (fixedSampling && row?.fixedSampling === true) {
    lines.push([
      "Sampling",
      "`temperature`, `top_p` and the penalties are refused by this model, so they are left out and named.",
    ]);
  }
  return lines;
}

function quirks({ developerRole, usageAlways, customTools, cacheMarks, clean, wires }: ProviderRow) {
  const all: string[] = [];
  if (developerRole !== true) all.push("`developer` messages are sent as `system`");
  if (usageAlways === true) all.push("usage comes with every stream");
  if (customTools === true) all.push("custom tools with free text are known");
  if (cacheMarks === true) all.push("`cache_control` marks are known");
  if (clean !== undefined) all.push("its streams pass byte for byte where the client asks for usage");
  if (wires?.responses !== undefined) all.push("it speaks the Responses API itself");
  if (wires?.messages !== undefined) all.push("it speaks the Messages API itself");
  const [first = "", ...rest] = all;
  return all.length === 0
    ? []
    : [["Quirks", `${[first.replace(/^[a-z]/, (letter) => letter.toUpperCase()), ...rest].join("; ")}.`] as const];
}
