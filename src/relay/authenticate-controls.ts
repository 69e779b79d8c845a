/**
 * Route controls as headers, for clients that cannot add members to a body. Of a control that comes both ways, the body
 * counts.
 */
import { RouterError } from "../http/errors.ts";
import { RouteControls } from "../wires/openai-chat/request-fields.ts";

/** What every refusal says of the caller by now. */
export type Known = Readonly<Record<string, string>>;

/** Python writes `True`. */
const BOOLEANS = new Map([
  ["true", true],
  ["false", false],
]);
const booleanText = (text: string): boolean | undefined => BOOLEANS.get(text.toLowerCase());
const numberText = (text: string): number | undefined =>
  /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : undefined;
const listText = (text: string): string[] => text.split(",").map((item) => item.trim());

/** `team=search,feature=x`. A value may hold `=`, but no comma. */
function tagsText(text: string): Record<string, string> | undefined {
  const tags = new Map<string, string>();
  for (const pair of listText(text)) {
    const at = pair.indexOf("=");
    const name = pair.slice(0, at).trim();
    if (at < 1 || tags.has(name)) return undefined;
    tags.set(name, pair.slice(at + 1).trim());
  }
  return Object.fromEntries(tags);
}

/** Name, member of `route`, how its text reads, what it must be. */
const CONTROL_HEADERS = [
  ["X-FlowLayer-Fallback", "fallback", booleanText, "`true` or `false`"],
  ["X-FlowLayer-Latency-Budget-Ms", "latency_budget_ms", numberText, "a whole number from 1 to 600000"],
  ["X-FlowLayer-Spend-Budget-Usd", "spend_budget_usd", numberText, "a number above 0"],
  ["X-FlowLayer-Require-Tool-Approval", "require_tool_approval", booleanText, "`true` or `false`"],
  ["X-FlowLayer-Report", "report", booleanText, "`true` or `false`"],
  ["X-FlowLayer-Only", "only", listText, "provider ids separated by commas"],
  ["X-FlowLayer-Avoid", "avoid", listText, "provider ids separated by commas"],
  [
    "X-FlowLayer-Tags",
    "tags",
    tagsText,
    "`name=value` pairs separated by commas, 16 at most, of 64 and 256 characters",
  ],
] as const;

/** Asks what would become of the request. */
export const EXPLAIN_HEADER = "X-FlowLayer-Explain";

/** Throws 400 `invalid_header` for a value that the member of `route` would not take. */
export function readControlHeaders(headers: Headers, known: Known): RouteControls {
  // A misspelt one would make a request that is paid of one that asks what it would cost.
  const explain = headers.get(EXPLAIN_HEADER);
  if (explain !== null && booleanText(explain) === undefined) {
    const message = `\`${EXPLAIN_HEADER}\` must be \`true\` or \`false\`.`;
    throw new RouterError("invalid_header", message, { param: EXPLAIN_HEADER, headers: known });
  }
  let controls: Record<string, unknown> | undefined;
  for (const [header, member, read, rule] of CONTROL_HEADERS) {
    const text = headers.get(header);
    if (text === null) continue;
    const value = read(text);
    const checked = RouteControls.shape[member].safeParse(value);
    if (value === undefined || !checked.success) {
      throw new RouterError("invalid_header", `\`${header}\` must be ${rule}.`, { param: header, headers: known });
    }
    controls = { ...controls, [member]: value };
  }
  // Every member was checked against the schema's own shape just above.
  return (controls ?? {}) as RouteControls;
}
