import { Link, useLocation } from "react-router";

import { usePreferences } from "../kept";
import { signIn } from "../session/store";
import { InvalidFields } from "../ui/failures";
import { Field, PasswordField } from "../ui/Field";
import { FormMessage } from "../ui/FormMessage";
import { Page } from "../ui/Page";
import { SubmitButton } from "../ui/SubmitButton";
import { useSubmit } from "../ui/useSubmit";

export function LoginPage() {
  const { state } = useLocation();
  // Then the guard of this page leads to where one wanted to go.
  const { form, pending, errors, message } = useSubmit(async (data) => {
    const [email, password] = [String(data.get("email")).trim(), String(data.get("password"))];
    const missing = {
      ...(!email && { email: "Enter your address." }),
      ...(!password && { password: "Enter your password." }),
    };
    if (Object.keys(missing).length > 0) throw new InvalidFields(missing);
    await signIn(email, password);
  });

  return (
    <Page title="Sign in" narrow intro={state?.from && "Then you are taken to the page that you wanted."}>
      <form {...form} className="card form">
        <FormMessage message={message} />
        <Field
          label="E-mail address"
          name="email"
          type="email"
          autoComplete="username"
          defaultValue={usePreferences.getState().lastEmail}
          error={errors.email}
          required
        />
        <PasswordField
          label="Password"
          name="password"
          autoComplete="current-password"
          error={errors.password}
          required
        />
        <SubmitButton pending={pending} label="Sign in" doing="Signing in…" />
      </form>
      <p className="beside">
        New here?{" "}
        <Link to="/register" state={state}>
          Register
        </Link>
      </p>
    </Page>
  );
}
