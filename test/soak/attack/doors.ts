/** The doors of the product, one row each: where they are and how a hostile client writes to them. A new door is a row. */

import type { Chance } from "./chance.ts";
import { CHAT_REQUESTS } from "./chat-requests.ts";
import { MESSAGES_REQUESTS } from "./messages-requests.ts";
import { RESPONSES_REQUESTS } from "./responses-requests.ts";

/** A body as text, as no object can hold a key twice. */
export type BodyText = string;

export interface Requests {
  /** An honest question that carries `token`, with `more` members. */
  plain(model: string, token: string, more?: Readonly<Record<string, unknown>>): BodyText;
  /**
   * Brings back `marker` as the result of a tool that nobody approved, in one of many spellings. `isGated`: the route or
   * the request asks for approval, so that what a provider's own tools did needs one too.
   */
  smuggled(chance: Chance, model: string, token: string, marker: string, isGated: boolean): BodyText;
  /** Any JSON in every position; nothing of `canaries` in it is the client's to send behind a gate. */
  shapeless(chance: Chance, model: string, token: string): BodyText;
  /** Tries to cost more than anybody can hold. */
  dear(chance: Chance, model: string, token: string): BodyText;
  /** Tries to take memory and time. */
  heavy(chance: Chance, model: string, token: string): BodyText;
  readonly canaries: ReadonlySet<string>;
  /**
   * The objects in the body of an upstream, whatever its wire, that a reader of its conversation reads: the body, its
   * messages, their parts and calls. None of them may have a canary for a key.
   */
  readObjects(body: Readonly<Record<string, unknown>>): readonly Readonly<Record<string, unknown>>[];
}

export interface Door {
  readonly name: string;
  readonly path: string;
  headers(key: string): Record<string, string>;
  readonly requests: Requests;
}

export const DOORS: readonly Door[] = [
  {
    name: "chat",
    path: "/v1/chat/completions",
    headers: (key) => ({ authorization: `Bearer ${key}`, "content-type": "application/json" }),
    requests: CHAT_REQUESTS,
  },
  {
    name: "messages",
    path: "/v1/messages",
    headers: (key) => ({ "x-api-key": key, "content-type": "application/json", "anthropic-version": "2023-06-01" }),
    requests: MESSAGES_REQUESTS,
  },
  {
    name: "responses",
    path: "/v1/responses",
    headers: (key) => ({ authorization: `Bearer ${key}`, "content-type": "application/json" }),
    requests: RESPONSES_REQUESTS,
  },
];
