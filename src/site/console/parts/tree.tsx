/** JSON as a tree that opens, and as its exact text. Everything in it is text: it came from a model. */
import { parseJson } from "../../../lib/json.ts";
import type { Json } from "../api.ts";

const MAX_SHOWN = 200;
const MAX_OPEN_DEPTH = 2;

function parsed(text: string): { readonly value: Json } | null {
  try {
    return { value: parseJson(text) as Json };
  } catch {
    return null;
  }
}

function Node({ name, value, depth }: { name: string; value: Json; depth: number }) {
  const label = name === "" ? null : <span class="name">{name}: </span>;
  if (typeof value !== "object" || value === null) {
    return (
      <div class="leaf">
        {label}
        <span class={`value ${value === null ? "null" : typeof value}`}>{JSON.stringify(value)}</span>
      </div>
    );
  }
  const entries: [string, Json][] = Object.entries(value);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return (
    <details class="branch" open={depth < MAX_OPEN_DEPTH}>
      <summary>
        {label}
        {open}
        {entries.length === 0 ? "" : <small>{entries.length}</small>}
        {close}
      </summary>
      {entries.slice(0, MAX_SHOWN).map(([each, inner]) => (
        <Node name={each} value={inner} depth={depth + 1} />
      ))}
      {entries.length > MAX_SHOWN ? <div class="leaf">and {entries.length - MAX_SHOWN} more</div> : null}
    </details>
  );
}

export function Tree({ text }: { text: string }) {
  const tree = parsed(text);
  return (
    <div class="tree">
      {tree === null ? <p class="hint">This is no JSON.</p> : <Node name="" value={tree.value} depth={0} />}
      <details>
        <summary>As text</summary>
        <pre>{text}</pre>
      </details>
    </div>
  );
}
