/** One model: what it costs, what it takes, who else serves it, what came after it, and how to put it into a policy. */
import { raw } from "hono/html";
import { codeBlock } from "../markdown.ts";
import type { ModelRow } from "../model-rows.ts";
import { count, money } from "../parts/figures.ts";
import { type Heading, Table } from "../parts/table.tsx";
import { termsOf } from "../provider-terms.ts";

const usd = (value: number | null, otherwise: string): string => (value === null ? otherwise : `$${money(value)}`);

export function Model(props: {
  readonly row: ModelRow;
  /** Those of all providers that have its name, itself among them. */
  readonly namesakes: readonly ModelRow[];
  readonly newer: ModelRow | null;
}) {
  const { row, namesakes, newer } = props;
  const elsewhere = namesakes.filter((other) => other !== row);
  const policy = JSON.stringify({ targets: [{ provider: row.provider, model: row.id }] }, null, 2);
  const terms = termsOf(row);
  return (
    <div class="model">
      <nav class="crumbs" aria-label="Breadcrumb">
        <a href="/models">Models</a> / <a href={`/models/${row.provider}`}>{row.provider}</a>
      </nav>
      <h1>{row.id}</h1>
      <p class="lead">
        {row.modalities}, at {row.provider}
        {row.status === "offered" ? "" : `; ${row.status}`}.
        {row.shutdown === "" ? "" : ` The provider switches it off on ${row.shutdown}.`}
        {newer === null ? null : (
          <>
            {" "}
            Newer in this family: <a href={newer.path}>{newer.id}</a>, {newer.released}.
          </>
        )}
      </p>
      <dl class="facts">
        <Fact name="Input" value={usd(row.input, "unknown")} detail="a million tokens" />
        <Fact name="Output" value={usd(row.output, "unknown")} detail="a million tokens" />
        <Fact name="Cached input" value={usd(row.cached, "as input")} detail="a million tokens" />
        <Fact name="Context window" value={count(row.window)} detail="tokens" />
        <Fact name="Output at most" value={count(row.maxOutput)} detail="tokens" />
        <Fact
          name="Released"
          value={row.released || "–"}
          detail={row.knowledge === "" ? "" : `knows until ${row.knowledge}`}
        />
      </dl>
      <div class="split">
        <section>
          <h2>Parameters</h2>
          <dl class="terms">
            <div>
              <dt>Abilities</dt>
              <dd>{row.abilities.join(", ") || "unknown"}</dd>
            </div>
            {terms.lines.map(([name, text]) => (
              <div>
                <dt>{name}</dt>
                <dd>{withCode(text)}</dd>
              </div>
            ))}
            {row.aliases.length === 0 ? null : (
              <div>
                <dt>Other ids</dt>
                <dd>{withCode(row.aliases.map((alias) => `\`${alias}\``).join(", "))}</dd>
              </div>
            )}
          </dl>
          <p class="source">
            {terms.source === "" ? (
              <>
                What its provider takes: <a href="/docs/reference#providers-with-their-own-protocol">the reference</a>.
              </>
            ) : (
              <>Source: {terms.source}. No live call was made.</>
            )}
          </p>
        </section>
        <section>
          <h2>In a policy</h2>
          <div data-code>{raw(codeBlock(policy, "json"))}</div>
          <PriceTiers row={row} />
          <p class="source">
            Price: {row.source}. Confidence: {row.trust}.
          </p>
        </section>
      </div>
      {elsewhere.length === 0 ? null : <Elsewhere row={row} others={elsewhere} />}
      <section data-model={`${row.provider}/${row.id}`} />
    </div>
  );
}

/** Names in backquotes as code. */
function withCode(text: string) {
  return text.split("`").map((part, at) => (at % 2 === 1 ? <code>{part}</code> : part));
}

const TIER_HEADINGS: readonly Heading[] = [
  { name: "Prompt above", isNumber: true },
  { name: "Input $", isNumber: true },
  { name: "Output $", isNumber: true },
];

function PriceTiers({ row }: { readonly row: ModelRow }) {
  if (row.tiers.length === 0) return null;
  return (
    <>
      <h2>Price tiers</h2>
      <Table caption="Price tiers" headings={TIER_HEADINGS}>
        {[{ above: 0, input: row.input, output: row.output }, ...row.tiers].map((tier) => (
          <tr>
            <td class="number">{count(tier.above)}</td>
            <td class="number">{money(tier.input)}</td>
            <td class="number">{money(tier.output)}</td>
          </tr>
        ))}
      </Table>
    </>
  );
}

const TARGET_HEADINGS: readonly Heading[] = [
  { name: "Target" },
  { name: "Input $", isNumber: true },
  { name: "Output $", isNumber: true },
  { name: "Cached $", isNumber: true },
  { name: "Window", isNumber: true },
];

/** The same model at other providers, the one at hand among them, so that prices can be compared. */
function Elsewhere({ row, others }: { readonly row: ModelRow; readonly others: readonly ModelRow[] }) {
  const all = [row, ...others].toSorted(
    (a, b) => (a.input ?? Number.POSITIVE_INFINITY) - (b.input ?? Number.POSITIVE_INFINITY),
  );
  return (
    <>
      <h2>Also served by</h2>
      <Table caption="Also served by" headings={TARGET_HEADINGS}>
        {all.map((other) => (
          <tr class={other === row ? "this" : undefined}>
            <td>
              {other === row ? (
                <Target of={other} />
              ) : (
                <a href={other.path}>
                  <Target of={other} />
                </a>
              )}
            </td>
            <td class="number">{money(other.input)}</td>
            <td class="number">{money(other.output)}</td>
            <td class="number">{money(other.cached)}</td>
            <td class="number">{count(other.window)}</td>
          </tr>
        ))}
      </Table>
    </>
  );
}

function Target({ of }: { readonly of: ModelRow }) {
  return <code>{`${of.provider}/${of.id}`}</code>;
}

function Fact({ name, value, detail }: { readonly name: string; readonly value: string; readonly detail: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <strong>{value}</strong> <small>{detail}</small>
      </dd>
    </div>
  );
}
