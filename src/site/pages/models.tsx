/**
 * The model directory. Without script it is one table in the catalogue's order; the island adds search, filters, sorting,
 * comparison and the cost calculator, with their state in the address.
 */

import type { ModelRow } from "../model-rows.ts";
import { count, money } from "../parts/figures.ts";

export function Models({ rows }: { readonly rows: readonly ModelRow[] }) {
  const providers = [...new Set(rows.map(({ provider }) => provider))].sort();
  return (
    <>
      <h1>Model directory</h1>
      <p class="lead">
        {rows.length} models of {providers.length} providers. Prices in USD per million tokens. Download{" "}
        <a href="/models.csv" download>
          CSV
        </a>{" "}
        or{" "}
        <a href="/models.json" download>
          JSON
        </a>
        .
      </p>
      <form class="filters" data-filters hidden>
        <label>
          Search <input type="search" name="q" autocomplete="off" />
        </label>
        <label>
          Provider{" "}
          <select name="provider">
            <option value="">all</option>
            {providers.map((provider) => (
              <option value={provider}>{provider}</option>
            ))}
          </select>
        </label>
        <label>
          Ability{" "}
          <select name="can">
            <option value="">any</option>
            {["tools", "JSON schema", "image", "audio", "files", "reasoning", "open weights"].map((ability) => (
              <option value={ability}>{ability}</option>
            ))}
          </select>
        </label>
        <label>
          Window at least <input type="number" name="window" min="0" step="1000" />
        </label>
        <label>
          Input at most $ <input type="number" name="input" min="0" step="any" />
        </label>
        <fieldset>
          <legend>Cost of</legend>
          <label>
            <input type="number" name="in" min="0" value="1000" /> tokens in
          </label>
          <label>
            <input type="number" name="out" min="0" value="500" /> tokens out
          </label>
        </fieldset>
        <output name="shown" aria-live="polite" />
      </form>
      <div data-compare />
      <section class="table" data-scroll tabindex={0} aria-label="Models">
        <table class="models">
          <caption>Models</caption>
          <thead>
            <tr>
              {COLUMNS.map(([key, name]) => (
                <th scope="col" data-sort={key}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr>
                <td>
                  <a href={row.path}>{row.id}</a>
                </td>
                <td>{row.provider}</td>
                <td class="number">{money(row.input)}</td>
                <td class="number">{money(row.output)}</td>
                <td class="number">{money(row.cached)}</td>
                <td class="number">{count(row.window)}</td>
                <td>{row.abilities.join(", ")}</td>
                <td>{row.status}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  );
}

export const COLUMNS = [
  ["id", "Model"],
  ["provider", "Provider"],
  ["input", "Input $"],
  ["output", "Output $"],
  ["cached", "Cached $"],
  ["window", "Window"],
  ["abilities", "Abilities"],
  ["status", "Status"],
] as const;
