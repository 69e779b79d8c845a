/** On every page: the address of this deployment in place of the placeholder, copy buttons, and tabs that are remembered. */
import { PLACEHOLDER_HOST } from "../listing.ts";

/** As the console keeps it. */
const PERSON_KEY = "flow-layer-person";
const TAB_KEY = "flow-layer-tab";

for (const code of document.querySelectorAll(".code code")) {
  if (code.textContent?.includes(PLACEHOLDER_HOST) === true) {
    code.textContent = code.textContent.replaceAll(PLACEHOLDER_HOST, location.origin);
  }
}

for (const button of document.querySelectorAll<HTMLButtonElement>(".copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = button.parentElement?.querySelector("code")?.textContent ?? "";
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Press Ctrl+C";
      const selection = getSelection();
      const code = button.parentElement?.querySelector("code");
      if (code != null) selection?.selectAllChildren(code);
    }
    setTimeout(() => {
      button.textContent = "Copy";
    }, 2_000);
  });
}

function remembered(): string | null {
  try {
    return localStorage.getItem(TAB_KEY);
  } catch {
    return null;
  }
}

function remember(name: string): void {
  try {
    localStorage.setItem(TAB_KEY, name);
  } catch {
    // A browser that keeps nothing shows the first tab again.
  }
}

interface Group {
  show(name: string): void;
}

const groups: Group[] = [];

for (const [number, element] of document.querySelectorAll<HTMLElement>(".tabs").entries()) {
  const panels = [...element.querySelectorAll<HTMLElement>(".code[data-tab]")];
  const list = document.createElement("div");
  list.className = "tablist";
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", "Language");
  const buttons = panels.map((panel, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = panel.dataset["tab"] ?? "";
    button.id = `tab-${number}-${at}`;
    panel.id = `panel-${number}-${at}`;
    button.setAttribute("role", "tab");
    button.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", button.id);
    button.addEventListener("click", () => {
      remember(button.textContent ?? "");
      for (const group of groups) group.show(button.textContent ?? "");
    });
    button.addEventListener("keydown", (event) => {
      const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      if (step === 0) return;
      const next = buttons[(at + step + buttons.length) % buttons.length];
      next?.focus();
      next?.click();
    });
    list.append(button);
    return button;
  });
  const show = (name: string): void => {
    if (!panels.some((panel) => panel.dataset["tab"] === name)) return;
    for (const [at, panel] of panels.entries()) {
      const isShown = panel.dataset["tab"] === name;
      panel.hidden = !isShown;
      buttons[at]?.setAttribute("aria-selected", String(isShown));
      if (buttons[at] !== undefined) buttons[at].tabIndex = isShown ? 0 : -1;
    }
  };
  element.prepend(list);
  element.classList.add("live");
  groups.push({ show });
  show(panels[0]?.dataset["tab"] ?? "");
  const known = remembered();
  if (known !== null) show(known);
}

/** Operators who are signed in see more: that script is the console's, and only its host has it. */
const isSignedIn = (): boolean => {
  try {
    return localStorage.getItem(PERSON_KEY) !== null;
  } catch {
    return false;
  }
};
const { here } = document.body.dataset;
if (here !== undefined && isSignedIn()) import(here).catch(() => {});
