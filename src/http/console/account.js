// The user: who they are, their password, and their data.

import { onSubmit } from "./form.js";
import { when } from "./words.js";

/**
 * @param {() => Promise<void>} changed shows what follows from it elsewhere on the page
 * @param {(words: string, action: () => Promise<unknown>) => Promise<void>} leave
 */
export function openAccount(client, changed, leave) {
  onSubmit("#name", async ({ full_name }) => {
    await client.updateMe({ full_name: full_name || null });
    return "Saved.";
  });
  onSubmit("#verification", async () => {
    await client.requestEmailVerification();
    return "Look into your mail.";
  });
  onSubmit("#change-password", async (values, form) => {
    const ended = await client.changePassword(values);
    form.reset();
    await changed();
    return ended === 1 ? "Changed. One other session was ended." : `Changed. ${ended} other sessions were ended.`;
  });
  onSubmit("#export", async () => {
    const copy = await client.call("POST", "/api/auth/me/export");
    const url = URL.createObjectURL(new Blob([JSON.stringify(copy, null, 2)], { type: "application/json" }));
    Object.assign(document.createElement("a"), { href: url, download: "claviger-export.json" }).click();
    URL.revokeObjectURL(url);
    await changed();
    return "Downloaded.";
  });
  onSubmit("#delete", (values) => leave("The account is deleted.", () => client.deleteMe(values)));

  let shown = null;
  return {
    /** Shows the user everywhere where the page names them; nobody leaves nothing behind. */
    show(user) {
      // What is being typed stays.
      if (user === shown) return;
      shown = user;
      const facts = {
        email: user?.email,
        name: user?.full_name ?? user?.email,
        verified: user && (user.email_verified ? "verified" : "not verified"),
        role: user?.role,
        created: user && when(user.created_at),
        login: user?.last_login_at && when(user.last_login_at),
        id: user?.id,
      };
      for (const place of document.querySelectorAll("[data-user]")) {
        const text = facts[place.dataset.user] ?? "";
        if (place instanceof HTMLInputElement) place.value = text;
        else place.textContent = text;
      }
      document.querySelector("#full-name").value = user?.full_name ?? "";
      document.querySelector("#verification").hidden = user?.email_verified ?? true;
    },
  };
}
