/** What is wrong with a whole form, read out when it appears. */
export function FormMessage({ message }: { message: string | null }) {
  return (
    <div role="alert">{message && <p className="notice error">{message}</p>}</div>
  );
}
