// nuxt.config.ts
export default defineNuxtConfig({
  modules: ["@sidebase/nuxt-auth"],
  auth: {
    baseURL: "https://auth.example.com/api/auth",
    provider: {
      type: "local",
      endpoints: { getSession: { path: "/me" } },
      token: { signInResponseTokenPointer: "/access_token", secureCookieAttribute: true },
      refresh: {
        isEnabled: true,
        refreshOnlyToken: false,
        token: {
          signInResponseRefreshTokenPointer: "/refresh_token",
          refreshRequestTokenPointer: "/refresh_token",
          secureCookieAttribute: true,
        },
      },
    },
  },
});
