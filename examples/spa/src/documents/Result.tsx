import { type ReactNode, useEffect, useRef } from "react";

import type { AnalysedDocument } from "./api";
import { Figures } from "./Figures";

interface Props {
  document: AnalysedDocument | null;
  children: ReactNode;
}

/** What the last analysis gave, read out when it comes. */
export function Result({ document, children }: Props) {
  const place = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a phone it is below what one sees.
    if (document) place.current?.scrollIntoView({ block: "nearest" });
  }, [document]);

  return (
    <section role="status" className="result" ref={place}>
      {document && (
        <div className="card">
          <h2>{document.title}</h2>
          <Figures {...document} />
          {children}
        </div>
      )}
    </section>
  );
}
