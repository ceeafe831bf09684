// The colours that were chosen, as src/kept.ts stores them. A script of the page itself would come after the first paint.
try {
  document.documentElement.dataset.theme = JSON.parse(localStorage.getItem("tally.preferences")).state.theme;
} catch {
  // Nothing was chosen, or nothing may be stored: then the device decides.
}
