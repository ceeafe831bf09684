import { explain, isTemporary } from "./failures";

/** In place of something that could not be loaded. */
export function NotLoaded({ error }: { error: unknown }) {
  return (
    <p className="notice" role="status">
      {isTemporary(error) ? "The service is not answering. This page asks again by itself." : explain(error)}
    </p>
  );
}
