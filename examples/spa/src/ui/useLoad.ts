import { useEffect, useState } from "react";

import { isTemporary } from "./failures";

const FIRST_WAIT = 2000;
const LONGEST_WAIT = 15_000;

/**
 * What `load` gives. While nobody answers it asks again by itself, ever more seldom, and at once when the network is back.
 * `load` is called again when it is another function.
 */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>) {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<unknown>(null);

  useEffect(() => {
    const gone = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let wait = FIRST_WAIT;
    let waiting = false;

    async function ask() {
      waiting = false;
      try {
        const found = await load(gone.signal);
        if (gone.signal.aborted) return;
        setData(found);
        setError(null);
      } catch (failure) {
        if (gone.signal.aborted) return;
        setError(failure);
        if (!isTemporary(failure)) return;
        waiting = true;
        timer = setTimeout(ask, wait);
        wait = Math.min(wait * 2, LONGEST_WAIT);
      }
    }

    function hurry() {
      if (!waiting) return;
      clearTimeout(timer);
      void ask();
    }

    void ask();
    addEventListener("online", hurry, { signal: gone.signal });
    return () => {
      gone.abort();
      clearTimeout(timer);
    };
  }, [load]);

  return { data, error, setData };
}
