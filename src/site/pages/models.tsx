/**
 * The model directory. Without script it is one table in the catalogue's order, and a page per provider; the island adds
 * search, filters, sorting, columns, comparison and the cost calculator, with their state in the address.
 */
import type { ModelRow } from "../model-rows.ts";
import { count, money } from "../parts/figures.ts";
import { type Heading, Table } from "../parts/table.tsx";

const ABILITIES = ["tools", "JSON schema", "reasoning", "embeddings", "open weights"];
const TAKES = ["image", "audio", "video", "files"];
const STATUSES = ["offered", "preview", "deprecated"];

export function Models({ rows }: { readonly rows: readonly ModelRow[] }) {
  const providers = [...new Set(rows.map(({ provider }) => provider))].sort();
  return (
    <>
      <header class="title">
        <h1>Model directory</h1>
        <p>
          {count(rows.length)} models of {providers.length} providers, chat and embeddings; prices in USD per million
          tokens. Download{" "}
          <a href="/models.csv" download>
            CSV
          </a>{" "}
          or{" "}
          <a href="/models.json" download>
            JSON
          </a>
          .
        </p>
      </header>
      <form class="filters" data-filters>
        <label class="wide">
          Search <input type="search" name="q" autocomplete="off" placeholder="model, provider, ability" />
        </label>
        <Select label="Provider" name="provider" all="all" values={providers} />
        <Select label="Ability" name="can" all="any" values={ABILITIES} />
        <Select label="Takes" name="takes" all="text" values={TAKES} />
        <Select label="Status" name="status" all="any" values={STATUSES} />
        <label>
          Window at least <input type="number" name="window" min="0" step="1000" />
        </label>
        <label>
          Input at most $ <input type="number" name="input" min="0" step="any" />
        </label>
        <fieldset>
          <legend>Cost of one request</legend>
          <label>
            Tokens in <input type="number" name="in" min="0" value="1000" />
          </label>
          <label>
            Tokens out <input type="number" name="out" min="0" value="500" />
          </label>
        </fieldset>
        <output name="shown" aria-live="polite">
          {count(rows.length)} of {count(rows.length)} models
        </output>
      </form>
      <details class="columns">
        <summary>Columns</summary>
        <div data-columns />
      </details>
      <div data-compare />
      <noscript>
        <nav aria-label="Providers" class="providers">
          {providers.map((provider) => (
            <a href={`/models/${provider}`}>{provider}</a>
          ))}
        </nav>
      </noscript>
      <ModelTable rows={rows} />
    </>
  );
}

/** The models of one provider: a page of the directory that needs no script. */
export function ProviderModels({ provider, rows }: { readonly provider: string; readonly rows: readonly ModelRow[] }) {
  return (
    <>
      <nav class="crumbs" aria-label="Breadcrumb">
        <a href="/models">Models</a>
      </nav>
      <header class="title">
        <h1>{provider}</h1>
        <p>
          {count(rows.length)} models; prices in USD per million tokens.{" "}
          <a href={`/models?provider=${encodeURIComponent(provider)}`}>Search and compare them</a>
        </p>
      </header>
      <ModelTable rows={rows} />
    </>
  );
}

function ModelTable({ rows }: { readonly rows: readonly ModelRow[] }) {
  return (
    <Table caption="Models" kind="models" headings={COLUMNS}>
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
          <td>{row.modalities}</td>
          <td>{row.abilities.join(", ")}</td>
          <td>{row.released}</td>
          <td>{row.status}</td>
        </tr>
      ))}
    </Table>
  );
}

function Select(props: { label: string; name: string; all: string; values: readonly string[] }) {
  return (
    <label>
      {props.label}{" "}
      <select name={props.name}>
        <option value="">{props.all}</option>
        {props.values.map((value) => (
          <option value={value}>{value}</option>
        ))}
      </select>
    </label>
  );
}

const COLUMNS: readonly Heading[] = [
  { key: "id", name: "Model" },
  { key: "provider", name: "Provider" },
  { key: "input", name: "Input $", isNumber: true },
  { key: "output", name: "Output $", isNumber: true },
  { key: "cached", name: "Cached $", isNumber: true },
  { key: "window", name: "Window", isNumber: true },
  { key: "modalities", name: "Modalities" },
  { key: "abilities", name: "Abilities" },
  { key: "released", name: "Released" },
  { key: "status", name: "Status" },
];
