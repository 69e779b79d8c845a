/** CSV comes by script, with the session, and is saved as a blob: a link alone would not carry the console's header. */
import { send } from "./api.ts";

/** Fetches `path` and hands the browser its text as a file called `name`. Rejects as `send` does. */
export async function saveCsv(path: string, name: string): Promise<void> {
  const text = await (await send(path, { headers: { accept: "text/csv" } })).text();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
