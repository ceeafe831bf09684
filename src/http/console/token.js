// The access token: what it says, and when the client will have the next one.

import { onPress } from "./form.js";
import { CLAIMS, duration, tokenTime } from "./words.js";

const TIMES = ["iat", "exp", "auth_time"];

export function openToken(client) {
  const panel = document.querySelector("#token");
  const part = (name) => panel.querySelector(name);
  const [text, show, ring] = [part("#token-text"), part("#token-show"), part(".left")];
  /** Seconds to the refresh when the token was new, and at the last look. */
  let [whole, left] = [0, 0];

  async function tick() {
    const now = client.refreshIn();
    if (now === null) return;
    // Only a new token sets it back. Its text is asked for then, and not each second: that could send a refresh.
    if (now > left || !text.textContent) {
      whole = now;
      const token = await client.accessToken();
      if (token) draw(token);
    }
    left = now;
    part("#refresh-in").textContent = left > 0 ? duration(left) : "a moment";
    ring.setAttribute("stroke-dashoffset", `${whole ? 100 - (100 * left) / whole : 100}`);
  }

  function draw(token) {
    const [header, claims] = token.split(".").slice(0, 2).map(decode);
    list(part("#token-header"), header);
    list(part("#token-claims"), claims);
    text.textContent = token;
  }

  onPress(part("#refresh"), part("output"), async () => {
    await client.refresh();
    return "Here is a new one.";
  });
  onPress(part("#token-copy"), part("output"), async () => {
    await navigator.clipboard.writeText(text.textContent);
    return "Copied. Whoever has it can act as you until it ends.";
  });
  show.addEventListener("click", () => {
    text.hidden = !text.hidden;
    show.ariaExpanded = `${!text.hidden}`;
    show.textContent = text.hidden ? "Show its text" : "Hide its text";
  });

  let timer;
  return {
    begin() {
      timer ??= setInterval(tick, 1000);
      void tick();
    },
    /** Leaves nothing of it on the page. */
    end() {
      clearInterval(timer);
      timer = undefined;
      text.textContent = "";
      if (!text.hidden) show.click();
      for (const claims of panel.querySelectorAll(".claims")) claims.replaceChildren();
    },
  };
}

/** A part of a token: JSON in UTF-8 in base64url. Read, and not verified: that is for those who rely on it. */
function decode(part) {
  const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

function list(place, claims) {
  const rows = Object.entries(claims).map(([name, value]) => {
    const [row, term, said] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name;
    said.textContent = typeof value === "string" ? value : JSON.stringify(value);
    const meaning = [CLAIMS[name], TIMES.includes(name) && tokenTime(value)].filter(Boolean).join(" ");
    const note = document.createElement("span");
    note.className = "small";
    note.textContent = meaning;
    said.append(" ", note);
    row.append(term, said);
    return row;
  });
  place.replaceChildren(...rows);
}
