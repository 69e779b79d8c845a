/** What must hold of every answer, whatever was sent, and of every request that reached a provider. */
import { ERRORS } from "../../../src/http/errors.ts";
import type { Call } from "../../support/upstream.ts";
import { ATTACK_SECRET } from "./targets.ts";

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body ended as its protocol says. */
  readonly isWhole: boolean;
}

export async function readAll(response: Response): Promise<Answered> {
  const decoder = new TextDecoder();
  let text = "";
  let isWhole = true;
  const reader = response.body?.getReader();
  while (reader !== undefined) {
    const read = await reader.read().catch(() => null);
    if (read === null) isWhole = false;
    if (read === null || read.done) break;
    text += decoder.decode(read.value, { stream: true });
  }
  return { status: response.status, headers: response.headers, text, isWhole };
}

/** `null` where all is well, else what is wrong. */
export function wrongAnswer({ status, headers, text }: Answered): string | null {
  const head = JSON.stringify([...headers]);
  if (text.includes(ATTACK_SECRET) || head.includes(ATTACK_SECRET))
    return "a credential of a provider reached the client";
  if (status < 400) return null;
  // HEAD and OPTIONS have none.
  if (text === "") return status >= 500 ? `${status} without a body` : null;
  let code: unknown;
  try {
    ({ code } = (JSON.parse(text) as { error: { code: unknown } }).error);
  } catch {
    return `${status} without an error: ${text.slice(0, 200)}`;
  }
  if (typeof code !== "string" || !Object.hasOwn(ERRORS, code))
    return `${status} with the unknown code ${String(code)}`;
  if (code === "internal_error") return `internal_error: ${text.slice(0, 300)}`;
  return null;
}

/** The first request among `calls` that holds `marker` in any spelling that JSON allows. */
export function holderOf(calls: readonly Call[], marker: string): Call | undefined {
  return calls.find(({ body }) => body.includes(marker) || (body.includes("\\u") && decoded(body).includes(marker)));
}

const decoded = (text: string): string =>
  text.replace(/\\u([0-9a-fA-F]{4})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

export function hasKeyOf(value: Readonly<Record<string, unknown>>, keys: ReadonlySet<string>): boolean {
  return Object.keys(value).some((key) => keys.has(key));
}
