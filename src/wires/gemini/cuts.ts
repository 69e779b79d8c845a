/** Exact texts of values that were parsed already, cut out of their surroundings only where one is needed. */
import { elementTexts, memberText } from "../../lib/json-text.ts";

/** The exact text of a value. Each is cut once. */
export type Cut = () => string;

/** The cut of the member `name` of the object that `object` cuts; `null` where it has none. */
export function memberCut(object: Cut, name: string): Cut {
  let text: string | undefined;
  return () => (text ??= memberText(object(), name) ?? "null");
}

/** The cuts of the elements of the array that `array` cuts. */
export function elementCuts(array: Cut): (index: number) => Cut {
  let texts: string[] | undefined;
  return (index) => () => {
    texts ??= elementTexts(array());
    return texts[index] ?? "null";
  };
}
