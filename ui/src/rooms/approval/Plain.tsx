import { pieces } from "../../parts/hidden";
import { keyed } from "../../parts/keyed";
import { counted, isWords, number, shellWords } from "../../parts/words";

/** A text in which nothing hides: what can not be seen is named. */
export function Plain({ text }: { text: string }) {
  return keyed(pieces(text)).map(({ key, item: piece }) =>
    piece.hidden ? (
      <span key={key} className="review-hidden" title={`a character that is not seen: ${piece.text}`}>
        {piece.text}
      </span>
    ) : (
      piece.text
    ),
  );
}

/** An argument list as a shell would take it; each word keeps its own direction. */
export function Words({ words }: { words: readonly string[] }) {
  return keyed(words).map(({ key: place, item: word }) => (
    <span key={place}>
      {place === 0 ? "" : " "}
      <bdi>
        <Plain text={shellWords([word])} />
      </bdi>
    </span>
  ));
}

/** A text of any length, all of it, with how long it is where that is not seen at once. */
export function LongText({ name, text }: { name: string; text: string }) {
  const lines = text.split("\n").length;
  return (
    <>
      <pre className="text" tabIndex={0} role="group" aria-label={name}>
        <Plain text={text} />
      </pre>
      {text.length > 2_000 || lines > 20 ? (
        <p className="small review-length">
          {`${number(text.length)} characters, ${counted(lines, "line")}; all of it is here.`}
        </p>
      ) : null}
    </>
  );
}

export function CommandBlock({ command }: { command: unknown }) {
  return isWords(command) ? (
    <pre className="runs" tabIndex={0} role="group" aria-label="Command">
      <Words words={command} />
    </pre>
  ) : (
    <p className="hint">No command is named, neither here nor as the default of the workspace.</p>
  );
}
