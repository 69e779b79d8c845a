/** Filters that somebody looks through again and again, kept by the browser under a name. */
import { useState } from "hono/jsx/dom";
import { parseJson } from "../../../lib/json.ts";
import { Field, submit } from "../parts/field.tsx";
import type { Place } from "../place.ts";

const VIEWS_KEY = "flow-layer-trace-views";
const MAX_VIEWS = 20;

interface View {
  readonly name: string;
  /** The query of the address. */
  readonly query: string;
}

function keptViews(): readonly View[] {
  try {
    return parseJson(localStorage.getItem(VIEWS_KEY) ?? "[]") as readonly View[];
  } catch {
    return [];
  }
}

export function Views({ place }: { place: Place }) {
  const [views, setViews] = useState(keptViews());
  const [name, setName] = useState("");
  const query = place.query.toString();
  const keep = (next: readonly View[]): void => {
    setViews(next);
    try {
      localStorage.setItem(VIEWS_KEY, JSON.stringify(next));
    } catch {
      // They last as long as the page.
    }
  };
  const add = (): void => {
    keep([...views.filter((view) => view.name !== name), { name, query }].slice(-MAX_VIEWS));
    setName("");
  };
  return (
    <>
      {views.length === 0 ? null : (
        <p class="row chosen">
          <small>Saved views</small>
          {views.map((view) => (
            <span class="view">
              <a href={`/console/traces?${view.query}`} aria-current={view.query === query ? "page" : undefined}>
                {view.name}
              </a>
              <button type="button" class="quiet" onClick={() => keep(views.filter((each) => each !== view))}>
                <span aria-hidden="true">✕</span>
                <span class="hidden">Forget the view {view.name}</span>
              </button>
            </span>
          ))}
        </p>
      )}
      {query === "" ? null : (
        <form class="inline-form" onSubmit={submit(add)}>
          <Field label="Save these filters as" value={name} onValue={setName} required />
          <button type="submit">Save view</button>
        </form>
      )}
    </>
  );
}
