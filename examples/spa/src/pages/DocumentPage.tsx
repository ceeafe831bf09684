import { ClavigerError } from "@claviger/client";
import { useCallback } from "react";
import { Link, useNavigate, useParams } from "react-router";

import { getDocument } from "../documents/api";
import { DeleteButton } from "../documents/DeleteButton";
import { Figures } from "../documents/Figures";
import { moment } from "../ui/format";
import { NotLoaded } from "../ui/NotLoaded";
import { Page } from "../ui/Page";
import { useLoad } from "../ui/useLoad";

export function DocumentPage() {
  const { id = "" } = useParams();
  const navigate = useNavigate();
  const load = useCallback((signal: AbortSignal) => getDocument(id, signal), [id]);
  const { data, error } = useLoad(load);
  const back = <Link to="/">All documents</Link>;

  if (error instanceof ClavigerError && error.status === 403) {
    return (
      <Page title="Not your document" narrow intro="This document belongs to somebody else, who alone can see it.">
        {back}
      </Page>
    );
  }
  if (error instanceof ClavigerError && error.status === 404) {
    return (
      <Page title="There is no such document" narrow intro="It may have been deleted.">
        {back}
      </Page>
    );
  }
  if (!data) return <Page title="Document" narrow>{error !== null && <NotLoaded error={error} />}</Page>;
  return (
    <Page title={data.title} narrow intro={`Analysed ${moment(data.created_at)}`}>
      <div className="card">
        <Figures {...data} />
      </div>
      <div className="beside split">
        {back}
        <DeleteButton document={data} onDeleted={() => void navigate("/")} />
      </div>
    </Page>
  );
}
