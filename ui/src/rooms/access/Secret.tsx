import { Copy } from "../../parts/Copy";

/** A token's text, once: it lives in the state of whoever shows it, and in no cache, address or storage. */
export function Secret({ text, onClose }: { text: string; onClose: () => void }) {
  return (
    <div className="access-secret" role="group" aria-label="The token's text">
      <p>
        <strong>This is shown once.</strong> Copy it to where it is needed; here and on the server it is kept nowhere.
      </p>
      <div className="access-text">
        <code>{text}</code>
        <Copy text={text} what="the token" />
      </div>
      <button type="button" onClick={onClose}>
        I have it, close
      </button>
    </div>
  );
}
