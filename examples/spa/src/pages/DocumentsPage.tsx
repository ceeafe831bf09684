import { useCallback, useState } from "react";
import { Link } from "react-router";

import { type AnalysedDocument, type KeptDocument, listDocuments } from "../documents/api";
import { Composer } from "../documents/Composer";
import { History } from "../documents/History";
import { Result } from "../documents/Result";
import { useSession } from "../session/store";
import { Page } from "../ui/Page";
import { useLoad } from "../ui/useLoad";

/** For everybody. Who is signed in has a history besides. */
export function DocumentsPage() {
  const status = useSession((session) => session.status);
  const userId = useSession((session) => session.user?.id);
  return (
    <Page title="What does your text weigh?" intro="Paste a text to see how long it is, and how long it takes to read.">
      {status === "signed-in" ? <ForMembers key={userId} /> : <ForEverybody known={status === "signed-out"} />}
    </Page>
  );
}

function ForEverybody({ known }: { known: boolean }) {
  const [result, setResult] = useState<AnalysedDocument | null>(null);
  return (
    <div className="columns">
      <Composer onAnalysed={setResult} />
      <div>
        <Result document={result}>{known && <p className="quiet">Not kept.</p>}</Result>
        {known && (
          <section className="card" aria-labelledby="history">
            <h2 id="history">History</h2>
            <p className="quiet">
              <Link to="/login">Sign in</Link> or <Link to="/register">register</Link>, and what you analyse is kept
              here. What you have written stays in the form meanwhile.
            </p>
          </section>
        )}
      </div>
    </div>
  );
}

function ForMembers() {
  const [result, setResult] = useState<KeptDocument | null>(null);
  const { data, error, setData } = useLoad(listDocuments);

  const add = useCallback(
    (document: AnalysedDocument) => {
      if (!document.id) return;
      const kept = { ...document, id: document.id };
      setResult(kept);
      setData((documents) => documents && [kept, ...documents]);
    },
    [setData],
  );
  const remove = useCallback(
    (id: string) => {
      setData((documents) => documents && documents.filter((document) => document.id !== id));
      setResult((shown) => (shown?.id === id ? null : shown));
    },
    [setData],
  );

  return (
    <div className="columns">
      <Composer onAnalysed={add} />
      <div>
        <Result document={result}>{result && <p className="quiet">Kept in your history.</p>}</Result>
        <History documents={data} error={error} onDeleted={remove} />
      </div>
    </div>
  );
}
