// Which pages are for whom. As long as nobody knows, neither is drawn.

import { useState } from "react";
import { Navigate, Outlet, useLocation } from "react-router";

import { Waiting } from "../ui/Waiting";
import { useSession } from "./store";

/** For who is signed in. Others sign in first and come back. */
export function Members() {
  const status = useSession((session) => session.status);
  const userId = useSession((session) => session.user?.id);
  const left = useSession((session) => session.news === "left");
  const [leftBefore] = useState(left);
  const { pathname, search } = useLocation();

  if (status === "unknown") return <Waiting />;
  // The key: nothing that one person has seen stays for the next.
  if (status === "signed-in") return <Outlet key={userId} />;
  // Whoever leaves does not want to come back to this page; the next may be somebody else.
  const from = left && !leftBefore ? null : pathname + search;
  return <Navigate to="/login" state={{ from }} replace />;
}

/** For who is not. */
export function Guests() {
  const status = useSession((session) => session.status);
  const { state } = useLocation();

  if (status === "unknown") return <Waiting />;
  if (status === "signed-out") return <Outlet />;
  return <Navigate to={wanted(state)} replace />;
}

/** The page that somebody wanted before they had to sign in. A second slash would make it an address of another site. */
const wanted = (state: { from?: string | null } | null) => (state?.from ?? "/").replace(/^\/+/, "/");
