import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";
import { client } from "../../api/client";
import { Command } from "../../parts/Copy";
import { Failure } from "../../parts/Failure";
import { shellWords } from "../../parts/words";
import type { Me, NewToken } from "../../types";
import { Choice } from "./Choice";
import { Secret } from "./Secret";
import { EXPIRIES } from "./spans";

const KINDS = [
  ["service", "service, a program"],
  ["agent", "agent, a model that acts"],
  ["human", "human, who may decide"],
] as const;
const ROLES = [
  ["actions", "actions, reads"],
  ["operator", "operator, runs and cancels"],
  ["admin", "admin, changes everything"],
] as const;
const NAME = "[A-Za-z0-9_][A-Za-z0-9._@:+\\-]{0,127}";

function command({ name, kind, role, principal }: NewToken, expires: string): string {
  const words = ["interlock", "token", "create", "--name", name || "NAME", "--kind", kind ?? "service", "--role", role];
  if (principal) words.push("--principal", principal);
  if (expires) words.push("--expires-in", expires);
  return shellWords(words);
}

/** Make a token. It is asked for past the cache of queries, so that its text is in no memory but this form's. */
export function CreateToken({ me }: { me: Me }) {
  const queries = useQueryClient();
  const [token, setToken] = useState<NewToken>({ name: "", kind: "service", role: "actions" });
  const [expires, setExpires] = useState("90d");
  const [made, setMade] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const [name, principal] = [useId(), useId()];
  const kinds = KINDS.filter(([kind]) => kind !== "human" || me.may_decide);

  async function create(event: FormEvent) {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setFailure(undefined);
    const seconds = EXPIRIES.find(([word]) => word === expires)?.[2];
    const body = { ...token, principal: token.principal || null, expires_in_seconds: seconds || null };
    try {
      const { data, error } = await client.POST("/ops/tokens", { body });
      if (data) {
        setMade(data.token);
        setToken({ ...token, name: "", principal: "" });
      } else setFailure(error);
    } catch (unreached) {
      setFailure(unreached ?? true);
    }
    setBusy(false);
    void queries.invalidateQueries({ queryKey: ["get", "/ops/tokens"] });
  }
  if (made) return <Secret text={made} onClose={() => setMade("")} />;
  return (
    <form className="access-form" aria-label="Create a token" onSubmit={(event) => void create(event)}>
      <div className="access-fields">
        <div className="access-field">
          <label htmlFor={name}>Name</label>
          <input
            id={name}
            value={token.name}
            required
            pattern={NAME}
            maxLength={128}
            autoComplete="off"
            title="Letters, digits and . _ @ : + -"
            onChange={(event) => setToken({ ...token, name: event.target.value })}
          />
        </div>
        <Choice
          label="Kind"
          words={kinds}
          chosen={token.kind ?? "service"}
          onChoose={(kind) => setToken({ ...token, kind })}
        />
        <Choice label="Role" words={ROLES} chosen={token.role} onChoose={(role) => setToken({ ...token, role })} />
        <Choice
          label="Expires"
          words={EXPIRIES.map(([word, text]) => [word, text])}
          chosen={expires}
          onChoose={setExpires}
        />
        <div className="access-field">
          <label htmlFor={principal}>Whom it proves</label>
          <input
            id={principal}
            value={token.principal ?? ""}
            pattern="[A-Za-z0-9_][A-Za-z0-9._@+\-]{0,127}"
            autoComplete="off"
            placeholder="as its name"
            onChange={(event) => setToken({ ...token, principal: event.target.value })}
          />
        </div>
      </div>
      <p className="hint">
        {token.kind === "human"
          ? "Whoever holds it acts as this person, and decides as this person."
          : "It can propose and act within its role; it can approve nothing."}
      </p>
      <Command line={command(token, expires)} />
      {failure ? <Failure of={failure} /> : null}
      <div className="buttons">
        <button type="submit" className="verb" data-tone="good" disabled={busy}>
          {busy ? "…" : "Create"}
        </button>
      </div>
    </form>
  );
}
