import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { Link } from "react-router";

/** Leads to a page, or does something. */
export type MenuItem = { label: string } & ({ to: string } | { choose(): void });

interface Props {
  /** What the button shows. */
  children: ReactNode;
  /** Above the items, for the eye. */
  caption: ReactNode;
  items: MenuItem[];
}

/** The menu button of the ARIA Authoring Practices: arrows, Home and End walk, Escape and Tab close. */
export function Menu({ children, caption, items }: Props) {
  const id = useId();
  const whole = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLUListElement>(null);
  /** The item that has the focus; null while it is closed. */
  const [active, setActive] = useState<number | null>(null);
  const open = active !== null;

  useEffect(() => {
    if (active !== null) list.current?.querySelectorAll<HTMLElement>("[role=menuitem]")[active]?.focus();
  }, [active]);

  useEffect(() => {
    if (!open) return;
    const outside = ({ target }: Event) => {
      if (target instanceof Node && !whole.current?.contains(target)) setActive(null);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);

  function close() {
    setActive(null);
    button.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent) {
    const last = items.length - 1;
    const steps: Record<string, () => void> = {
      ArrowDown: () => setActive(active === null || active === last ? 0 : active + 1),
      ArrowUp: () => setActive(active === null || active === 0 ? last : active - 1),
      ...(open && {
        Home: () => setActive(0),
        End: () => setActive(last),
        Escape: close,
        // Of a link too, which by itself knows Enter alone.
        " ": () => event.target instanceof HTMLElement && event.target.click(),
      }),
    };
    const step = steps[event.key];
    if (step) {
      event.preventDefault();
      step();
    } else if (event.key === "Tab" && open) {
      // From the button, so that the next stop is what comes after the menu.
      close();
    }
  }

  return (
    <div className="menu" ref={whole} onKeyDown={onKeyDown}>
      <button
        type="button"
        ref={button}
        id={`${id}-button`}
        className="menu-button"
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? `${id}-menu` : undefined}
        onClick={() => (open ? close() : setActive(0))}
      >
        {children}
      </button>
      {open && (
        <div className="menu-sheet">
          <p className="menu-caption">{caption}</p>
          <ul role="menu" ref={list} id={`${id}-menu`} aria-labelledby={`${id}-button`}>
            {items.map((item) => (
              <li role="none" key={item.label}>
                <Item item={item} onChosen={close} />
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}

function Item({ item, onChosen }: { item: MenuItem; onChosen(): void }) {
  if ("to" in item) {
    return (
      <Link role="menuitem" tabIndex={-1} to={item.to} onClick={onChosen}>
        {item.label}
      </Link>
    );
  }
  const { choose } = item;
  return (
    <button
      type="button"
      role="menuitem"
      tabIndex={-1}
      onClick={() => {
        onChosen();
        choose();
      }}
    >
      {item.label}
    </button>
  );
}
