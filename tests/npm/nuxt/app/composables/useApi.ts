// app/composables/useApi.ts
export function useApi() {
  const { token, refresh } = useAuth();
  return $fetch.create({
    retry: 1,
    retryStatusCodes: [401],
    onRequest({ options }) {
      options.headers.set("authorization", token.value ?? "");
    },
    async onResponseError({ response }) {
      if (response.status === 401) await refresh();
    },
  });
}
