import { type ComponentProps, type ReactNode, useId, useState } from "react";

interface Surroundings {
  label: string;
  hint?: string | undefined;
  error?: string | undefined;
}

type FieldProps = Surroundings & ComponentProps<"input">;

/** What an input has around it, and how it is tied to that. */
function useSurroundings({ label, hint, error }: Surroundings) {
  const id = useId();
  const described = [error && `${id}-error`, hint && `${id}-hint`].filter(Boolean).join(" ");
  const wrap = (input: ReactNode) => (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {hint && (
        <p className="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {input}
      {error && (
        <p className="error" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
  const tied = {
    id,
    "aria-invalid": error ? (true as const) : undefined,
    "aria-describedby": described || undefined,
  };
  return { wrap, tied };
}

export function Field({ label, hint, error, ...input }: FieldProps) {
  const { wrap, tied } = useSurroundings({ label, hint, error });
  return wrap(<input {...tied} {...input} />);
}

export function TextField({ label, hint, error, ...textarea }: Surroundings & ComponentProps<"textarea">) {
  const { wrap, tied } = useSurroundings({ label, hint, error });
  return wrap(<textarea {...tied} {...textarea} />);
}

/** A password that can be looked at. */
export function PasswordField({ label, hint, error, ...input }: FieldProps) {
  const { wrap, tied } = useSurroundings({ label, hint, error });
  const [shown, setShown] = useState(false);
  return wrap(
    <div className="with-button">
      <input
        {...tied}
        {...input}
        type={shown ? "text" : "password"}
        autoCapitalize="none"
        autoCorrect="off"
        spellCheck={false}
      />
      <button type="button" onClick={() => setShown(!shown)}>
        {shown ? "Hide" : "Show"} <span className="unseen">{label.toLowerCase()}</span>
      </button>
    </div>,
  );
}
