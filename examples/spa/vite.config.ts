import react from "@vitejs/plugin-react";
import { defineConfig, loadEnv, type Plugin } from "vite";

/** What the built page may load and call: itself, the two servers, and nothing else. */
const policy = (...servers: string[]): Plugin => ({
  name: "content-security-policy",
  // The development server puts scripts of its own into the page.
  apply: "build",
  transformIndexHtml: () => [
    {
      tag: "meta",
      injectTo: "head-prepend",
      attrs: {
        "http-equiv": "Content-Security-Policy",
        content: [
          "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'",
          `connect-src ${servers.join(" ")}`,
        ].join("; "),
      },
    },
  ],
});

export default defineConfig(({ mode }) => {
  const {
    VITE_AUTH_URL = "http://localhost:8080",
    VITE_API_URL = "http://localhost:9000",
    VITE_STORAGE = "cookie",
  } = loadEnv(mode, ".");
  if (!["cookie", "localStorage"].includes(VITE_STORAGE)) {
    throw new Error(`VITE_STORAGE is ${VITE_STORAGE}, and must be cookie or localStorage`);
  }
  const settings = { VITE_AUTH_URL, VITE_API_URL, VITE_STORAGE };
  return {
    plugins: [react(), policy(new URL(VITE_AUTH_URL).origin, new URL(VITE_API_URL).origin)],
    define: Object.fromEntries(
      Object.entries(settings).map(([name, value]) => [`import.meta.env.${name}`, JSON.stringify(value)]),
    ),
    server: {
      // The service allows this port in development, so another one would not do.
      strictPort: true,
      fs: { allow: [".", "../../clients/web"] },
    },
  };
});
