import { ClavigerError } from "@claviger/client";
import { type MouseEvent, useRef, useState } from "react";

import { explain } from "../ui/failures";
import { deleteDocument, type KeptDocument } from "./api";

interface Props {
  document: KeptDocument;
  onDeleted(): void;
}

/** Asks once more, in the same place. Escape is no. */
export function DeleteButton({ document, onDeleted }: Props) {
  const [state, setState] = useState<"idle" | "asking" | "deleting">("idle");
  const [failed, setFailed] = useState<string | null>(null);
  const button = useRef<HTMLButtonElement>(null);

  function press({ detail }: MouseEvent) {
    // The second half of a double click answers nothing.
    if (detail > 1) return;
    setFailed(null);
    if (state === "idle") setState("asking");
    if (state === "asking") void go();
  }

  async function go() {
    setState("deleting");
    try {
      await deleteDocument(document.id);
      onDeleted();
    } catch (error) {
      // Another tab was faster.
      if (error instanceof ClavigerError && error.status === 404) return onDeleted();
      setFailed(explain(error));
      setState("idle");
    }
  }

  function keep() {
    setState("idle");
    button.current?.focus();
  }

  const label = { idle: "Delete", asking: "Delete for good", deleting: "Deleting…" }[state];
  return (
    <div className="actions" onKeyDown={({ key }) => key === "Escape" && state === "asking" && keep()}>
      {/* One button for all of it, so that the focus stays. */}
      <button
        type="button"
        className={state === "idle" ? "quiet" : "danger"}
        ref={button}
        aria-disabled={state === "deleting"}
        onClick={press}
      >
        {label} <span className="unseen">“{document.title}”</span>
      </button>
      {state === "asking" && (
        <button type="button" className="quiet" onClick={keep}>
          Keep <span className="unseen">“{document.title}”</span>
        </button>
      )}
      <span role="status" className="unseen">
        {state === "asking" && `Press again to delete “${document.title}” for good. Escape keeps it.`}
      </span>
      {failed && (
        <p className="error" role="alert">
          {failed}
        </p>
      )}
    </div>
  );
}
