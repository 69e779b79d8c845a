/**
 * One instance per state directory. The lock names the process that holds it and is touched while that process lives, so
 * that a process id which the system has given to another program does not keep the directory locked for ever.
 */
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeSync } from "node:fs";

const TOUCH_MS = 2_000;
/** A holder that has not touched its lock for so long is not the process with its id. */
const STALE_MS = 15_000;

export interface Held {
  readonly held: true;
  /** Removes the lock. Called once more, it does nothing. */
  release(): void;
}
export interface Taken {
  readonly held: false;
  readonly pid: number;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // A process of another user is alive as well.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The process that holds the lock; `null` where it is gone. */
function holderOf(path: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(path, "utf8"), 10);
    const isFresh = Date.now() - statSync(path).mtimeMs < STALE_MS;
    return isFresh && Number.isInteger(pid) && pid > 0 && isAlive(pid) ? pid : null;
  } catch {
    return null;
  }
}

/** Takes the lock at `path`, also from a holder that is gone. Throws where the directory cannot be written to. */
export function takeLock(path: string): Held | Taken {
  for (let tries = 0; tries < 5; tries++) {
    try {
      const file = openSync(path, "wx", 0o600);
      writeSync(file, `${process.pid}\n`);
      closeSync(file);
      return hold(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const pid = holderOf(path);
    if (pid !== null) return { held: false, pid };
    removeStale(path);
  }
  return { held: false, pid: holderOf(path) ?? 0 };
}

/** If two processes find a stale lock, one of them moves it away and the other one's move fails. */
function removeStale(path: string): void {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
    rmSync(aside, { force: true });
  } catch {
    // The other one has it, or is about to.
  }
}

function hold(path: string): Held {
  const touching = setInterval(() => {
    try {
      utimesSync(path, new Date(), new Date());
    } catch {
      // The directory was deleted under a running instance, which needs no lock any more.
    }
  }, TOUCH_MS);
  touching.unref();
  return {
    held: true,
    release() {
      clearInterval(touching);
      if (holderOf(path) === process.pid) rmSync(path, { force: true });
    },
  };
}
