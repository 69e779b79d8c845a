/**
 * What `npm start` keeps between starts, in `.flowlayer/`: readable by its owner only and never in git.
 *
 * `secrets.json` holds the generated pepper, admin token and keys and outlives every start. `dev.json` is the
 * announcement that an instance is ready and is the last file written. `worker.env` hands secrets to wrangler, because
 * arguments can be read by anyone on the machine; wrangler reads it again when it reloads, so it stays.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StartError } from "./start-error.ts";

export interface Secrets {
  readonly pepper: string;
  readonly adminToken: string;
  /** Environment to key. */
  readonly keys: Readonly<Record<string, string>>;
  /** `<env>/<route>` to the version that a start published last. */
  readonly seeded: Readonly<Record<string, number>>;
}

/** The contents of `dev.json`. */
export interface Announcement {
  readonly base_url: string;
  readonly admin_token: string;
  readonly keys: Readonly<Record<string, string>>;
}

const newToken = (): string => randomBytes(32).toString("base64url");

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isTextRecord(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && Object.values(value).every(isText);
}

function isVersionRecord(value: unknown): value is Record<string, number> {
  return typeof value === "object" && value !== null && Object.values(value).every(Number.isSafeInteger);
}

export class StateDirectory {
  readonly path: string;

  /** Throws `StartError` where the directory cannot be made or belongs to somebody else. */
  constructor(path: string) {
    this.path = path;
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      // The mode above counts only for a directory that is made here.
      chmodSync(path, 0o700);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new StartError(
        `${path} cannot be written to (${code}). Make the folder writable, or name another one: FLOWLAYER_DIR=<folder> npm start`,
      );
    }
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** The kept secrets; fresh ones where there are none. Throws `StartError` where the file is damaged: its pepper is gone. */
  secrets(): Secrets {
    const file = this.file("secrets.json");
    const kept = this.#read("secrets.json");
    if (existsSync(file) && !(isText(kept["pepper"]) && isText(kept["admin_token"]))) {
      throw new StartError(
        `${file} is damaged. Put a copy of it back; or delete it: the next start then makes a new pepper, and keys made so far stop working.`,
      );
    }
    const secrets = {
      pepper: isText(kept["pepper"]) ? kept["pepper"] : newToken(),
      adminToken: isText(kept["admin_token"]) ? kept["admin_token"] : newToken(),
      keys: isTextRecord(kept["keys"]) ? kept["keys"] : {},
      seeded: isVersionRecord(kept["seeded"]) ? kept["seeded"] : {},
    };
    this.keep(secrets);
    return secrets;
  }

  keep({ pepper, adminToken, keys, seeded }: Secrets): void {
    this.write("secrets.json", `${JSON.stringify({ pepper, admin_token: adminToken, keys, seeded }, null, 2)}\n`);
  }

  /** The announcement of an earlier start, whether or not that instance still runs. */
  announcement(): Announcement | null {
    const { base_url, admin_token, keys } = this.#read("dev.json");
    return isText(base_url) && isText(admin_token) && isTextRecord(keys) ? { base_url, admin_token, keys } : null;
  }

  announce(announcement: Announcement): void {
    this.write("dev.json", `${JSON.stringify(announcement, null, 2)}\n`);
  }

  remove(name: string): void {
    rmSync(this.file(name), { force: true });
  }

  /** Readers see the old file or the whole new one, never a part. */
  write(name: string, text: string): void {
    const draft = this.file(`.${name}.${process.pid}`);
    writeFileSync(draft, text, { mode: 0o600 });
    renameSync(draft, this.file(name));
  }

  #read(name: string): Readonly<Record<string, unknown>> {
    try {
      const parsed: unknown = JSON.parse(readFileSync(this.file(name), "utf8"));
      return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
    } catch {
      // Absent or damaged: the same as a first start.
      return {};
    }
  }
}
