import { ClavigerError } from "@claviger/client";
import { useState } from "react";
import { Link, useLocation } from "react-router";

import { register } from "../session/store";
import { InvalidFields } from "../ui/failures";
import { Field, PasswordField } from "../ui/Field";
import { FormMessage } from "../ui/FormMessage";
import { Page } from "../ui/Page";
import { SubmitButton } from "../ui/SubmitButton";
import { useSubmit } from "../ui/useSubmit";

export function RegisterPage() {
  const { state } = useLocation();
  const [mailedTo, setMailedTo] = useState<string | null>(null);
  const { form, pending, errors, message } = useSubmit(async (data) => {
    const text = (name: string) => String(data.get(name));
    const email = text("email").trim();
    if (text("password") !== text("confirmation")) {
      throw new InvalidFields({ confirmation: "The two passwords are not the same." });
    }
    try {
      const signedIn = await register(email, text("password"), text("full_name").trim());
      if (!signedIn) setMailedTo(email);
    } catch (error) {
      if (!(error instanceof ClavigerError) || error.code !== "email_taken") throw error;
      throw new InvalidFields({ email: "There is an account with this address already." });
    }
  });

  if (mailedTo) return <Page title="Look into your mail" narrow intro={`We have sent a link to ${mailedTo}.`} />;
  return (
    <Page title="Register" narrow intro="What you analyse is kept then, for you alone.">
      <form {...form} className="card form">
        <FormMessage message={message} />
        <Field label="Name (optional)" name="full_name" autoComplete="name" error={errors.full_name} />
        <Field
          label="E-mail address"
          name="email"
          type="email"
          autoComplete="username"
          error={errors.email}
          required
        />
        <PasswordField
          label="Password"
          name="password"
          autoComplete="new-password"
          hint="At least 8 characters. A few words are easier to remember, and harder to guess."
          error={errors.password}
          required
        />
        <PasswordField
          label="Password again"
          name="confirmation"
          autoComplete="new-password"
          error={errors.confirmation}
          required
        />
        <SubmitButton pending={pending} label="Register" doing="Registering…" />
      </form>
      <p className="beside">
        You have an account?{" "}
        <Link to="/login" state={state}>
          Sign in
        </Link>
      </p>
    </Page>
  );
}
