/** Sign in: an operator's token becomes a session. It is sent once, in a body, and kept nowhere on the page. */
import { useState } from "hono/jsx/dom";
import { Mark } from "./frame.tsx";
import { useAct } from "./load.ts";
import { Field, Submit, submit } from "./parts/field.tsx";
import { type Person, signIn } from "./session.ts";

export function SignIn({ onPerson, hasEnded }: { onPerson: (person: Person) => void; hasEnded: boolean }) {
  const [token, setToken] = useState("");
  const act = useAct();
  const enter = (): Promise<boolean> =>
    act.run(async () => {
      onPerson(await signIn(token.trim()));
      setToken("");
    });
  return (
    <form class="sign-in" onSubmit={submit(enter)}>
      {hasEnded ? (
        <h2>Your session has ended</h2>
      ) : (
        <h1>
          <Mark /> Console
        </h1>
      )}
      <p>
        {hasEnded
          ? "Sign in again to go on. What you typed is still here."
          : "Sign in with an operator's token: the value of FLOW_ADMIN_TOKEN, or one of FLOW_ADMIN_TOKENS."}
      </p>
      <Field
        label="Admin token"
        type="password"
        value={token}
        onValue={setToken}
        autocomplete="current-password"
        required
        hint="After npm start it stands in .flowlayer/dev.json as admin_token."
      />
      <Submit act={act}>Sign in</Submit>
    </form>
  );
}
