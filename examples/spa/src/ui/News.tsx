// What everybody should know whatever page they are on: why they were signed out, and that the service is away.

import { Link, useLocation } from "react-router";

import { dismissNews, useSession } from "../session/store";
import { why } from "../session/why";
import { useLasting } from "./useLasting";

/** How long nobody may answer before that is said, in milliseconds. */
const PATIENCE = 4000;

export function News() {
  const news = useSession((session) => session.news);
  const away = useLasting(useSession((session) => session.status) === "unknown", PATIENCE);
  const onLogin = useLocation().pathname === "/login";

  // The region is always there: what appears in it is read out.
  return (
    <div className="news" role="status">
      {away && (
        <div className="notice">
          <p>
            <strong>The sign-in service is not answering.</strong> If you were signed in, you still are. This page goes
            on by itself as soon as it is back.
          </p>
        </div>
      )}
      {news && !away && (
        <div className="notice">
          <p>
            {news === "left" ? (
              <strong>You have signed out.</strong>
            ) : (
              <>
                <strong>You were signed out.</strong> {why(news)}
              </>
            )}{" "}
            {news !== "left" && !onLogin && <Link to="/login">Sign in again</Link>}
          </p>
          <button type="button" className="close" onClick={dismissNews}>
            <span className="unseen">Close this message</span>
            <span aria-hidden="true">×</span>
          </button>
        </div>
      )}
    </div>
  );
}
