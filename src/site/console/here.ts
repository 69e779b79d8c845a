/**
 * What pages of the site show besides while an operator is signed in: the state of the deployment on the home page, a
 * key in the documentation, and what the deployment knows of each model. It lies below `/console/`, so the fence of
 * `FLOW_ADMIN_HOST` holds for it too.
 */
import { HERE_EVENT, type HereRow, type HereRows } from "../parts/here.ts";
import { call, type List } from "./api.ts";
import { knownPerson, may, type Person } from "./session.ts";

interface Provider {
  readonly id: string;
  readonly configured: boolean;
  readonly targets?: readonly {
    readonly model: string;
    readonly routes?: readonly string[];
    readonly state?: string;
  }[];
}

interface Figures {
  readonly group: { readonly provider?: string; readonly model?: string };
  readonly requests: number;
  readonly errors: number;
  readonly output_tokens_per_second?: number | null;
  readonly first_token_ms?: { readonly p50: number | null; readonly p95: number | null };
}

interface RouteName {
  readonly env: string;
  readonly name: string;
}

const DAY_MS = 86_400_000;

const providers = (): Promise<readonly Provider[]> =>
  call<List<Provider>>("/admin/providers?configured=true").then(({ data }) => data);

const link = (href: string, text: string): HTMLAnchorElement => {
  const made = document.createElement("a");
  made.href = href;
  made.textContent = text;
  return made;
};

const element = (tag: string, text: string, kind = ""): HTMLElement => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind !== "") made.className = kind;
  return made;
};

/** One row a model that is configured, used or measured. */
async function hereRows(): Promise<{ rows: HereRows; ids: ReadonlySet<string> }> {
  const since = new Date(Date.now() - DAY_MS).toISOString();
  const [configured, figures] = await Promise.all([
    providers(),
    call<List<Figures>>(`/admin/stats?group_by=provider,model&bucket=day&since=${since}`),
  ]);
  const measured = new Map<string, Figures>();
  for (const each of figures.data) {
    const name = `${each.group.provider}/${each.group.model}`;
    // The last day touches two days of the calendar; quantiles cannot be added, so the one with more requests counts.
    if ((measured.get(name)?.requests ?? 0) < each.requests) measured.set(name, each);
  }
  const routes = new Map<string, string>();
  for (const { id, targets = [] } of configured) {
    for (const { model, routes: used = [] } of targets) routes.set(`${id}/${model}`, used.join(", "));
  }
  const ids = new Set(configured.map(({ id }) => id));
  const rows = new Map<string, HereRow>();
  for (const name of new Set([...routes.keys(), ...measured.keys()])) {
    const of = measured.get(name);
    rows.set(name, {
      here: ids.has(name.slice(0, name.indexOf("/"))) ? "yes" : "",
      routes: routes.get(name) ?? "",
      p50: of?.first_token_ms?.p50 ?? null,
      p95: of?.first_token_ms?.p95 ?? null,
      speed: of?.output_tokens_per_second ?? null,
      failed: of === undefined || of.requests === 0 ? null : Math.round((1_000 * of.errors) / of.requests) / 10,
    });
  }
  return { rows, ids };
}

async function onHome(): Promise<void> {
  const kicker = document.querySelector(".kicker");
  const [configured, pending] = await Promise.all([
    providers(),
    call<List<unknown>>("/admin/approvals?status=pending&limit=100&arguments=false"),
  ]);
  const open = configured.flatMap(({ targets = [] }) => targets).filter(({ state }) => state === "open").length;
  const parts = [
    link("/console/providers", `${configured.length} ${configured.length === 1 ? "provider" : "providers"} configured`),
    link("/console/providers", open === 0 ? "no breaker open" : `${open} breakers open`),
    link("/console/approvals", `${pending.data.length} tool calls wait`),
  ];
  kicker?.replaceChildren("Here: ", ...parts.flatMap((part, at) => (at === 0 ? [part] : [", ", part])));
}

const KEY_NAME = "$FLOW_LAYER_API_KEY";

