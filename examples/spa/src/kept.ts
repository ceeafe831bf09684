// What this page itself stores on the device. Never a token, nor who is signed in: that is the client's business alone.

import { create } from "zustand";
import { createJSONStorage, persist } from "zustand/middleware";

export type Theme = "system" | "light" | "dark";

interface Preferences {
  theme: Theme;
  /** The address that signed in last, so that it need not be typed again when a session has run out. */
  lastEmail: string;
}

export const usePreferences = create<Preferences>()(
  persist((): Preferences => ({ theme: "system", lastEmail: "" }), { name: "tally.preferences", version: 1 }),
);

usePreferences.subscribe(({ theme }) => {
  document.documentElement.dataset.theme = theme;
});

interface Draft {
  title: string;
  text: string;
  /** The id of who wrote it, if somebody was signed in. */
  author: string | null;
}

const EMPTY: Draft = { title: "", text: "", author: null };

/** In the storage of the tab, which ends with it: a draft outlives a reload or a session that ran out, not the day. */
export const useDraft = create<Draft>()(
  persist((): Draft => EMPTY, {
    name: "tally.draft",
    version: 1,
    storage: createJSONStorage(() => sessionStorage),
  }),
);

export const clearDraft = () => useDraft.setState(EMPTY);
