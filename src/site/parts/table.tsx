/** A table that scrolls in its own frame; its caption is for those who hear the page. */
import type { Child } from "hono/jsx";

export interface Heading {
  readonly name: string;
  /** Figures stand at the right. */
  readonly isNumber?: boolean;
  /** What the directory's island sorts by. */
  readonly key?: string;
}

/** @param kind a class of the table @param children its rows */
export function Table(props: { caption: string; headings: readonly Heading[]; kind?: string; children: Child }) {
  const { caption, headings, kind, children } = props;
  return (
    <section class="table" tabindex={0} aria-label={caption}>
      <table class={kind}>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {headings.map(({ name, isNumber, key }) => (
              <th scope="col" data-sort={key} class={isNumber === true ? "number" : undefined}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}
