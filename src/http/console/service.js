// Whether the service answers. It is asked again and again while it does not, so that the page goes on by itself.

const EVERY = 2000;

/** A `fetch` that tells when the service is away, and when it is back. */
export function watched(tell) {
  let away = false;

  function note(now) {
    if (now === away) return;
    away = now;
    tell(away);
    if (away) setTimeout(look, EVERY);
  }

  async function look() {
    const { ok } = await fetch("/health/ready", { cache: "no-store" }).catch(() => ({ ok: false }));
    if (ok) note(false);
    else setTimeout(look, EVERY);
  }

  return async (input, init) => {
    try {
      const response = await fetch(input, init);
      // What a proxy says of it, or it says of its database.
      note([502, 503, 504].includes(response.status));
      return response;
    } catch (error) {
      note(true);
      throw error;
    }
  };
}
