/** One model: what it costs, what it can, who else serves it, and how to put it into a policy. */
import { raw } from "hono/html";
import { codeBlock } from "../markdown.ts";
import type { ModelRow } from "../model-rows.ts";
import { count, money } from "../parts/figures.ts";

/** The same model elsewhere goes by the last part of its id. */
const baseName = (id: string): string => (id.split("/").at(-1) ?? id).toLowerCase();

export function Model({ row, rows }: { readonly row: ModelRow; readonly rows: readonly ModelRow[] }) {
  const elsewhere = rows.filter((other) => other !== row && baseName(other.id) === baseName(row.id));
  const policy = JSON.stringify({ targets: [{ provider: row.provider, model: row.id }] }, null, 2);
  return (
    <>
      <nav class="crumbs" aria-label="Breadcrumb">
        <a href="/models">Models</a> /{" "}
        <a href={`/models?provider=${encodeURIComponent(row.provider)}`}>{row.provider}</a>
      </nav>
      <h1>
        <code>{row.id}</code>
      </h1>
      <p class="lead">
        At {row.provider}. {row.status === "offered" ? "" : `Status: ${row.status}. `}
        {row.shutdown === "" ? "" : `The provider switches it off on ${row.shutdown}. `}
      </p>
      <dl class="facts">
        <Fact name="Input" value={`$${money(row.input)} per million tokens`} />
        <Fact name="Output" value={`$${money(row.output)} per million tokens`} />
        <Fact
          name="Cached input"
          value={row.cached === null ? "as input" : `$${money(row.cached)} per million tokens`}
        />
        <Fact name="Context window" value={row.window === null ? "unknown" : `${count(row.window)} tokens`} />
        <Fact name="Output at most" value={row.maxOutput === null ? "unknown" : `${count(row.maxOutput)} tokens`} />
        <Fact name="Abilities" value={row.abilities.join(", ") || "unknown"} />
        {row.efforts.length === 0 ? null : <Fact name="Reasoning efforts" value={row.efforts.join(", ")} />}
        {row.released === "" ? null : <Fact name="Released" value={row.released} />}
        {row.knowledge === "" ? null : <Fact name="Knowledge until" value={row.knowledge} />}
        {row.aliases.length === 0 ? null : <Fact name="Other ids" value={row.aliases.join(", ")} />}
      </dl>
      {row.tiers.length === 0 ? null : (
        <>
          <h2>Price tiers</h2>
          <div class="table">
            <table>
              <caption>Price tiers</caption>
              <thead>
                <tr>
                  <th scope="col">Prompt above</th>
                  <th scope="col">Input $</th>
                  <th scope="col">Output $</th>
                </tr>
              </thead>
              <tbody>
                {row.tiers.map((tier) => (
                  <tr>
                    <td class="number">{count(tier.above)}</td>
                    <td class="number">{money(tier.input)}</td>
                    <td class="number">{money(tier.output)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
      <h2>In a policy</h2>
      <div data-code>{raw(codeBlock(policy, "json"))}</div>
      {elsewhere.length === 0 ? null : (
        <>
          <h2>Also served by</h2>
          <ul>
            {elsewhere.map((other) => (
              <li>
                <a href={other.path}>
                  {other.provider}/{other.id}
                </a>{" "}
                at ${money(other.input)} in, ${money(other.output)} out
              </li>
            ))}
          </ul>
        </>
      )}
      <p class="source">
        Source of the price: {row.source}. Confidence: {row.trust}.
      </p>
    </>
  );
}

function Fact({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
