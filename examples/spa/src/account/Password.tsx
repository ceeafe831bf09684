import { ClavigerError } from "@claviger/client";
import { useState } from "react";

import { client } from "../session/client";
import { InvalidFields } from "../ui/failures";
import { PasswordField } from "../ui/Field";
import { FormMessage } from "../ui/FormMessage";
import { counted } from "../ui/format";
import { SubmitButton } from "../ui/SubmitButton";
import { useSubmit } from "../ui/useSubmit";

interface Props {
  email: string;
  onChanged(): void;
}

export function Password({ email, onChanged }: Props) {
  const [said, setSaid] = useState("");
  const { form, pending, errors, message } = useSubmit(async (data, sent) => {
    const text = (name: string) => String(data.get(name));
    setSaid("");
    if (text("new_password") !== text("confirmation")) {
      throw new InvalidFields({ confirmation: "The two passwords are not the same." });
    }
    try {
      const ended = await client.changePassword({
        current_password: text("current_password"),
        new_password: text("new_password"),
      });
      sent.reset();
      onChanged();
      setSaid(`Your password is changed. ${counted(ended, "other session was", "other sessions were")} signed out.`);
    } catch (error) {
      if (!(error instanceof ClavigerError) || error.code !== "invalid_credentials") throw error;
      throw new InvalidFields({ current_password: "This is not your password." });
    }
  });

  return (
    <section className="card" aria-labelledby="password">
      <h2 id="password">Change your password</h2>
      <p role="status" className="said">
        {said}
      </p>
      <form {...form} className="form">
        <FormMessage message={message} />
        {/* Password managers want to know whose password it is. */}
        <input type="text" name="email" autoComplete="username" value={email} readOnly hidden />
        <PasswordField
          label="Current password"
          name="current_password"
          autoComplete="current-password"
          error={errors.current_password}
          required
        />
        <PasswordField
          label="New password"
          name="new_password"
          autoComplete="new-password"
          hint="All your other devices are signed out."
          error={errors.new_password}
          required
        />
        <PasswordField
          label="New password again"
          name="confirmation"
          autoComplete="new-password"
          error={errors.confirmation}
          required
        />
        <SubmitButton pending={pending} label="Change password" doing="Changing…" />
      </form>
    </section>
  );
}
