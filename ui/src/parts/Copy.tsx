import { useState } from "react";

/** A button that copies a text, where the browser lets it. */
export function Copy({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState("");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("copied");
    } catch {
      setSaid("can not copy");
    }
  }
  return (
    <button type="button" className="quiet" onClick={() => void copy()} aria-label={`Copy ${what}`}>
      <span aria-live="polite">{said || "copy"}</span>
    </button>
  );
}

/** The same verb on the command line. */
export function Command({ line }: { line: string }) {
  return (
    <div className="command">
      <code>{line}</code>
      <Copy text={line} what="the command" />
    </div>
  );
}

export function Digest({ value }: { value: string }) {
  return (
    <span className="digest">
      <code>{value}</code>
      <Copy text={value} what="the digest" />
    </span>
  );
}
