interface Props {
  pending: boolean;
  label: string;
  /** What it says meanwhile. */
  doing: string;
}

/** Not disabled while it works: the focus would be lost. The form is sent once all the same. */
export function SubmitButton({ pending, label, doing }: Props) {
  return (
    <button type="submit" className="primary" aria-disabled={pending}>
      {pending ? doing : label}
    </button>
  );
}
