import { type FormEvent, useId, useState } from "react";
import { Refusal, Unable } from "./bytes";
import { trust, useTrusted } from "./trust";

/** By whose word a signature counts: the reader's own copy of the log's key, or only the server's. */
export function TrustedKey() {
  const trusted = useTrusted();
  const [said, setSaid] = useState("");
  const field = useId();
  const error = useId();

  async function use(text: string) {
    setSaid("");
    try {
      await trust(text);
    } catch (failure) {
      if (!(failure instanceof Refusal || failure instanceof Unable)) throw failure;
      setSaid(failure.message);
    }
  }
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const text = new FormData(event.currentTarget).get("vkey");
    void use(typeof text === "string" ? text : "");
  }
  if (trusted) {
    return (
      <div className="evidence-trust" data-own="true">
        <p>
          Signatures are checked with the key that you pasted: <code>{trusted}</code>
        </p>
        <button type="button" onClick={() => void use("")}>
          Forget it
        </button>
      </div>
    );
  }
  return (
    <form className="evidence-trust" onSubmit={submit}>
      <p>
        Signatures are checked with the key that <strong>this server</strong> gives. That shows that log and key agree,
        not that the key is the right one. Paste the key that you kept, and you need not trust the server.
      </p>
      <label htmlFor={field}>The log's key (vkey)</label>
      <input
        id={field}
        name="vkey"
        autoComplete="off"
        spellCheck={false}
        maxLength={500}
        placeholder="name+key id+base64"
        aria-describedby={said ? error : undefined}
        aria-invalid={said ? true : undefined}
      />
      {said ? (
        <p id={error} role="alert" className="evidence-wrong">
          {said}
        </p>
      ) : null}
      <button type="submit">Use this key</button>
    </form>
  );
}
