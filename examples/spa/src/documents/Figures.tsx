import { count, duration } from "../ui/format";
import type { AnalysedDocument } from "./api";

/** What was found out about a text. */
export function Figures({ words, characters, reading_seconds }: AnalysedDocument) {
  return (
    <dl className="figures">
      <div>
        <dt>Words</dt>
        <dd>{count(words)}</dd>
      </div>
      <div>
        <dt>Characters</dt>
        <dd>{count(characters)}</dd>
      </div>
      <div>
        <dt>Reading time</dt>
        <dd>{duration(reading_seconds)}</dd>
      </div>
    </dl>
  );
}
