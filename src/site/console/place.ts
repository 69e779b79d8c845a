/** Where the reader is: the address holds the state of every page, so that it can be sent to somebody. */
import { useEffect, useState } from "hono/jsx/dom";

export interface Place {
  readonly path: string;
  readonly query: URLSearchParams;
}

const MOVED = "flow-layer-moved";

const here = (): Place => ({ path: location.pathname, query: new URLSearchParams(location.search) });

export function go(address: string, options: { readonly replace?: boolean } = {}): void {
  if (options.replace === true) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  dispatchEvent(new Event(MOVED));
}

export function usePlace(): Place {
  const [place, setPlace] = useState(here());
  useEffect(() => {
    const moved = (): void => setPlace(here());
    const followed = (event: MouseEvent): void => {
      if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
      const link = event.target instanceof Element ? event.target.closest("a") : null;
      if (link === null || link.target !== "" || link.hasAttribute("download")) return;
      if (link.origin !== location.origin || !/^\/console(?:\/|$)/.test(link.pathname)) return;
      event.preventDefault();
      go(link.pathname + link.search);
      scrollTo(0, 0);
      // Who listens to the page hears the new one from its beginning.
      document.getElementById("main")?.focus({ preventScroll: true });
    };
    addEventListener("popstate", moved);
    addEventListener(MOVED, moved);
    document.addEventListener("click", followed);
    return () => {
      removeEventListener("popstate", moved);
      removeEventListener(MOVED, moved);
      document.removeEventListener("click", followed);
    };
  }, []);
  return place;
}

/** The address of this page with other values; an empty one is left out. */
function withValues(place: Place, values: Readonly<Record<string, string>>): string {
  const query = new URLSearchParams(place.query);
  for (const [name, value] of Object.entries(values)) {
    if (value === "") query.delete(name);
    else query.set(name, value);
  }
  const asked = query.toString();
  return asked === "" ? place.path : `${place.path}?${asked}`;
}

export function setValues(place: Place, values: Readonly<Record<string, string>>): void {
  go(withValues(place, values), { replace: true });
}

/** The environments that exist from the start. */
export const FIRST_ENVS = ["production", "staging", "development"];

const PERIODS = { hour: 3_600_000, day: 86_400_000, week: 7 * 86_400_000, month: 30 * 86_400_000 } as const;
export type Period = keyof typeof PERIODS;
export const PERIOD_NAMES: readonly (readonly [Period, string])[] = [
  ["hour", "Last hour"],
  ["day", "Last 24 hours"],
  ["week", "Last 7 days"],
  ["month", "Last 30 days"],
];

export function periodOf({ query }: Place): Period {
  const named = query.get("period") ?? "";
  return Object.hasOwn(PERIODS, named) ? (named as Period) : "hour";
}

export const periodMs = (period: Period): number => PERIODS[period];
