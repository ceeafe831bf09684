import { type FormEvent, useEffect, useRef, useState } from "react";

import { explain, fieldsOf } from "./failures";

/** A form that is sent once at a time, and says what was wrong where it was wrong. */
export function useSubmit(action: (data: FormData, form: HTMLFormElement) => Promise<void>) {
  const form = useRef<HTMLFormElement>(null);
  const [pending, setPending] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);

  async function onSubmit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (pending) return;
    const sent = event.currentTarget;
    setPending(true);
    setFailure(null);
    try {
      await action(new FormData(sent), sent);
    } catch (error) {
      setFailure(error);
    } finally {
      setPending(false);
    }
  }

  useEffect(() => {
    if (failure) form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [failure]);

  const errors = fieldsOf(failure);
  const elsewhere = failure !== null && Object.keys(errors).length === 0;
  return {
    /** For the form itself. Browsers' own bubbles are off: they vanish, and read out badly. */
    form: { ref: form, onSubmit, noValidate: true, "aria-busy": pending },
    pending,
    errors,
    /** What is wrong with no field in particular. */
    message: elsewhere ? explain(failure) : null,
  };
}
