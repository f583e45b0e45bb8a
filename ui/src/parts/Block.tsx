/** A text byte for byte; one that is too long for its box can be scrolled by keyboard as well. */
export function Block({ text, name, runs = false }: { text: string; name: string; runs?: boolean }) {
  return (
    <pre className={runs ? "runs" : "text"} tabIndex={0} role="group" aria-label={name}>
      {text}
    </pre>
  );
}
