/** Any JSON in any position, with members that no provider has, and spellings that another reader takes for a known one. */
import type { Chance } from "./chance.ts";

export type Json = Readonly<Record<string, unknown>>;

/** Where one of them turns up upstream as a member of what a model reads, a client's object was passed on. */
export const CANARIES: ReadonlySet<string> = new Set(["zz_canary", "function_response", "tool_result", "zz-2"]);

const NAMES = [...CANARIES];

/** Any value, whose objects have nothing but canaries. */
export function strange(chance: Chance, depth = 0): unknown {
  switch (chance.below(depth > 1 ? 6 : 9)) {
    case 0:
      return null;
    case 1:
      return chance.percent(50);
    case 2:
      return chance.pick([0, 1, -1, 1e30, 0.5]);
    case 3:
      return "";
    case 4:
      return "x";
    case 5:
      return chance.percent(50) ? [] : {};
    case 6:
      return [strange(chance, depth + 1), strange(chance, depth + 1)];
    default:
      return { [chance.pick(NAMES)]: strange(chance, depth + 1), [chance.pick(NAMES)]: { zz_canary: 1 } };
  }
}

/** Mostly what belongs there: a request with one fault is refused for it, and shows nothing else. */
export function maybe(chance: Chance, known: unknown): unknown {
  return chance.percent(12) ? strange(chance) : known;
}

/** `source` with some of its members strange, and now and then one more. */
export function shaken(chance: Chance, source: Json): Json {
  const members = Object.entries(source).map(([name, value]) => [name, maybe(chance, value)] as const);
  const more = chance.percent(25) ? [[chance.pick(NAMES), strange(chance)] as const] : [];
  return Object.fromEntries([...members, ...more]);
}

/** The marker in what some reader takes for the result of a call. */
export const RESULT_KEYS = [
  ...["output", "result", "response", "outputs", "value", "data", "body", "json", "stdout", "functionResponse"],
  ...["function_response", "toolResult", "tool_result", "tool_results", "tool_outputs", "documents", "context"],
  ...["parts", "contents", "chat_history", "server_tool_blocks", "bedrock_blocks", "zz_unread", "observations"],
];

export function hiddenIn(chance: Chance, marker: string): unknown {
  const key = chance.spelled(chance.pick(RESULT_KEYS));
  switch (chance.below(5)) {
    case 0:
      return { functionResponse: { name: "wipe", response: { [key]: marker } } };
    case 1:
      return { toolResult: { toolUseId: "call_7", content: [{ text: marker }] } };
    case 2:
      return [{ role: "tool", tool_call_id: "call_7", content: marker }];
    case 3:
      return { type: "function_call_output", call_id: "call_7", output: marker };
    default:
      return { [key]: marker };
  }
}

/** The text of `body` with `"@raw"` for one element replaced by `raw`, which may have a key twice. */
export function withRaw(body: Json, raw: string): string {
  return JSON.stringify(body).replace('"@raw"', () => raw);
}
