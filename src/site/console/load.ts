/** Reading for a page: what is shown stays while it is read again, and an error is shown with it. */
import { useCallback, useEffect, useRef, useState } from "hono/jsx/dom";
import { ApiError, SESSION_BACK } from "./api.ts";

export interface Loaded<T> {
  readonly data: T | null;
  readonly error: ApiError | null;
  readonly isLoading: boolean;
  /** When `data` came, epoch ms. */
  readonly at: number | null;
  readonly reload: () => void;
}

const asApiError = (error: unknown): ApiError =>
  error instanceof ApiError ? error : new ApiError(0, { message: error instanceof Error ? error.message : "Failed." });

/**
 * Reads when `key` changes, when `reload` is called, and every `everyMs` while the page is visible. An answer that a
 * newer question has overtaken is dropped.
 */
export function useLoad<T>(key: string, read: () => Promise<T>, everyMs = 0): Loaded<T> {
  const [state, setState] = useState<{ key: string; data: T | null; error: ApiError | null; at: number | null }>({
    key: "",
    data: null,
    error: null,
    at: null,
  });
  const [asked, setAsked] = useState(0);
  const [isLoading, setLoading] = useState(true);
  const newest = useRef(0);
  const reload = useCallback(() => setAsked((count) => count + 1), []);
  useEffect(() => {
    const mine = (newest.current ?? 0) + 1;
    newest.current = mine;
    setLoading(true);
    read().then(
      (data) => {
        if (newest.current !== mine) return;
        setState({ key, data, error: null, at: Date.now() });
        setLoading(false);
      },
      (error: unknown) => {
        if (newest.current !== mine) return;
        setState((before) => ({ ...before, key, error: asApiError(error) }));
        setLoading(false);
      },
    );
  }, [key, asked]);
  useEffect(() => {
    addEventListener(SESSION_BACK, reload);
    return () => removeEventListener(SESSION_BACK, reload);
  }, []);
  useEffect(() => {
    if (everyMs === 0) return;
    const timer = setInterval(() => {
      if (!document.hidden) reload();
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  // Data of another question is not this question's: a page shows it as loading.
  const data = state.key === key || state.key === "" ? state.data : null;
  return { data, error: state.key === key ? state.error : null, isLoading, at: state.at, reload };
}

export interface Acting {
  readonly isBusy: boolean;
  readonly error: ApiError | null;
  /** Runs `act` unless one is under way; true where it succeeded. */
  readonly run: (act: () => Promise<unknown>) => Promise<boolean>;
  readonly clear: () => void;
}

/** A change: one at a time, and its refusal is kept until the next try. */
export function useAct(): Acting {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  // What a render saw is old by the time somebody clicks, so what counts is kept in parallel with it.
  const isRunning = useRef(false);
  const run = async (act: () => Promise<unknown>): Promise<boolean> => {
    if (isRunning.current === true) return false;
    isRunning.current = true;
    setBusy(true);
    setError(null);
    try {
      await act();
      return true;
    } catch (failure) {
      setError(asApiError(failure));
      return false;
    } finally {
      isRunning.current = false;
      setBusy(false);
    }
  };
  return { isBusy, error, run, clear: () => setError(null) };
}