/** A form below the first section; the secret is shown once, and filled into the snippets of the page. */
function onDocs(person: Person): void {
  const place = document.querySelector('article [id^="01-"]');
  if (place === null || !may(person, "admin")) return;
  const form = document.createElement("form");
  form.className = "run-box";
  const field = (text: string, control: HTMLElement): HTMLLabelElement => {
    const label = document.createElement("label");
    label.append(`${text} `, control);
    return label;
  };
  const name = document.createElement("input");
  name.required = true;
  name.value = "first-request";
  const env = document.createElement("select");
  for (const each of ["production", "staging"]) env.append(new Option(each, each));
  const said = element("p", "", "run-answer");
  said.setAttribute("role", "status");
  said.hidden = true;
  const button = element("button", "Create key", "button") as HTMLButtonElement;
  const row = element("p", "", "run-head");
  row.append(field("Name", name), field("Environment", env), button);
  form.append(row, said);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const { key } = await call<{ key: string }>("/admin/keys", { body: { name: name.value, env: env.value } });
      for (const code of document.querySelectorAll(".code code")) {
        const text = code.textContent ?? "";
        if (text.includes(KEY_NAME)) code.textContent = text.replaceAll(KEY_NAME, key);
      }
      const secret = element("output", key);
      secret.setAttribute("aria-label", "API key");
      said.replaceChildren(secret, " is shown once, and stands in the shell snippets below.");
    } catch (error) {
      said.textContent = error instanceof Error ? error.message : "The key was not created.";
    }
    said.hidden = false;
    button.disabled = false;
  });
  let last: Element = place;
  while (last.nextElementSibling !== null && last.nextElementSibling.tagName !== "H2") last = last.nextElementSibling;
  last.after(form);
}

async function onDirectory(): Promise<void> {
  const known = await hereRows();
  (window as { flowLayerHere?: unknown }).flowLayerHere = known;
  dispatchEvent(new CustomEvent(HERE_EVENT));
}

/** What the deployment knows of one model, and the ways on from it. */
async function onModel(person: Person): Promise<void> {
  const place = document.querySelector<HTMLElement>("[data-model]");
  const name = place?.dataset["model"] ?? "";
  if (place === null || name === "") return;
  const [{ rows, ids }, routes] = await Promise.all([
    hereRows(),
    call<List<RouteName>>("/admin/routes?limit=1000").then(({ data }) => data),
  ]);
  const row = rows.get(name);
  const list = element("dl", "", "terms");
  const line = (term: string, ...what: (Node | string)[]): void => {
    const div = document.createElement("div");
    const dd = document.createElement("dd");
    dd.append(...what);
    div.append(element("dt", term), dd);
    list.append(div);
  };
  const provider = name.slice(0, name.indexOf("/"));
  line(
    "Provider",
    ids.has(provider) ? "configured" : "not configured: ",
    ...(ids.has(provider) ? [] : [link("/console/providers", "its secret is missing")]),
  );
  const used = (row?.routes ?? "").split(", ").filter((each) => each !== "");
  line(
    "Routes",
    ...(used.length === 0 ? ["none"] : []),
    ...used.flatMap((each, at) => {
      const [env = "", route = ""] = each.split("/");
      const tried = link(`/console/playground?env=${env}&route=${route}`, "open in the playground");
      return [...(at === 0 ? [] : [document.createElement("br")]), link(`/console/routes/${each}`, each), ", ", tried];
    }),
  );
  const { p50 = null, p95 = null, speed = null, failed = null } = row ?? {};
  const figures = `First token p50 ${p50} ms, p95 ${p95} ms; ${speed ?? "–"} tokens a second; ${failed} % failed`;
  line("Last day", p50 === null ? "no request" : figures);
  if (may(person, "release") && routes.length > 0) {
    const choose = document.createElement("select");
    choose.setAttribute("aria-label", "Add to route");
    choose.append(new Option("Choose…", ""));
    for (const { env, name: route } of routes) choose.append(new Option(`${env}/${route}`, `${env}/${route}`));
    choose.addEventListener("change", () => {
      if (choose.value !== "") location.href = `/console/routes/${choose.value}?add=${encodeURIComponent(name)}`;
    });
    line("Add to route", choose);
  }
  place.append(element("h2", "In this deployment"), list);
}

async function show(person: Person): Promise<void> {
  const { pathname } = location;
  if (pathname === "/") await onHome();
  else if (pathname === "/docs") onDocs(person);
  else if (pathname === "/models") await onDirectory();
  else await onModel(person);
}

const person = knownPerson();
// Where the deployment does not answer, the page stays what it is for everybody.
if (person !== null) show(person).catch(() => {});
