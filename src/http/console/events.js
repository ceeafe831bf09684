// What happened to the account, in parts, newest first.

import { during, onPress } from "./form.js";
import { device, event as words, when } from "./words.js";

const PART = 10;

export function openEvents(client) {
  const panel = document.querySelector("#events");
  const [rows, older, output] = ["#event-rows", "#older", "output"].map((name) => panel.querySelector(name));
  let next = null;

  async function part(before) {
    const { user } = client.state;
    const answer = await client.events({ limit: PART, ...(before && { before }) });
    // Somebody else may have signed in meanwhile.
    if (client.state.user?.id !== user?.id) return [];
    next = answer.next;
    older.hidden = !next;
    return answer.events.map(row);
  }

  onPress(older, output, async () => {
    const more = await part(next);
    const [first] = more.map((item) => item.firstElementChild);
    rows.append(...more);
    // Reading goes on where it stopped.
    first?.setAttribute("tabindex", "-1");
    first?.focus();
    return next ? "" : "That is all.";
  });

  return {
    load: () => during(output, async () => rows.replaceChildren(...(await part()))),
    end: () => rows.replaceChildren(),
  };
}

function row(event) {
  const { occurred_at, outcome, ip_address, user_agent, actor_id } = event;
  const item = document.querySelector("#event-row").content.cloneNode(true);
  item.querySelector("li").dataset.outcome = outcome;
  item.querySelector(".what").textContent = words(event);
  const by = actor_id ? "by an administrator" : user_agent && device(user_agent);
  item.querySelector(".detail").textContent = [when(occurred_at), ip_address, by].filter(Boolean).join(" · ");
  return item;
}
