/**
 * KV and the Durable Objects of a Worker under test, called from a test as the Worker calls them.
 *
 * Miniflare has stubs of its own, but each look for an object or a method holds up the whole test process, and the
 * scripted providers in it, until workerd has answered. Here a call is one request to a module before the product.
 */
import type { Env } from "../../src/config.ts";

const PATH = "/test/bindings";

/** Bytes in JSON; the rest of what crosses is plain data. */
const CODEC = `
const pack = (value) => JSON.stringify(value, (_, each) =>
  each instanceof Uint8Array ? { $bytes: btoa(Array.from(each, (byte) => String.fromCharCode(byte)).join("")) } : each);
const unpack = (text) => JSON.parse(text, (_, each) =>
  typeof each?.$bytes === "string" ? Uint8Array.from(atob(each.$bytes), (letter) => letter.charCodeAt(0)) : each);
`;

/** The module before `next`, which is the product or what stands before it. */
export const bindingsModule = (next: string): string => `
import app from "./${next}";
export * from "./${next}";
${CODEC}
export default {
  ...app,
  async fetch(request, env, context) {
    if (!request.url.endsWith("${PATH}")) return app.fetch(request, env, context);
    const { binding, name, method, parameters } = unpack(await request.text());
    try {
      const target = name === null ? env[binding] : env[binding].getByName(name);
      return new Response(pack({ value: await target[method](...parameters) }));
    } catch (error) {
      return new Response(pack({ error: String(error?.message ?? error) }));
    }
  },
};
`;

const { pack, unpack } = new Function(`${CODEC} return { pack, unpack };`)() as {
  pack(value: unknown): string;
  unpack(text: string): unknown;
};

/** Every method that is asked for, whatever its name: what it is not is said when it is called. */
function methodsOf(url: string, binding: string, name: string | null): object {
  return new Proxy(
    {},
    {
      get(_, method) {
        // Whoever awaits it must not take it for a promise.
        if (typeof method === "symbol" || method === "then") return undefined;
        if (method === "getByName" && name === null) return (object: string) => methodsOf(url, binding, object);
        return async (...parameters: unknown[]) => {
          const body = pack({ binding, name, method, parameters });
          const answer = await fetch(url + PATH, { method: "POST", body });
          const { value, error } = unpack(await answer.text()) as { value?: unknown; error?: string };
          if (error !== undefined) throw new Error(error);
          return value;
        };
      },
    },
  );
}

/** Of the Worker at `url`. Objects are found by `getByName` only. */
export function bindingsOf(url: string): Env {
  return new Proxy({} as Env, {
    get: (_, binding) =>
      typeof binding === "symbol" || binding === "then" ? undefined : methodsOf(url, binding, null),
  });
}
