import { Link } from "react-router";

import { Page } from "../ui/Page";

export function NotFoundPage() {
  return (
    <Page title="There is no such page" narrow intro="The address may be mistyped, or the page is gone.">
      <Link to="/">To the documents</Link>
    </Page>
  );
}
