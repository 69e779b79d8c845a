/** Names with what they say: the facts of a key or a trace, the headers of an answer. */
import type { Child } from "hono/jsx/dom";

export type Pair = readonly [name: string, value: Child];

export function Pairs({ of, kind }: { of: readonly Pair[]; kind: "facts" | "headers" }) {
  return (
    <dl class={kind}>
      {of.map(([name, value]) => (
        <div>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
