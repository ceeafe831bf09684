// The user's sessions, and what ends them.

import { during, onPress } from "./form.js";
import { device, endedBy, when } from "./words.js";

/** @param {(words: string, action: () => Promise<unknown>) => Promise<void>} leave does what ends this session too */
export function openSessions(client, leave) {
  const panel = document.querySelector("#sessions");
  const part = (name) => panel.querySelector(name);
  const output = part(".actions + output");

  async function list() {
    const { user } = client.state;
    const sessions = await client.sessions();
    // Somebody else may have signed in meanwhile.
    if (client.state.user?.id !== user?.id) return;
    const live = sessions.filter(({ ended_at }) => !ended_at).sort((one, other) => other.current - one.current);
    part("#live-sessions").replaceChildren(...live.map(row));
    const ended = sessions.filter(({ ended_at }) => ended_at);
    part("#ended-sessions").replaceChildren(...ended.map(row));
    part("#ended").hidden = ended.length === 0;
    part("#end-others").hidden = live.length < 2;
    // It was ended elsewhere. The service says why when it is asked for a token.
    if (ended.some(({ current }) => current)) await client.refresh();
  }

  const load = () => during(output, list);

  function row(session) {
    const { id, current, label, user_agent, ended_at } = session;
    const item = document.querySelector("#session-row").content.cloneNode(true);
    const name = label ?? device(user_agent);
    item.querySelector(".device").textContent = name;
    item.querySelector(".badge").hidden = !current;
    item.querySelector(".detail").textContent = details(session);
    item.querySelector(".agent").textContent = user_agent === name ? "" : user_agent;
    const button = item.querySelector("button");
    button.hidden = current || !!ended_at;
    button.setAttribute("aria-label", `End the session of ${name}`);
    onPress(button, output, async () => {
      await client.endSession(id);
      await load();
      // The button is gone, and with it the place of the focus.
      part("h2").focus();
      return `Ended: ${name}.`;
    });
    return item;
  }

  onPress(part("#end-others"), output, async () => {
    const ended = await client.logoutAll({ keep_current: true });
    await load();
    part("h2").focus();
    return `${ended} ended.`;
  });
  onPress(part("#end-all"), output, () => leave("You are signed out everywhere.", () => client.logoutAll()));

  return {
    load,
    end: () => panel.querySelectorAll(".rows").forEach((rows) => rows.replaceChildren()),
  };
}

function details({ ip_address, created_at, last_used_at, expires_at, ended_at, ended_by, ended_ip_address }) {
  const from = (address) => (address ? ` from ${address}` : "");
  const begun = `Signed in ${when(created_at)}${from(ip_address)}`;
  if (ended_at) return `${begun}. Ended ${when(ended_at)}${from(ended_ip_address)}: ${endedBy(ended_by)}.`;
  return `${begun}, last used ${when(last_used_at)}. Ends ${when(expires_at)} unless it is used.`;
}
