// Forms and buttons: one request at a time, and what went wrong is said beside what it is about.

import { ClavigerError } from "./claviger/claviger.js";
import { whyFailed } from "./words.js";

/** Does `action` when the form is sent, with what its fields hold, and says what that returns. */
export function onSubmit(selector, action) {
  const form = document.querySelector(selector);
  form.querySelectorAll("[type=password]").forEach(addReveal);
  form.addEventListener("input", ({ target }) => unmark(target));
  form.addEventListener("submit", (event) => {
    // The page has no address to send a form to.
    event.preventDefault();
    for (const field of form.elements) unmark(field);
    void perform(form, form.querySelector("output"), () => action(values(form), form), (error) => mark(form, error));
  });
}

/** Does `action` when the button is pressed, and says what that returns in the output after it. */
export function onPress(button, output, action) {
  button.addEventListener("click", () => void perform(button, output, action));
}

/** @param {(error: ClavigerError) => boolean} [explain] whether it said all there is to say */
async function perform(place, output, action, explain = () => false) {
  // Not `disabled`, which would take the focus away.
  if (place.ariaBusy === "true") return;
  place.ariaBusy = "true";
  say(output, "");
  try {
    say(output, (await action()) ?? "");
  } catch (error) {
    if (!(error instanceof ClavigerError)) reportError(error);
    if (!explain(error)) say(output, whyFailed(error), "failed");
  } finally {
    place.ariaBusy = "false";
  }
}

/** Does what nobody pressed a button for, and says only what goes wrong. */
export async function during(output, action) {
  say(output, "");
  try {
    await action();
  } catch (error) {
    say(output, whyFailed(error), "failed");
  }
}

export function say(output, text, how = "done") {
  output.textContent = text;
  output.dataset.how = how;
}

function values(form) {
  const fields = [...form.elements].filter(({ name, hidden }) => name && !hidden);
  return Object.fromEntries(fields.map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]));
}

/** The rules that the service says are broken, by field. */
function broken({ code, fields = [] }, form) {
  if (code === "email_taken") return [{ field: "email", message: "has an account already" }];
  // Where somebody signed in gives a password, it is the only thing that can be wrong.
  if (code === "invalid_credentials" && form.dataset.proof) return [{ field: form.dataset.proof, message: "is wrong" }];
  return fields;
}

function mark(form, error) {
  const rules = broken(error, form).map((rule) => ({ ...rule, input: form.elements[rule.field] }));
  for (const { input, message } of rules.filter(({ input }) => input)) {
    const note = document.createElement("p");
    note.className = "error";
    note.id = `${input.id}-error`;
    note.textContent = `${input.labels[0].firstChild.textContent.trim()} ${message}.`;
    input.closest(".field").append(note);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", note.id);
  }
  rules.find(({ input }) => input)?.input.focus();
  const rest = rules.find(({ input }) => !input);
  if (rest) say(form.querySelector("output"), `The link ${rest.message}.`, "failed");
  return rules.length > 0;
}

function unmark(field) {
  if (!field.hasAttribute("aria-invalid")) return;
  document.getElementById(field.getAttribute("aria-describedby"))?.remove();
  field.removeAttribute("aria-invalid");
  field.removeAttribute("aria-describedby");
}

/** A password that can be looked at is typed right more often. */
function addReveal(input) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "reveal";
  button.textContent = "Show";
  button.ariaPressed = "false";
  button.setAttribute("aria-label", `Show ${input.labels[0].textContent.toLowerCase()}`);
  button.addEventListener("click", () => {
    const shown = input.type === "password";
    input.type = shown ? "text" : "password";
    button.ariaPressed = `${shown}`;
  });
  input.after(button);
}
