/** Two texts, line by line: what went, what came, and a little of what stayed around it. */

interface Line {
  readonly sign: " " | "+" | "-";
  readonly text: string;
}

/** Lines that differ, by their longest common subsequence; policies have at most a few hundred lines. */
function difference(before: readonly string[], after: readonly string[]): readonly Line[] {
  const lengths = Array.from({ length: before.length + 1 }, () => new Array<number>(after.length + 1).fill(0));
  const at = (row: number, column: number): number => lengths[row]?.[column] ?? 0;
  for (let row = before.length - 1; row >= 0; row--) {
    for (let column = after.length - 1; column >= 0; column--) {
      const isSame = before[row] === after[column];
      lengths[row]![column] = isSame ? at(row + 1, column + 1) + 1 : Math.max(at(row + 1, column), at(row, column + 1));
    }
  }
  const lines: Line[] = [];
  let [row, column] = [0, 0];
  while (row < before.length || column < after.length) {
    if (row < before.length && column < after.length && before[row] === after[column]) {
      lines.push({ sign: " ", text: before[row++] ?? "" });
      column++;
    } else if (column < after.length && (row === before.length || at(row, column + 1) >= at(row + 1, column))) {
      lines.push({ sign: "+", text: after[column++] ?? "" });
    } else lines.push({ sign: "-", text: before[row++] ?? "" });
  }
  return lines;
}

/** Lines of what stayed that are shown before and after a change. */
const AROUND = 3;

export function Difference({ before, after }: { before: readonly string[]; after: readonly string[] }) {
  const lines = difference(before, after);
  const isNear = (at: number): boolean =>
    lines.slice(Math.max(0, at - AROUND), at + AROUND + 1).some(({ sign }) => sign !== " ");
  return (
    <pre class="diff" tabindex={0}>
      {lines.map(({ sign, text }, at) =>
        isNear(at) ? (
          <span class={sign === "+" ? "added" : sign === "-" ? "removed" : ""}>
            {sign} {text}
            {"\n"}
          </span>
        ) : isNear(at - 1) ? (
          <span class="cut">{"  …\n"}</span>
        ) : null,
      )}
    </pre>
  );
}
