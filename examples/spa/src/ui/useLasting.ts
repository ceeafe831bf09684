import { useEffect, useState } from "react";

/** Whether something has been so for a while, in milliseconds. What passes quickly is not worth a word. */
export function useLasting(now: boolean, after: number): boolean {
  const [lasting, setLasting] = useState(false);
  useEffect(() => {
    if (!now) return;
    const timer = setTimeout(() => setLasting(true), after);
    return () => {
      clearTimeout(timer);
      setLasting(false);
    };
  }, [now, after]);
  return lasting;
}
