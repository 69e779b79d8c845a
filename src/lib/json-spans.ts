/** Edits inside JSON text below its outermost object: every span that is not named stays byte for byte. */
import { endOfString, scanArray } from "./json.ts";
import { elementTexts, memberText } from "./json-text.ts";

/**
 * The array `raw` with some elements changed: `edit` gives the new text of an element, `undefined` to keep it as it is
 * and `null` to remove it.
 */
export function editElements(raw: string, edit: (element: string, index: number) => string | null | undefined): string {
  let text = "";
  let keptUpTo = 0;
  let isEmpty = true;
  for (const [index, { start, end }] of scanArray(raw, 0).entries()) {
    const before = raw.slice(keptUpTo, start);
    const element = raw.slice(start, end);
    const edited = edit(element, index);
    keptUpTo = end;
    if (edited === null) {
      if (index === 0) text += before.trimEnd();
      continue;
    }
    // The comma in front of the first element that is left goes with the elements before it.
    text += isEmpty && index > 0 ? before.replace(/^\s*,\s*/, "") : before;
    text += edited ?? element;
    isEmpty = false;
  }
  return text + raw.slice(keptUpTo);
}

/** The exact text of a value that was parsed, cut out of its surroundings only where somebody asks for it, and once. */
export type Cut = () => string;

/** The cut of member `key` of the object that `object` cuts. */
export function memberCut(object: Cut, key: string): Cut {
  let raw: string | undefined;
  return () => (raw ??= memberText(object(), key) ?? "null");
}

/** The cuts of the elements of the array that `array` cuts; `array` may cut one element that is no array, too. */
export function elementCuts(array: Cut): (index: number) => Cut {
  let texts: string[] | undefined;
  return (index) => () => {
    const raw = array();
    texts ??= raw.startsWith("[") ? elementTexts(raw) : [raw];
    return texts[index] ?? "null";
  };
}

/** `raw` without the white space between its tokens: numbers and key order stay as they are written. */
export function compactJson(raw: string): string {
  let text = "";
  let keptUpTo = 0;
  for (let at = 0; at < raw.length; ) {
    const code = raw.charCodeAt(at);
    if (code === 0x22) at = endOfString(raw, at);
    else if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
      text += raw.slice(keptUpTo, at);
      keptUpTo = ++at;
    } else at++;
  }
  return text + raw.slice(keptUpTo);
}
