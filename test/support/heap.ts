/** The heap of a running isolate, by the debugger's protocol. https://chromedevtools.github.io/devtools-protocol/ */
import type { TestWorker } from "./worker.ts";

export interface HeapGauge {
  /** Bytes of V8's heap and of buffers outside of it that are in use after a full collection. */
  usedBytes(): Promise<number>;
  /** The same without a collection, at once. */
  nowBytes(): Promise<number>;
  close(): void;
}

interface HeapUsage {
  readonly usedSize: number;
  readonly backingStorageSize?: number;
}

/** `worker` was started with `inspect`. */
export async function openHeapGauge(worker: TestWorker): Promise<HeapGauge> {
  const url = await worker.inspector();
  const targets = (await (await fetch(new URL("/json", url.href.replace(/^ws/, "http")))).json()) as {
    readonly webSocketDebuggerUrl?: string;
  }[];
  const address = targets.map(({ webSocketDebuggerUrl }) => webSocketDebuggerUrl).find((each) => each !== undefined);
  const socket = new WebSocket(address ?? url.href);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("error", reject, { once: true });
  });
  const waiting = new Map<number, (result: unknown) => void>();
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id?: number; result?: unknown };
    if (id !== undefined) waiting.get(id)?.(result);
  });
  let last = 0;
  const call = <T>(method: string): Promise<T> =>
    new Promise((resolve) => {
      const id = ++last;
      waiting.set(id, (result) => {
        waiting.delete(id);
        resolve(result as T);
      });
      socket.send(JSON.stringify({ id, method }));
    });
  const nowBytes = async (): Promise<number> => {
    const { usedSize, backingStorageSize = 0 } = await call<HeapUsage>("Runtime.getHeapUsage");
    return usedSize + backingStorageSize;
  };
  return {
    nowBytes,
    async usedBytes() {
      await call("HeapProfiler.collectGarbage");
      return nowBytes();
    },
    close: () => socket.close(),
  };
}
