// What a device offers: whether it is looked at, time and chance.

export const hidden = () => globalThis.document?.visibilityState === "hidden";

/** @param {number} ms @param {(wake: () => void) => void} [offer] takes what ends the pause before its time */
export const pause = (ms, offer) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    offer?.(() => {
      clearTimeout(timer);
      resolve(undefined);
    });
  });

/** 192 bits nobody can guess. */
export const random = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(24)), (byte) => byte.toString(36).padStart(2, "0")).join("");
