import { Link, Outlet, ScrollRestoration } from "react-router";

import { type Theme, usePreferences } from "../kept";
import { Account } from "./Account";
import { News } from "./News";

export function Layout() {
  return (
    <>
      <a className="skip" href="#content">
        Skip to content
      </a>
      <header className="top">
        <div className="row">
          <Link to="/" className="brand">
            <img src="/icon.svg" alt="" width="28" height="28" />
            Tally
          </Link>
          <Account />
        </div>
      </header>
      <News />
      <div id="content" tabIndex={-1}>
        <Outlet />
      </div>
      <footer className="bottom">
        <div className="row">
          <p>An example of claviger</p>
          <ThemeChoice />
        </div>
      </footer>
      <ScrollRestoration />
    </>
  );
}

function ThemeChoice() {
  const theme = usePreferences((preferences) => preferences.theme);
  return (
    <label className="inline">
      Colours
      <select value={theme} onChange={({ target }) => usePreferences.setState({ theme: target.value as Theme })}>
        <option value="system">automatic</option>
        <option value="light">light</option>
        <option value="dark">dark</option>
      </select>
    </label>
  );
}
