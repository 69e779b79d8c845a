/** What surrounds every page of the console: pages by name, environment, search, who is signed in. */
import { type Child, useEffect, useRef, useState } from "hono/jsx/dom";
import { DIALOG_CHANGED, submit } from "./parts/field.tsx";
import { go, type Place, setValues } from "./place.ts";
import { may, type Person } from "./session.ts";
import type { Approval } from "./types.ts";

export interface PageProps {
  readonly place: Place;
  readonly person: Person;
  /** The environment that the reader looks at; empty: all of them. */
  readonly env: string;
  /** Tool calls of all environments that wait for a person, as the frame reads them again and again. */
  readonly waiting: readonly Approval[];
}

/** Path and name of each page, in groups: watch, release, access, money, notices. */
const GROUPS = [
  [
    ["", "Overview"],
    ["traces", "Traces"],
    ["approvals", "Approvals"],
  ],
  [
    ["routes", "Routes"],
    ["playground", "Playground"],
    ["providers", "Providers"],
  ],
  [
    ["keys", "Keys"],
    ["budgets", "Budgets"],
    ["spend", "Spend"],
    ["prices", "Prices"],
  ],
  [
    ["webhooks", "Webhooks"],
    ["audit", "Audit"],
  ],
] as const;

/** The address of a page, in the environment that the reader looks at. */
export const addressOf = (page: string, env: string): string => {
  const path = page === "" ? "/console" : `/console/${page}`;
  return env === "" ? path : `${path}?env=${encodeURIComponent(env)}`;
};

/** Where an id that was pasted leads: every id says itself what it is of. */
function addressOfId(id: string): string {
  const text = id.trim();
  if (/^[0-9A-Za-z]{12}$/.test(text)) return `/console/keys/${text}`;
  if (text.startsWith("fl_")) {
    // A key that was pasted whole must not come into the address: its id is enough.
    const [, , keyId = ""] = text.split("_");
    return `/console/keys/${encodeURIComponent(keyId)}`;
  }
  if (text.startsWith("flow/")) return `/console/traces?route=${encodeURIComponent(text.slice(5))}`;
  return `/console/traces/${encodeURIComponent(text)}`;
}

const isTyping = (event: KeyboardEvent): boolean =>
  event.target instanceof HTMLElement && event.target.matches("input, textarea, select");

const JUMPS: Readonly<Record<string, string>> = {
  ...{ o: "", t: "traces", r: "routes", k: "keys", p: "providers", a: "approvals", s: "spend" },
};

/** `/` looks for an id; `g` and a letter go to a page. */
function useKeyboard(env: string, search: { readonly current: HTMLInputElement | null }): void {
  useEffect(() => {
    let isGoing = false;
    const pressed = (event: KeyboardEvent): void => {
      if (isTyping(event) || event.metaKey || event.ctrlKey || event.altKey) return;
      if (event.key === "/") {
        event.preventDefault();
        search.current?.focus();
      }
      const page = JUMPS[event.key];
      if (isGoing && page !== undefined) go(addressOf(page, env));
      isGoing = event.key === "g";
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [env]);
}

/** Three lanes: the mark of the site and of its icon. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 16 16" aria-hidden="true">
      <path d="M2 4h8M2 8h12M2 12h6" />
    </svg>
  );
}

export function Frame(props: {
  place: Place;
  person: Person;
  env: string;
  envs: readonly string[];
  pending: number;
  onSignOut: () => void;
  children: Child;
}) {
  const { place, person, env, envs, pending, onSignOut, children } = props;
  const [sought, setSought] = useState("");
  const search = useRef<HTMLInputElement>(null);
  const [hasDialog, setDialog] = useState(false);
  useEffect(() => {
    const changed = (event: Event): void => setDialog((event as CustomEvent<boolean>).detail);
    addEventListener(DIALOG_CHANGED, changed);
    return () => removeEventListener(DIALOG_CHANGED, changed);
  }, []);
  useKeyboard(env, search);
  const current = place.path.split("/")[2] ?? "";
  const pages = useRef<HTMLElement>(null);
  useEffect(() => {
    const name = GROUPS.flat().find(([page]) => page === current)?.[1] ?? "Console";
    const [, , , ...rest] = place.path.split("/").map(decodeURIComponent);
    document.title = `${[...rest.toReversed(), name].join(" · ")} · The Flow Layer`;
    // On a narrow screen the pages are one line that scrolls.
    pages.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [place.path]);
  const find = (): void => {
    if (sought.trim() === "") return;
    go(addressOfId(sought));
    setSought("");
  };
  return (
    <div class="frame">
      <header class="bar-top">
        <a class="brand" href={addressOf("", env)}>
          <Mark />
          The Flow Layer
        </a>
        <search>
          <form onSubmit={submit(find)}>
            <label for="search" class="hidden">
              Search
            </label>
            <input
              id="search"
              type="search"
              ref={search}
              placeholder="Any id: trace, key, response, tool call"
              title="Press / to come here; g and a letter to go to a page"
              value={sought}
              onInput={(event: Event) => setSought((event.target as HTMLInputElement).value)}
            />
          </form>
        </search>
        {hasDialog ? (
          <p class="inline environment">Environment {env === "" ? "All" : env}</p>
        ) : (
          <div class="inline environment">
            <label for="environment">Environment</label>
            <select
              id="environment"
              value={env}
              onInput={(event: Event) =>
                setValues(place, { env: (event.target as HTMLSelectElement).value, cursor: "" })
              }
            >
              <option value="" selected={env === ""}>
                All
              </option>
              {envs.map((each) => (
                <option value={each} selected={each === env}>
                  {each}
                </option>
              ))}
            </select>
          </div>
        )}
        <div class="person">
          <span>
            {person.name} <small>({person.role})</small>
          </span>
          <button type="button" class="quiet" onClick={onSignOut}>
            Sign out
          </button>
        </div>
      </header>
      <nav aria-label="Console" class="pages" ref={pages}>
        {GROUPS.map((group) => (
          <div class="group">
            {group
              .filter(([page]) => page !== "playground" || may(person, "run"))
              .map(([page, name]) => (
                <a href={addressOf(page, env)} aria-current={current === page ? "page" : undefined}>
                  {name}
                  {page === "approvals" && pending > 0 ? (
                    <span class="count" title={`${pending} pending`}>
                      {pending}
                    </span>
                  ) : null}
                </a>
              ))}
          </div>
        ))}
        <div class="group out">
          <a href="/docs">Docs</a>
          <a href="/models">Models</a>
        </div>
      </nav>
      <main id="main" tabindex={-1}>
        {children}
      </main>
    </div>
  );
}
