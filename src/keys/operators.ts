/**
 * Operators of the control plane, as `FLOW_ADMIN_TOKEN` and `FLOW_ADMIN_TOKENS` name them, and what their roles include.
 *
 * Pure. Without a usable main token there are no operators, further ones included. What is left out is named with a
 * reason, so that the log can say it; a token itself is in no reason.
 */

/** Shorter tokens can be guessed; they count as absent. */
export const MIN_TOKEN_LENGTH = 32;
/** The holder of `FLOW_ADMIN_TOKEN`. No other operator may take this name: the audit log could not tell them apart. */
const MAIN_OPERATOR = "admin";
const OPERATOR = /^([A-Za-z0-9][A-Za-z0-9._@-]{0,62}):(.+)$/;

export const ROLES = ["read", "approve", "release", "admin"] as const;
export type Role = (typeof ROLES)[number];

/** What the holder of a role may do besides what is its own. */
const INCLUDED: Readonly<Record<Role, readonly Role[]>> = {
  read: [],
  approve: ["read"],
  release: ["read"],
  admin: ["read", "approve", "release"],
};

export function includesRole(held: Role, needed: Role): boolean {
  return held === needed || INCLUDED[held].includes(needed);
}

/** A text is a role, for what was stored or sent. */
function isRole(text: string): text is Role {
  return ROLES.some((role) => role === text);
}

export interface Operator {
  readonly name: string;
  readonly token: string;
  readonly role: Role;
}

export interface IgnoredToken {
  /** The operator's name, else the pair's place in the variable. */
  readonly name: string;
  readonly reason: string;
}

export interface Operators {
  readonly usable: readonly Operator[];
  readonly ignored: readonly IgnoredToken[];
}

/** `main`: the value of `FLOW_ADMIN_TOKEN`; `further`: that of `FLOW_ADMIN_TOKENS`, pairs of `name:token[:role]`. */
export function operatorsOf(main = "", further = ""): Operators {
  const pairs = further.split(/[\s,]+/).filter((pair) => pair !== "");
  if (main.length < MIN_TOKEN_LENGTH) {
    const names = pairs.map((pair, at) => ({ name: nameOf(pair, at), reason: "FLOW_ADMIN_TOKEN is not usable" }));
    const own = main === "" ? [] : [{ name: "FLOW_ADMIN_TOKEN", reason: TOO_SHORT }];
    return { usable: [], ignored: [...own, ...names] };
  }
  const usable: Operator[] = [{ name: MAIN_OPERATOR, token: main, role: "admin" }];
  const ignored: IgnoredToken[] = [];
  pairs.forEach((pair, at) => {
    const operator = readPair(pair);
    const reason = whyIgnored(operator);
    if (operator !== null && reason === null) usable.push(operator);
    else ignored.push({ name: nameOf(pair, at), reason: reason ?? "" });
  });
  return { usable, ignored };
}

const TOO_SHORT = `shorter than ${MIN_TOKEN_LENGTH} characters`;

function whyIgnored(operator: Operator | null): string | null {
  if (operator === null) return "not of the form name:token[:role]";
  if (operator.name === MAIN_OPERATOR) return "the name `admin` belongs to FLOW_ADMIN_TOKEN";
  return operator.token.length < MIN_TOKEN_LENGTH ? TOO_SHORT : null;
}

/** A token may hold colons: a last segment is a role only if it is the word of one. */
function readPair(pair: string): Operator | null {
  const [, name, rest] = OPERATOR.exec(pair) ?? [];
  if (name === undefined || rest === undefined) return null;
  const colon = rest.lastIndexOf(":");
  const role = rest.slice(colon + 1);
  if (colon === -1 || !isRole(role)) return { name, token: rest, role: "admin" };
  return { name, token: rest.slice(0, colon), role };
}

/** Without a name the place has to do: the text may be nothing but a token. */
function nameOf(pair: string, at: number): string {
  return OPERATOR.exec(pair)?.[1] ?? `entry ${at + 1}`;
}
