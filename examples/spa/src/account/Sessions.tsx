import type { Session } from "@claviger/client";
import { useRef, useState } from "react";

import { client } from "../session/client";
import { endedBy } from "../session/why";
import { explain } from "../ui/failures";
import { counted, device, moment } from "../ui/format";
import { NotLoaded } from "../ui/NotLoaded";
import { useLoad } from "../ui/useLoad";

const list = () => client.sessions();

/** Where somebody is signed in, and how to end that. */
export function Sessions() {
  const { data, error, setData } = useLoad(list);
  const [said, setSaid] = useState("");
  const heading = useRef<HTMLHeadingElement>(null);

  /** Ends something, says so, and shows what is left. */
  async function end(what: () => Promise<string>) {
    setSaid("");
    try {
      setSaid(await what());
      setData(await list());
      // The button that had the focus may be gone.
      heading.current?.focus({ preventScroll: true });
    } catch (failure) {
      setSaid(explain(failure));
    }
  }

  const endOne = (session: Session) =>
    end(async () => {
      await client.endSession(session.id);
      return `${name(session)} is signed out.`;
    });
  const endOthers = () =>
    end(async () => `${counted(await client.logoutAll({ keep_current: true }), "session", "sessions")} ended.`);

  const live = data?.filter((session) => !session.ended_at) ?? [];
  const ended = data?.filter((session) => session.ended_at) ?? [];
  return (
    <section className="card" aria-labelledby="sessions">
      <h2 id="sessions" ref={heading} tabIndex={-1}>
        Where you are signed in
      </h2>
      <p role="status" className="said">
        {said}
      </p>
      {error !== null && !data && <NotLoaded error={error} />}
      <ul className="list">
        {live.map((session) => (
          <li key={session.id}>
            <div>
              <strong>{name(session)}</strong> {session.current && <span className="badge">this device</span>}
              <p className="quiet">
                {session.ip_address} · used {moment(session.last_used_at)}
              </p>
            </div>
            {!session.current && (
              <button type="button" onClick={() => void endOne(session)}>
                Sign out <span className="unseen">{`${name(session)}, used ${moment(session.last_used_at)}`}</span>
              </button>
            )}
          </li>
        ))}
      </ul>
      {live.length > 2 && (
        <button type="button" onClick={() => void endOthers()}>
          Sign out everywhere else
        </button>
      )}
      {ended.length > 0 && <Ended sessions={ended} />}
    </section>
  );
}

function Ended({ sessions }: { sessions: Session[] }) {
  return (
    <details>
      <summary>Ended in the last days</summary>
      <ul className="list">
        {sessions.map((session) => (
          <li key={session.id}>
            <div>
              {name(session)}
              <p className="quiet">
                {endedBy[session.ended_by ?? ""] ?? "ended"} {session.ended_at && moment(session.ended_at)}
              </p>
            </div>
          </li>
        ))}
      </ul>
    </details>
  );
}

const name = ({ label, user_agent }: Session) => label ?? device(user_agent);
