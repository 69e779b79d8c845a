/**
 * The text of a policy with proposals at the caret: members, listed values, providers and models.
 *
 * It stays a text field, so that undo, selection and screen readers work as everywhere. Proposals come while a name is
 * typed and with Ctrl+Space; arrows choose, Enter or Tab takes, Escape closes.
 */
import { useEffect, useRef, useState } from "hono/jsx/dom";
import { lineOf } from "./json-text.ts";
import { insertion, type Known, type Proposal, type Proposals, proposalsAt } from "./proposals.ts";
import type { Fault } from "./schema.ts";

const ROWS = 22;
const ID = "field-policy";

interface Place {
  readonly left: number;
  readonly top: number;
}

/** Where the caret is inside the field, px: a copy of the text up to it is laid out out of sight and measured. */
function caretPlace(field: HTMLTextAreaElement, at: number): Place {
  const copy = document.createElement("div");
  const style = getComputedStyle(field);
  copy.className = "caret-copy";
  for (const name of ["font", "lineHeight", "padding", "border", "tabSize"] as const) copy.style[name] = style[name];
  copy.textContent = field.value.slice(0, at);
  const mark = document.createElement("span");
  mark.textContent = "\u200b";
  copy.append(mark);
  field.parentElement?.append(copy);
  const place = {
    left: mark.offsetLeft - field.scrollLeft,
    top: mark.offsetTop + mark.offsetHeight - field.scrollTop + field.offsetTop,
  };
  copy.remove();
  return place;
}

export function Editor(props: {
  value: string;
  onValue: (text: string) => void;
  known: Known | null;
  faults: readonly (Fault & { readonly offset: number })[];
  error: string | undefined;
}) {
  const { value, onValue, known, faults, error } = props;
  const field = useRef<HTMLTextAreaElement>(null);
  const [open, setOpen] = useState<(Proposals & { readonly place: Place }) | null>(null);
  const [chosen, setChosen] = useState(0);

  const propose = (): void => {
    const element = field.current;
    if (element === null) return;
    const isOne = element.selectionStart === element.selectionEnd;
    const found = known === null || !isOne ? null : proposalsAt(element.value, element.selectionStart, known);
    setChosen(0);
    setOpen(found === null ? null : { ...found, place: caretPlace(element, found.context.from) });
  };
  const take = (proposal: Proposal): void => {
    const element = field.current;
    if (element === null || open === null) return;
    const { from, to } = open.context;
    const inserted = insertion(open, proposal, element.value);
    element.focus();
    element.setSelectionRange(from, to);
    // The command keeps the field's own undo; a browser without it changes the text all the same.
    if (!document.execCommand("insertText", false, inserted.text)) {
      element.setRangeText(inserted.text, from, to, "end");
      onValue(element.value);
    }
    element.setSelectionRange(from + inserted.caret, from + inserted.caret);
    setOpen(null);
    // A member was taken: its value comes next.
    if (open.context.expects === "key") setTimeout(propose);
  };
  const typed = (event: Event): void => {
    onValue((event.target as HTMLTextAreaElement).value);
    const { inputType = "", data } = event as InputEvent;
    const isTyping = inputType === "insertText" && data !== null && /^[\w"./-]$/.test(data);
    if (isTyping || (open !== null && inputType.startsWith("delete"))) propose();
    else setOpen(null);
  };
  const pressed = (event: KeyboardEvent): void => {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      propose();
      return;
    }
    if (open === null) return;
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key] ?? 0;
    const proposal = open.list[chosen];
    if (move !== 0) setChosen((chosen + move + open.list.length) % open.list.length);
    else if ((event.key === "Enter" || event.key === "Tab") && proposal !== undefined) take(proposal);
    else if (event.key === "Escape") setOpen(null);
    else return;
    event.preventDefault();
  };
  const show = (offset: number): void => {
    const element = field.current;
    if (element === null) return;
    const end = element.value.indexOf("\n", offset);
    element.focus();
    element.setSelectionRange(offset, end === -1 ? element.value.length : end);
    element.scrollTop = Math.max(
      0,
      ((lineOf(element.value, offset) - 4) * element.scrollHeight) / value.split("\n").length,
    );
  };
  const told = error ?? (faults.length === 0 ? undefined : `${faults.length} places to look at`);
  return (
    <div class="field editor">
      <label for={ID}>Policy</label>
      <textarea
        id={ID}
        ref={field}
        rows={ROWS}
        wrap="off"
        class="code"
        spellcheck={false}
        autocomplete="off"
        value={value}
        onInput={typed}
        onKeyDown={pressed}
        onBlur={() => setOpen(null)}
        onClick={() => setOpen(null)}
        aria-autocomplete="list"
        aria-controls={open === null ? undefined : `${ID}-list`}
        aria-activedescendant={open === null ? undefined : `${ID}-${chosen}`}
        aria-invalid={told === undefined ? undefined : "true"}
        aria-describedby={`${ID}-hint${told === undefined ? "" : ` ${ID}-error`}`}
      />
      {open === null ? null : <List open={open} chosen={chosen} onTake={take} />}
      <small id={`${ID}-hint`} class="hint">
        Ctrl+Space proposes members, values, providers and models.
      </small>
      <div id={`${ID}-error`} role="status" class="faults">
        {error === undefined ? null : <p class="error">{error}</p>}
        {faults.map(({ path, message, offset }) => (
          <p class="error">
            <button type="button" class="quiet" onClick={() => show(offset)}>
              Line {lineOf(value, offset)}
            </button>{" "}
            <code>{path}</code> {message}.
          </p>
        ))}
      </div>
    </div>
  );
}

function List(props: {
  open: Proposals & { readonly place: Place };
  chosen: number;
  onTake: (proposal: Proposal) => void;
}) {
  const { open, chosen, onTake } = props;
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    list.current?.children[chosen]?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <div
      id={`${ID}-list`}
      ref={list}
      role="listbox"
      tabIndex={-1}
      aria-label="Proposals"
      class="proposals"
      style={{ left: `${Math.max(0, open.place.left)}px`, top: `${open.place.top}px` }}
    >
      {open.list.map((proposal, at) => (
        <div
          id={`${ID}-${at}`}
          role="option"
          tabIndex={-1}
          aria-selected={at === chosen ? "true" : "false"}
          // The field keeps the focus, so that typing goes on.
          onMouseDown={(event: Event) => {
            event.preventDefault();
            onTake(proposal);
          }}
        >
          <span class="mono">{proposal.name}</span> <small>{proposal.detail}</small>
        </div>
      ))}
    </div>
  );
}
