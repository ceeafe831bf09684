/** The settings, with their defaults: vite.config.ts. */
interface ImportMetaEnv {
  readonly VITE_AUTH_URL: string;
  readonly VITE_API_URL: string;
  readonly VITE_STORAGE: "cookie" | "localStorage";
}
