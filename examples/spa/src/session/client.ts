// The one client of the page. It keeps the tokens, refreshes, repeats calls and talks to other tabs: nothing here does that again.

import { createClient } from "@claviger/client";

const { VITE_AUTH_URL, VITE_API_URL, VITE_STORAGE } = import.meta.env;

export const API_URL = VITE_API_URL.replace(/\/+$/, "");

export const client = createClient({ baseUrl: VITE_AUTH_URL, apis: [API_URL], storage: VITE_STORAGE });
