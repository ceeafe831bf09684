import { clearDraft, useDraft } from "../kept";
import { useSession } from "../session/store";
import { Field, TextField } from "../ui/Field";
import { FormMessage } from "../ui/FormMessage";
import { InvalidFields } from "../ui/failures";
import { SubmitButton } from "../ui/SubmitButton";
import { useSubmit } from "../ui/useSubmit";
import { type AnalysedDocument, analyse } from "./api";

/** Where a text is written. What is in it outlives a reload, and a sign-in. */
export function Composer({ onAnalysed }: { onAnalysed(document: AnalysedDocument): void }) {
  const { title, text } = useDraft();
  const author = useSession((session) => session.user?.id ?? null);
  const { form, pending, errors, message } = useSubmit(async () => {
    const missing = {
      ...(!title.trim() && { title: "Give it a title." }),
      ...(!text.trim() && { text: "There is no text yet." }),
    };
    if (Object.keys(missing).length > 0) throw new InvalidFields(missing);
    const document = await analyse(title.trim(), text);
    // What was not kept may be wanted again, after signing in.
    if (document.kept) clearDraft();
    onAnalysed(document);
  });

  return (
    <form {...form} className="card form" aria-label="Your text">
      <FormMessage message={message} />
      <Field
        label="Title"
        name="title"
        value={title}
        onChange={({ target }) => useDraft.setState({ title: target.value, author })}
        error={errors.title}
        autoComplete="off"
        maxLength={200}
        required
      />
      <TextField
        label="Text"
        name="text"
        rows={10}
        value={text}
        onChange={({ target }) => useDraft.setState({ text: target.value, author })}
        error={errors.text}
        required
      />
      <SubmitButton pending={pending} label="Analyse" doing="Analysing…" />
    </form>
  );
}
