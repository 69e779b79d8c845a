/** The console: a session around pages. Each page reads the control plane itself and holds its state in the address. */
import { render, useEffect, useRef, useState } from "hono/jsx/dom";
import { call, type List, SESSION_BACK, SESSION_ENDED } from "./api.ts";
import { Frame, type PageProps } from "./frame.tsx";
import { useLoad } from "./load.ts";
import { ApprovalsPage } from "./pages/approvals.tsx";
import { AuditPage } from "./pages/audit.tsx";
import { BudgetsPage } from "./pages/budgets.tsx";
import { KeyPage } from "./pages/key.tsx";
import { KeysPage } from "./pages/keys.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { PlaygroundPage } from "./pages/playground.tsx";
import { PricesPage } from "./pages/prices.tsx";
import { ProvidersPage } from "./pages/providers.tsx";
import { RoutePage } from "./pages/route.tsx";
import { RoutesPage } from "./pages/routes.tsx";
import { SpendPage } from "./pages/spend.tsx";
import { TracePage } from "./pages/trace.tsx";
import { TracesPage } from "./pages/traces.tsx";
import { WebhooksPage } from "./pages/webhooks.tsx";
import { Empty } from "./parts/notice.tsx";
import { FIRST_ENVS, type Place, usePlace } from "./place.ts";
import { forgetPerson, knownPerson, type Person, signOut } from "./session.ts";
import { SignIn } from "./sign-in.tsx";
import type { Approval, Route } from "./types.ts";

const PENDING_EVERY_MS = 10_000;

function NotFound() {
  return (
    <section>
      <h1>Not found</h1>
      <Empty>
        The console has no such page. <a href="/console">Overview</a>
      </Empty>
    </section>
  );
}

function Page(props: PageProps) {
  const [, , page = "", first = "", second = ""] = props.place.path.split("/").map(decodeURIComponent);
  switch (page) {
    case "":
      return <OverviewPage {...props} />;
    case "traces":
      return first === "" ? <TracesPage {...props} /> : <TracePage {...props} id={first} key={first} />;
    case "routes":
      return second === "" ? (
        <RoutesPage {...props} />
      ) : (
        <RoutePage {...props} routeEnv={first} name={second} key={`${first}/${second}`} />
      );
    case "keys":
      return first === "" ? <KeysPage {...props} /> : <KeyPage {...props} id={first} key={first} />;
    case "providers":
      return <ProvidersPage {...props} />;
    case "approvals":
      return <ApprovalsPage {...props} />;
    case "spend":
      return <SpendPage {...props} />;
    case "prices":
      return <PricesPage {...props} />;
    case "budgets":
      return <BudgetsPage {...props} />;
    case "webhooks":
      return <WebhooksPage {...props} />;
    case "audit":
      return <AuditPage {...props} />;
    case "playground":
      return <PlaygroundPage {...props} />;
    default:
      return <NotFound />;
  }
}

/** A session that has ended is asked for above the page, so that nothing that was typed is lost. */
function Again({ onPerson }: { onPerson: (person: Person) => void }) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    element.current?.showModal();
  }, []);
  return (
    <dialog ref={element} aria-label="Sign in again" onCancel={(event: Event) => event.preventDefault()}>
      <SignIn hasEnded={true} onPerson={onPerson} />
    </dialog>
  );
}

function SignedIn({ place, person, onSignOut }: { place: Place; person: Person; onSignOut: () => void }) {
  const env = place.query.get("env") ?? "";
  const routes = useLoad("envs", () => call<List<Route>>("/admin/routes?limit=1000"));
  const pending = useLoad(
    "pending",
    () => call<List<Approval>>("/admin/approvals?status=pending&limit=100&arguments=false"),
    PENDING_EVERY_MS,
  );
  const waiting = pending.data?.data ?? [];
  const envs = [...new Set([...FIRST_ENVS, ...(routes.data?.data ?? []).map((route) => route.env)])];
  return (
    <Frame place={place} person={person} env={env} envs={envs} pending={waiting.length} onSignOut={onSignOut}>
      <Page place={place} person={person} env={env} waiting={waiting} />
    </Frame>
  );
}

function App() {
  const place = usePlace();
  const [person, setPerson] = useState<Person | null>(knownPerson());
  const [hasEnded, setEnded] = useState(false);
  useEffect(() => {
    const ended = (): void => setEnded(true);
    addEventListener(SESSION_ENDED, ended);
    return () => removeEventListener(SESSION_ENDED, ended);
  }, []);
  const entered = (next: Person): void => {
    setPerson(next);
    setEnded(false);
    dispatchEvent(new Event(SESSION_BACK));
  };
  const leave = (): void => {
    void signOut().then(() => {
      forgetPerson();
      setPerson(null);
      setEnded(false);
    });
  };
  if (person === null) {
    return (
      <main id="main" class="alone">
        <SignIn hasEnded={false} onPerson={entered} />
      </main>
    );
  }
  return (
    <>
      <SignedIn place={place} person={person} onSignOut={leave} />
      {hasEnded ? <Again onPerson={entered} /> : null}
    </>
  );
}

const root = document.getElementById("console");
if (root !== null) render(<App />, root);
