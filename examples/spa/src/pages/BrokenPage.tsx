import { Page } from "../ui/Page";

/** When a page fails to draw, which is a bug. */
export function BrokenPage() {
  return (
    <Page title="This page is broken" narrow intro="That is our fault. Loading it again may help.">
      <a href="/">Start again</a>
    </Page>
  );
}
