/** Controls with their labels. A label is a visible word, and the same everywhere. */
import { type Child, useLayoutEffect, useRef, useState } from "hono/jsx/dom";
import type { Acting } from "../load.ts";
import { Failure } from "./notice.tsx";

type Change = (value: string) => void;

const typed = (event: Event): string => (event.target as HTMLInputElement).value;

export interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly onValue: Change;
  readonly type?: "text" | "password" | "number" | "search" | "date" | "url";
  readonly hint?: string;
  readonly error?: string | undefined;
  readonly required?: boolean;
  readonly step?: string;
  readonly autocomplete?: string;
}

let made = 0;

/** Each control has an id of its own: a list may have a field of the same name in every row. */
function useFieldId(label: string): string {
  const [id] = useState(() => `field-${label.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}-${++made}`);
  return id;
}

export function Field({ label, value, onValue, type = "text", hint, error, ...rest }: FieldProps) {
  const id = useFieldId(label);
  const told = [hint === undefined ? "" : `${id}-hint`, error === undefined ? "" : `${id}-error`].join(" ").trim();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type={type}
        value={value}
        onInput={(event: Event) => onValue(typed(event))}
        aria-describedby={told === "" ? undefined : told}
        aria-invalid={error === undefined ? undefined : "true"}
        {...rest}
      />
      {hint === undefined ? null : (
        <small id={`${id}-hint`} class="hint">
          {hint}
        </small>
      )}
      {error === undefined ? null : (
        <small id={`${id}-error`} class="error">
          {error}
        </small>
      )}
    </div>
  );
}

export function Area(props: {
  label: string;
  value: string;
  onValue: Change;
  rows?: number;
  isCode?: boolean;
  error?: string | undefined;
}) {
  const { label, value, onValue, rows = 4, isCode = false, error } = props;
  const id = useFieldId(label);
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        id={id}
        rows={rows}
        class={isCode ? "code" : ""}
        spellcheck={!isCode}
        value={value}
        onInput={(event: Event) => onValue(typed(event))}
        aria-invalid={error === undefined ? undefined : "true"}
        aria-describedby={error === undefined ? undefined : `${id}-error`}
      />
      {error === undefined ? null : (
        <small id={`${id}-error`} class="error">
          {error}
        </small>
      )}
    </div>
  );
}

export function Choice(props: {
  label: string;
  value: string;
  onValue: Change;
  options: readonly (readonly [value: string, name: string])[];
}) {
  const { label, value, onValue, options } = props;
  const id = useFieldId(label);
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onInput={(event: Event) => onValue(typed(event))}>
        {options.map(([each, name]) => (
          <option value={each} selected={each === value}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}

/** Fired on `window` when a dialog opens and when it is gone: meanwhile nothing behind it can be used. */
export const DIALOG_CHANGED = "flow-layer-dialog";

/** A form in a dialog of the browser's own: Escape closes it, and the focus goes back to where it was. */
export function Dialog(props: { title: string; onClose: () => void; children: Child }) {
  const { title, onClose, children } = props;
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    // The control that opened it often has the name of the one that ends it: only one of them is there at a time.
    const opener = document.activeElement instanceof HTMLButtonElement ? document.activeElement : null;
    if (opener !== null) opener.style.visibility = "hidden";
    element.current?.showModal();
    dispatchEvent(new CustomEvent(DIALOG_CHANGED, { detail: true }));
    return () => {
      if (opener !== null) opener.style.visibility = "";
      dispatchEvent(new CustomEvent(DIALOG_CHANGED, { detail: false }));
      setTimeout(() => opener?.focus());
    };
  }, []);
  return (
    <dialog ref={element} onClose={onClose} aria-label={title}>
      <header class="row">
        <h2>{title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick={() => element.current?.close()}>
          ✕
        </button>
      </header>
      {children}
    </dialog>
  );
}

export function Copy({ text, name = "Copy" }: { text: string; name?: string }) {
  const copy = (event: Event): void => {
    const button = event.currentTarget as HTMLButtonElement;
    navigator.clipboard.writeText(text).then(
      () => {
        button.textContent = "Copied";
        setTimeout(() => {
          button.textContent = name;
        }, 2_000);
      },
      () => {
        button.textContent = "Select the text and press Ctrl+C";
      },
    );
  };
  return (
    <button type="button" class="quiet" onClick={copy}>
      {name}
    </button>
  );
}

/** The end of a form: why its last try was refused, and the button, which rests while a try is under way. */
export function Submit(props: { act: Acting; kind?: "primary" | "danger"; isBlocked?: boolean; children: Child }) {
  const { act, kind = "primary", isBlocked = false, children } = props;
  return (
    <>
      <Failure error={act.error} />
      <button type="submit" class={kind} disabled={act.isBusy || isBlocked}>
        {children}
      </button>
    </>
  );
}

export function submit(act: () => unknown): (event: Event) => void {
  return (event) => {
    event.preventDefault();
    void act();
  };
}
