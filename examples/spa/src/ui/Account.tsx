// The corner of the header that says who is signed in.

import type { User } from "@claviger/client";
import { useState } from "react";
import { Link, useLocation } from "react-router";

import { client } from "../session/client";
import { useSession } from "../session/store";
import { Menu } from "./Menu";

export function Account() {
  const status = useSession((session) => session.status);
  const user = useSession((session) => session.user);
  // As high as what will be there, so that nothing jumps when it is known.
  if (status === "unknown") return <div className="account" />;
  return <div className="account">{status === "signed-in" ? <UserMenu user={user} /> : <GuestLinks />}</div>;
}

function GuestLinks() {
  const { state } = useLocation();
  return (
    <nav aria-label="Account">
      <Link to="/login" state={state} className="plain">
        Sign in
      </Link>
      <Link to="/register" state={state} className="button">
        Register
      </Link>
    </nav>
  );
}

function UserMenu({ user }: { user: User | null }) {
  const [stuck, setStuck] = useState(false);
  // The client may know that somebody is signed in before it knows who.
  const name = user?.full_name || user?.email || "Signed in";

  async function signOut() {
    setStuck(false);
    try {
      await client.logout();
    } catch {
      setStuck(true);
    }
  }

  const items = [
    { label: "Documents", to: "/" },
    { label: "Account", to: "/account" },
    { label: "Sign out", choose: () => void signOut() },
  ];
  return (
    <>
      <Menu caption={<>Signed in as {user?.email ?? "…"}</>} items={items}>
        <span className="initial" aria-hidden="true">
          {[...name][0]?.toUpperCase()}
        </span>
        <span className="name">{name}</span>
        <span className="chevron" aria-hidden="true" />
      </Menu>
      {stuck && (
        <p className="error pinned" role="alert">
          You are still signed in: the service is not answering. Try again in a moment.
        </p>
      )}
    </>
  );
}
