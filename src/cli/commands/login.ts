/** `login`, `logout`, `profiles` and `init-secrets`: where hosts and their tokens come from. */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { clientWith, type Json, listPage } from "../client.ts";
import { baseOf, forgetProfile, keepProfile, readProfiles } from "../hosts.ts";
import type { CommandInput } from "../input.ts";
import type { Column } from "../table.ts";
import { CommandError, EXIT_OK } from "../terminal.ts";
import { safe } from "../text.ts";

const DEFAULT_PROFILE = "default";
const SECRET = /^[\x21-\x7e]+$/;

/** Keeps a host and its admin token after the host has taken it. The token comes from the terminal or standard input. */
export async function login(input: CommandInput): Promise<number> {
  const { terminal } = input;
  const name = input.text("profile") ?? DEFAULT_PROFILE;
  const address =
    input.text("url") ?? terminal.variables["FLOW_LAYER_URL"] ?? (await ask(input, "Address of the host: "));
  const base = baseOf(address.trim());
  const nextSecret = secretsOf(input);
  const token = await nextSecret(`Admin token of ${base.origin}: `);
  if (token === "") {
    throw new CommandError(
      "No token was given. Type it when asked, or send it to the standard input. Nothing was kept.",
    );
  }
  if (!SECRET.test(token))
    throw new CommandError("The token has a space or a character beyond ASCII. Nothing was kept.");
  await listPage(
    clientWith(terminal, base, token, "[admin token]"),
    "/admin/routes",
    new URLSearchParams([["limit", "1"]]),
  );
  const key = input.has("api-key") ? await nextSecret("API key for `chat` and `code`: ") : "";
  if (input.has("api-key") && !SECRET.test(key)) {
    throw new CommandError("No API key was given: it is the second line of the standard input. Nothing was kept.");
  }
  const url = base.href.replace(/\/+$/, "");
  const file = keepProfile(terminal, name, { url, token, ...(key === "" ? {} : { apiKey: key }) });
  input.print({ profile: name, url }, () => `Signed in to ${base.origin} as profile ${name}. Kept in ${safe(file)}.\n`);
  return EXIT_OK;
}

async function ask(input: CommandInput, question: string): Promise<string> {
  if (input.terminal.isInteractive) return input.terminal.ask(question);
  throw new CommandError("Say which host: --url https://…");
}

/** Secrets one after the other: typed, or the lines of the standard input. Never from an argument, which everybody on the machine can read. */
function secretsOf({ terminal }: CommandInput): (question: string) => Promise<string> {
  let lines: string[] | undefined;
  return async (question) => {
    if (terminal.isInteractive) return (await terminal.ask(question, true)).trim();
    lines ??= ((await terminal.readInput?.()) ?? "").split("\n");
    return (lines.shift() ?? "").trim();
  };
}

export async function logout(input: CommandInput): Promise<number> {
  const name = input.text("profile") ?? readProfiles(input.terminal).active;
  if (name === null) throw new CommandError("There is no profile.");
  forgetProfile(input.terminal, name);
  input.print({ profile: name }, () => `Forgotten: ${safe(name)}.\n`);
  return EXIT_OK;
}

export async function listProfiles(input: CommandInput): Promise<number> {
  const { active, profiles } = readProfiles(input.terminal);
  const columns: readonly Column<Json>[] = [
    { title: "PROFILE", value: ({ name }) => name, whole: true },
    { title: "HOST", value: ({ url }) => url },
    { title: "DEFAULT", value: (row) => (row["active"] === true ? "yes" : "") },
  ];
  const rows = Object.entries(profiles).map(([name, { url }]): Json => ({ name, url, active: name === active }));
  input.printRows(columns, rows, "There are no profiles. Make one: flow-layer login --url https://…");
  return EXIT_OK;
}

const newSecret = (): string => randomBytes(32).toString("base64url");

/** The secrets of a new deployment, for `wrangler deploy --secrets-file`. */
export async function initSecrets(input: CommandInput): Promise<number> {
  const [file] = input.words;
  const text = `FLOW_KEY_PEPPER=${newSecret()}\nFLOW_ADMIN_TOKEN=${newSecret()}\n`;
  if (file === undefined) {
    input.terminal.write(text);
    return EXIT_OK;
  }
  await writeFile(resolve(input.terminal.directory, file), text, { flag: "wx", mode: 0o600 }).catch(
    (error: unknown) => {
      const exists = (error as NodeJS.ErrnoException).code === "EEXIST";
      throw new CommandError(
        exists
          ? `${safe(file)} exists, and its pepper may be in use. Name another file.`
          : `${safe(file)} cannot be written.`,
      );
    },
  );
  input.terminal.writeError(`Written: ${safe(file)}. Keep a copy: without the pepper every key stops working.\n`);
  return EXIT_OK;
}
