import { type FormEvent, useState } from "react";
import { client } from "../../api/client";
import { Command } from "../../parts/Copy";
import { Failure } from "../../parts/Failure";

/** Trade a token for this browser's session. The token is sent once and kept nowhere. */
export function Login({ onDone }: { onDone: () => void }) {
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();

  async function logIn(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    setFailure(undefined);
    try {
      const { error } = await client.POST("/ops/session", { headers: { Authorization: `Bearer ${token.trim()}` } });
      if (error) setFailure(error);
      else onDone();
    } catch (unreached) {
      setFailure(unreached ?? true);
    }
    setToken("");
    setBusy(false);
  }

  return (
    <div className="login">
      <form role="dialog" aria-modal="true" aria-labelledby="login-title" onSubmit={(event) => void logIn(event)}>
        <h1 id="login-title">Interlock</h1>
        <p>Log in with a token. It becomes a session of this browser and is kept nowhere.</p>
        <label htmlFor="token">Token</label>
        <input
          id="token"
          type="password"
          autoComplete="off"
          spellCheck={false}
          autoFocus
          required
          value={token}
          onChange={(event) => setToken(event.target.value)}
        />
        {failure ? <Failure of={failure} /> : null}
        <button type="submit" className="verb" data-tone="good" disabled={busy}>
          Log in
        </button>
        <details>
          <summary>I have no token</summary>
          <p>A token is made on the server, in the folder of the workspace, and shown once:</p>
          <Command line="interlock token create --name me --kind human --role admin" />
          <p className="small">
            <code>admin</code> writes drafts and decides, <code>operator</code> runs what is approved,{" "}
            <code>actions</code> reads. Approving takes a human's token. Whoever administers the workspace can make one
            for you; <code>interlock token list</code> shows which there are, never what they are.
          </p>
        </details>
      </form>
    </div>
  );
}
