/**
 * Which credential of a provider an attempt is made with: what this isolate knows of each, by number and never by value.
 *
 * A conversation keeps its credential, because a provider's cache belongs to an account. Other requests go where most is
 * free, by what answers say is left of its limits and by the calls under way. One that was refused rests for as long as
 * its own headers say, and the target's others are asked meanwhile.
 */
import { stableDraw } from "../lib/stable-draw.ts";

/** After a refusal of the credential itself: somebody has to put it right. */
const REFUSED_MS = 60_000;
/** After a limit whose end the provider does not tell. */
const LIMITED_MS = 5_000;
const MIN_LIMITED_MS = 1_000;
/** What is left of a limit says nothing after it. */
const SHARE_MS = 60_000;
const MAX_STATES = 2_000;

/** Refusals that another credential may not get. */
const OF_CREDENTIAL: ReadonlySet<number | null> = new Set([401, 402, 403, 429]);

interface State {
  restsUntil: number;
  inFlight: number;
  /** Part of its limits that was left at `heardAt`, 0 to 1. */
  share: number;
  heardAt: number;
}

const states = new Map<string, State>();

function stateOf(provider: string, number: number): State {
  const name = `${provider}#${number}`;
  const known = states.get(name) ?? { restsUntil: 0, inFlight: 0, share: 1, heardAt: 0 };
  if (!states.has(name) && states.size >= MAX_STATES) states.clear();
  states.set(name, known);
  return known;
}

/** A credential, as far as it matters here. */
interface Numbered {
  readonly number: number;
}

/** The credential for the next attempt. `session`: the conversation's name. There is always one. */
export function chooseCredential<Credential extends Numbered>(
  provider: string,
  credentials: readonly Credential[],
  session: string | null,
  now: number,
): Credential {
  const [first] = credentials;
  if (first === undefined) throw new Error("A candidate has a credential.");
  if (credentials.length === 1) return first;
  const free = credentials.filter(({ number }) => stateOf(provider, number).restsUntil <= now);
  if (free.length === 0) return best(credentials, ({ number }) => -stateOf(provider, number).restsUntil);
  if (session !== null) return best(free, ({ number }) => stableDraw(session, `${provider}#${number}`));
  return best(free, ({ number }) => {
    const { share, heardAt, inFlight } = stateOf(provider, number);
    // Equals are drawn, or the first one would get every lone request.
    return (now - heardAt < SHARE_MS ? share : 1) / (1 + inFlight) + Math.random() / 1_000;
  });
}

/** One that does not rest and was not `tried`; `null`: the target is left. */
export function otherCredential<Credential extends Numbered>(
  provider: string,
  credentials: readonly Credential[],
  tried: readonly number[],
  now: number,
): Credential | null {
  const free = credentials.filter(
    ({ number }) => !tried.includes(number) && stateOf(provider, number).restsUntil <= now,
  );
  return free.length === 0 ? null : chooseCredential(provider, free, null, now);
}

/** A refusal that is about the credential, not about the target. */
export function isOfCredential(status: number | null): boolean {
  return OF_CREDENTIAL.has(status);
}

export function noteStart(provider: string, number: number): void {
  stateOf(provider, number).inFlight++;
}

export function noteEnd(provider: string, number: number): void {
  const state = stateOf(provider, number);
  state.inFlight = Math.max(0, state.inFlight - 1);
}

/** What an answer says of it, good or bad. `headers`: where there is one to choose instead. `waitMs`: what a refusal asks for. */
export function noteAnswer(
  provider: string,
  number: number,
  {
    status,
    headers,
    waitMs,
    now,
  }: { status: number; headers: Headers | null; waitMs?: number | undefined; now: number },
): void {
  const state = stateOf(provider, number);
  const share = headers === null ? null : shareLeft(headers);
  if (share !== null) {
    state.share = share;
    state.heardAt = now;
  }
  if (status === 429) state.restsUntil = now + Math.max(MIN_LIMITED_MS, waitMs ?? LIMITED_MS);
  else if (isOfCredential(status)) state.restsUntil = now + REFUSED_MS;
  else if (status < 400) state.restsUntil = 0;
}

/** Epoch ms until which each rests in this isolate; 0: it does not. */
export function restsUntil(provider: string, number: number, now: number): number {
  const until = states.get(`${provider}#${number}`)?.restsUntil ?? 0;
  return until > now ? until : 0;
}

/**
 * The smallest part of a limit that is left, by pairs of headers `…remaining…` and `…limit…`: `x-ratelimit-*` of OpenAI
 * and those that follow it, `anthropic-ratelimit-*`, `ratelimit-*` (RFC draft). `null`: they tell nothing.
 */
function shareLeft(headers: Headers): number | null {
  let least: number | null = null;
  for (const [name, value] of headers) {
    if (!name.includes("ratelimit") || !name.includes("remaining")) continue;
    const [left, limit] = [Number(value), Number(limitOf(headers, name))];
    if (!(left >= 0) || !(limit > 0)) continue;
    least = Math.min(least ?? 1, left / limit);
  }
  return least;
}

/** `x-ratelimit-remaining-tokens` goes with `x-ratelimit-limit-tokens`, `anthropic-ratelimit-tokens-remaining` with `…-limit`. */
function limitOf(headers: Headers, name: string): string | null {
  return headers.get(name.replace("remaining", "limit"));
}

function best<T>(all: readonly T[], score: (one: T) => number): T {
  return all.map((one) => ({ one, score: score(one) })).reduce((a, b) => (b.score > a.score ? b : a)).one;
}
