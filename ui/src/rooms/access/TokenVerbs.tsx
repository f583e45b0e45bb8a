import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../../api/client";
import { Command } from "../../parts/Copy";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { Me, Token } from "../../types";
import { useRevokeToken } from "../../useOpsService";
import { Choice } from "./Choice";
import { Secret } from "./Secret";
import { GRACES } from "./spans";

function Rotate({
  token,
  open,
  onOpen,
  onMade,
}: {
  token: Token;
  open: boolean;
  onOpen: (open: boolean) => void;
  onMade: (text: string) => void;
}) {
  const [grace, setGrace] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();

  async function rotate() {
    setBusy(true);
    setFailure(undefined);
    const seconds = GRACES.find(([word]) => word === grace)?.[2] ?? 0;
    try {
      const { data, error } = await client.POST("/ops/tokens/{token_id}/rotate", {
        params: { path: { token_id: token.id } },
        body: { grace_seconds: seconds },
      });
      if (data) onMade(data.token);
      else setFailure(error);
    } catch (unreached) {
      setFailure(unreached ?? true);
    }
    setBusy(false);
  }
  return (
    <Verb
      verb="Rotate"
      about={
        <>
          <p>It gets another text, which is shown once. Sessions that it opened end now.</p>
          <Choice
            label="The old text ends"
            words={GRACES.map(([word, name]) => [word, name])}
            chosen={grace}
            onChoose={setGrace}
          />
        </>
      }
      command={() => shellWords(["interlock", "token", "rotate", token.id, ...(grace ? ["--grace", grace] : [])])}
      open={open}
      onOpen={onOpen}
      busy={busy}
      failure={failure}
      onDo={() => void rotate()}
    />
  );
}

/** What this caller may do with a token; what the server would refuse is not offered. */
export function TokenVerbs({ token, me }: { token: Token; me: Me }) {
  const queries = useQueryClient();
  const [open, setOpen] = useState<"rotate" | "revoke">();
  const [made, setMade] = useState("");
  const revoke = useRevokeToken();
  const renew = () => void queries.invalidateQueries({ queryKey: ["get", "/ops/tokens"] });
  const own = me.session && me.token_id === token.id;
  const mayRotate = token.status === "valid" && (token.kind !== "human" || me.may_decide);

  if (made) return <Secret text={made} onClose={() => setMade("")} />;
  if (me.kind === "agent" || token.status === "revoked") return null;
  return (
    <footer className="actions">
      {mayRotate && own ? (
        <div className="access-own">
          <p className="hint">
            You are logged in with this token: rotated, this session would end before you could copy it.
          </p>
          <Command line={shellWords(["interlock", "token", "rotate", token.id])} />
        </div>
      ) : null}
      {mayRotate && !own && open !== "revoke" ? (
        <Rotate
          token={token}
          open={open === "rotate"}
          onOpen={(is) => setOpen(is ? "rotate" : undefined)}
          onMade={(text) => {
            setOpen(undefined);
            setMade(text);
            renew();
          }}
        />
      ) : null}
      {open === "rotate" ? null : (
        <Verb
          verb="Revoke"
          tone="bad"
          asksReason
          about={
            own
              ? "It is worth nothing any more, for good. You are logged out with it."
              : "It is worth nothing any more, for good, with every session that it opened."
          }
          command={(reason) => shellWords(["interlock", "token", "revoke", token.id, "--reason", reason])}
          open={open === "revoke"}
          onOpen={(is) => setOpen(is ? "revoke" : undefined)}
          busy={revoke.isPending}
          failure={revoke.error}
          onDo={(reason) =>
            revoke.mutate(
              { params: { path: { token_id: token.id } }, body: { reason } },
              {
                onSuccess: () => {
                  setOpen(undefined);
                  renew();
                },
              },
            )
          }
        />
      )}
    </footer>
  );
}
