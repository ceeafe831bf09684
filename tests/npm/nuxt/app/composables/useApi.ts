// app/composables/useApi.ts
export function useApi() {
  const { token, refresh } = useAuth();
  return $fetch.create({
    retry: 1,
    retryStatusCodes: [401],
    onRequest({ options }) {
      options.headers.set("authorization", token.value ?? "");
    },
    async onResponseError({ options, response }) {
      const used = options.headers.get("authorization");
      if (response.status === 401 && used === (token.value ?? "")) await refresh();
    },
  });
}
