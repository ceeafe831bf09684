import { type ReactNode, useEffect, useRef } from "react";
import { useLocation } from "react-router";

interface Props {
  title: string;
  /** For a form alone, which is hard to read when it is wide. */
  narrow?: boolean;
  intro?: ReactNode;
  children?: ReactNode;
}

/** A page with its title. Whoever comes from another page hears its heading, and goes on from there. */
export function Page({ title, narrow = false, intro, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  const { key } = useLocation();
  useEffect(() => {
    // Only the page that was loaded first has this key: there browsers begin at the top by themselves.
    if (key !== "default") heading.current?.focus({ preventScroll: true });
  }, [key]);
  return (
    <main className={narrow ? "page narrow" : "page"}>
      <title>{`${title} · Tally`}</title>
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {intro && <p className="intro">{intro}</p>}
      {children}
    </main>
  );
}
