import { useRef, useState } from "react";
import { Link } from "react-router";

import { count, counted, duration, moment } from "../ui/format";
import { NotLoaded } from "../ui/NotLoaded";
import type { KeptDocument } from "./api";
import { DeleteButton } from "./DeleteButton";

interface Props {
  /** Null as long as it is not known. */
  documents: KeptDocument[] | null;
  error: unknown;
  onDeleted(id: string): void;
}

export function History({ documents, error, onDeleted }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  const [said, setSaid] = useState("");

  function deleted({ id, title }: KeptDocument) {
    onDeleted(id);
    setSaid(`“${title}” is deleted.`);
    // The button that had the focus is gone.
    heading.current?.focus({ preventScroll: true });
  }

  return (
    <section className="card" aria-labelledby="history">
      <h2 id="history" ref={heading} tabIndex={-1}>
        History {documents && documents.length > 0 && <span className="number">{count(documents.length)}</span>}
      </h2>
      <p role="status" className="unseen">
        {said}
      </p>
      {error !== null && !documents && <NotLoaded error={error} />}
      {documents?.length === 0 && <p className="quiet">Nothing yet. What you analyse is kept here.</p>}
      {documents && documents.length > 0 && (
        <ul className="list">
          {documents.map((document) => (
            <li key={document.id}>
              <div>
                <Link to={`/documents/${document.id}`}>{document.title}</Link>
                <p className="quiet">
                  {counted(document.words, "word", "words")} · {duration(document.reading_seconds)} ·{" "}
                  {moment(document.created_at)}
                </p>
              </div>
              <DeleteButton document={document} onDeleted={() => deleted(document)} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
