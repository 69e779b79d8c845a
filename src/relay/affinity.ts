/**
 * Which target a conversation is kept with: what this isolate remembers of the conversations it has answered.
 *
 * Providers keep a conversation's prompt in a cache, so the next turn is cheaper and faster where the last one was
 * answered. The memory is one isolate's and bounded: a conversation that is not in it is placed by the route's strategy,
 * which is the same choice again for `ordered`, and for `weighted` by its stable draw.
 */
import type { RoutePolicy } from "../policy/schema.ts";
import type { Trace } from "../traces/schema.ts";

/** `new`: nothing was known of it; `kept`: answered by its own target; `broken`: by another one. */
export type Affinity = "kept" | "new" | "broken";

/** Conversations of all keys together. The one not heard of for the longest time is forgotten first. */
const MAX_CONVERSATIONS = 10_000;
/**
 * No provider keeps an unused prompt for longer, unless it is paid to: after it a conversation belongs to the target
 * that answers.
 */
const CACHE_MS = 3_600_000;
const MAX_NAME_LENGTH = 256;

interface Memory {
  /** Target that it belongs to, and when that one answered last, epoch ms. */
  readonly home: string;
  readonly homeAt: number;
  /** Target that answered last, and when. */
  readonly last: string;
  readonly lastAt: number;
}

const memories = new Map<string, Memory>();

export interface ConversationName {
  readonly keyId: string;
  /** Environment and route: on another one its targets are others. */
  readonly route: string;
  /** The name that the client gave it. */
  readonly session: string;
}

/** One request's conversation. */
export class Conversation {
  readonly sessionId: string;
  readonly #id: string;
  readonly #strategy: RoutePolicy["strategy"];
  readonly #memory: Memory | undefined;
  readonly #now: number;
  /** Where `weighted` sends it by its draw, whichever target answers. */
  #drawn: string | null = null;

  /** `now`: epoch ms. */
  constructor(name: ConversationName, strategy: RoutePolicy["strategy"], now: number) {
    this.sessionId = name.session.slice(0, MAX_NAME_LENGTH);
    // The key is stored in clear: two names of one key may collide, those of two keys never.
    this.#id = `${name.keyId}:${hash(`${name.route}\n${this.sessionId}`)}`;
    this.#strategy = strategy;
    this.#memory = memories.get(this.#id);
    this.#now = now;
  }

  /**
   * Targets to ask before those of the strategy, the best first: its own, then the one that stood in for it. Where the
   * strategy is a draw the draw holds, and `cheapest` weighs the cache instead.
   */
  get preferred(): readonly string[] {
    if (this.#memory === undefined || this.#strategy === "weighted" || this.#strategy === "cheapest") return [];
    const { home, last } = this.#memory;
    return home === last ? [home] : [home, last];
  }

  /** May this target still have the prompt in its cache? */
  isCachedAt(target: string): boolean {
    const { last, lastAt = 0 } = this.#memory ?? {};
    return last === target && this.#now - lastAt < CACHE_MS;
  }

  /** The first choice of the strategy for it. */
  noteDrawn(target: string): void {
    if (this.#strategy === "weighted") this.#drawn = target;
  }

  /** `target` answers. It stays with its own target, which it comes back to, as long as that may remember it. */
  noteAnswered(target: string, now: number): void {
    const before = this.#memory;
    const isLost = before === undefined || this.#strategy === "cheapest" || now - before.homeAt >= CACHE_MS;
    const home = this.#drawn ?? (isLost ? target : before.home);
    const homeAt = home === target ? now : (before?.homeAt ?? now);
    // The newest is last.
    memories.delete(this.#id);
    memories.set(this.#id, { home, homeAt, last: target, lastAt: now });
    const [oldest] = memories.keys();
    if (memories.size > MAX_CONVERSATIONS && oldest !== undefined) memories.delete(oldest);
  }

  /** What became of it where `target` answers; `null`: none answered, and it was known before. */
  affinityWith(target: string | null): Affinity | null {
    if (this.#memory === undefined) return "new";
    if (target === null) return null;
    const home = this.#drawn ?? (this.#strategy === "cheapest" ? this.#memory.last : this.#memory.home);
    return home === target ? "kept" : "broken";
  }
}

/** What a trace says of a request's conversation, answered by `target`. */
export function conversationMembers(
  conversation: Conversation | null,
  agentId: string | null,
  target: string | null,
): Pick<Trace, "affinity" | "session_id" | "agent_id"> {
  const affinity = conversation?.affinityWith(target) ?? null;
  return {
    ...(affinity === null ? {} : { affinity }),
    ...(conversation === null ? {} : { session_id: conversation.sessionId }),
    ...(agentId === null ? {} : { agent_id: agentId }),
  };
}

/** 64 bits. Two runs of FNV-1a with different beginnings, and Murmur's last steps. */
function hash(text: string): string {
  let low = 0x811c9dc5;
  let high = 0x050c5d1f;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit, 0x01000193);
  }
  return `${mixed(low)}${mixed(high)}`;
}

function mixed(hash: number): string {
  let value = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return ((value ^ (value >>> 16)) >>> 0).toString(36).padStart(7, "0");
}

/** Output tokens of a route's recent answers, so many at most. */
const MAX_OUTPUTS = 64;
const OUTPUT_MS = 3_600_000;
const MAX_ROUTES = 1_000;
/** A cap says what may come, not what will: beyond it no answer is expected. */
const MAX_EXPECTED_OUTPUT = 1_024;

const outputs = new Map<string, { readonly tokens: number; readonly at: number }[]>();

/** An answer of a route had so many output tokens. */
export function noteOutput(route: string, tokens: number, now: number): void {
  const known = outputs.get(route) ?? [];
  known.push({ tokens, at: now });
  if (known.length > MAX_OUTPUTS) known.shift();
  outputs.delete(route);
  outputs.set(route, known);
  const [oldest] = outputs.keys();
  if (outputs.size > MAX_ROUTES && oldest !== undefined) outputs.delete(oldest);
}

/** Output tokens to expect: the median of the route's last hour, else its cap, at most 1,024. Never above the cap. */
export function expectedOutput(route: string, cap: number | undefined, now: number): number {
  const recent = (outputs.get(route) ?? []).filter(({ at }) => now - at < OUTPUT_MS).map(({ tokens }) => tokens);
  recent.sort((a, b) => a - b);
  const expected = recent[Math.floor(recent.length / 2)] ?? MAX_EXPECTED_OUTPUT;
  return Math.min(expected, cap ?? expected);
}
