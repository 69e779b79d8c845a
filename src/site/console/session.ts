/** Who is signed in. What the page keeps is the name and the role: the session itself is a cookie that it cannot read. */
import { parseJson } from "../../lib/json.ts";
import { call } from "./api.ts";

export type Role = "read" | "approve" | "release" | "admin";

export interface Person {
  readonly name: string;
  readonly role: Role;
  /** ISO 8601. */
  readonly expires_at: string;
}

const KEPT = "flow-layer-person";

export function knownPerson(): Person | null {
  try {
    const person = parseJson(localStorage.getItem(KEPT) ?? "null") as Person | null;
    return person !== null && Date.parse(person.expires_at) > Date.now() ? person : null;
  } catch {
    return null;
  }
}

function remember(person: Person | null): void {
  try {
    if (person === null) localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, JSON.stringify(person));
  } catch {
    // A browser that keeps nothing asks again after a reload.
  }
}

export async function signIn(token: string): Promise<Person> {
  const person = await call<Person>("/console/session", { body: { token } });
  remember(person);
  return person;
}

export async function signOut(): Promise<void> {
  await call("/console/session", { method: "DELETE" }).catch(() => {});
  forgetPerson();
}

export function forgetPerson(): void {
  remember(null);
  try {
    for (const name of Object.keys(sessionStorage)) if (name.startsWith(DRAFTS)) sessionStorage.removeItem(name);
  } catch {
    // A browser that keeps nothing has no drafts.
  }
}

/** Names of texts that a tab keeps until somebody signs out. */
export const DRAFTS = "flow-layer-draft ";

export function kept(name: string): string | null {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

export function keep(name: string, text: string | null): void {
  try {
    if (text === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, text);
  } catch {
    // It lasts as long as the page.
  }
}

type Act = "see_arguments" | "decide" | "release" | "run" | "admin";

const MAY: Readonly<Record<Act, readonly Role[]>> = {
  see_arguments: ["approve", "admin"],
  decide: ["approve", "admin"],
  release: ["release", "admin"],
  run: ["release", "admin"],
  admin: ["admin"],
};

/** No control is shown that would be refused. */
export function may({ role }: Person, act: Act): boolean {
  return MAY[act].includes(role);
}
