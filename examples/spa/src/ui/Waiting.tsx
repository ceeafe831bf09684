import { useLasting } from "./useLasting";

/** In place of a page of which nobody knows yet whether it is the right one. Empty, unless that takes long. */
export function Waiting() {
  const long = useLasting(true, 600);
  return (
    <main className="page">
      <title>Tally</title>
      <p className="quiet">{long && "One moment…"}</p>
    </main>
  );
}
