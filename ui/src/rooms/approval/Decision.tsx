import { useState } from "react";
import { statusOf } from "../../api/client";
import { Shortcut } from "../../parts/Shortcut";
import { useKeys } from "../../parts/useKeys";
import { Verb } from "../../parts/Verb";
import { shellWords, shortDigest } from "../../parts/words";
import type { DraftInFull, Me } from "../../types";
import { useApprove, useDefaults, useReject } from "../../useOpsService";

interface Props {
  draft: DraftInFull;
  me: Me;
  onDecided: () => void;
  onLook: () => void;
  onEdit: () => void;
}

/** Why this caller is offered no approval; undefined where it is offered. */
function hindrance(draft: DraftInFull, me: Me, fourEyes: boolean): string | undefined {
  if (!me.may_decide) return `Only a human approves; you are ${me.id}.`;
  if (me.role !== "admin") return `Approving takes the role admin; yours is ${me.role}.`;
  if (fourEyes && draft.author === me.id) return "You wrote this draft, and here somebody else has to approve it.";
  return draft.digest ? undefined : "There is nothing to approve yet.";
}

/** Approve or reject, by the digest and version that were shown; another is refused by the server. */
export function Decision({ draft, me, onDecided, onLook, onEdit }: Props) {
  const [open, setOpen] = useState<"approve" | "reject">();
  const defaults = useDefaults();
  const approve = useApprove();
  const reject = useReject();
  const waits = draft.status === "draft";
  const hindered = hindrance(draft, me, defaults.data?.four_eyes ?? false);
  const mayApprove = waits && !hindered;
  const mayReject = (waits || draft.status === "error") && me.role === "admin";
  useKeys({
    ...(mayApprove ? { a: () => setOpen("approve") } : {}),
    ...(mayReject ? { r: () => setOpen("reject"), e: onEdit } : {}),
  });

  const params = { path: { draft_id: draft.id } };
  const done = {
    onSuccess: () => {
      setOpen(undefined);
      onDecided();
    },
  };
  const stale = [approve.error, reject.error].some((each) => [409, 412].includes(statusOf(each) ?? 0));
  const choose = (verb: "approve" | "reject") => (wanted: boolean) => setOpen(wanted ? verb : undefined);
  return (
    <footer className="actions">
      {mayApprove && open !== "reject" ? (
        <Verb
          verb="Approve"
          shortcut="a"
          asksReason="optional"
          tone="good"
          about={
            <>
              You agree to exactly what is shown above, <code>{shortDigest(draft.digest ?? "")}</code>. Nothing is
              started by it.
            </>
          }
          command={(reason) =>
            shellWords([
              ...["interlock", "draft", "approve", draft.id, "--digest", draft.digest ?? ""],
              ...(reason ? ["--reason", reason] : []),
            ])
          }
          open={open === "approve"}
          onOpen={choose("approve")}
          busy={approve.isPending}
          failure={approve.error}
          onDo={(reason) => approve.mutate({ params, body: { digest: draft.digest ?? null, reason } }, done)}
        />
      ) : waits && hindered ? (
        <p className="hint">{hindered}</p>
      ) : null}
      {mayReject && open !== "approve" ? (
        <Verb
          verb="Reject"
          shortcut="r"
          tone="bad"
          asksReason
          about="It is turned down for good. The reason is kept with the decision."
          command={(reason) =>
            shellWords(["interlock", "draft", "reject", draft.id, "--version", `${draft.version}`, "--reason", reason])
          }
          open={open === "reject"}
          onOpen={choose("reject")}
          busy={reject.isPending}
          failure={reject.error}
          onDo={(reason) =>
            reject.mutate(
              { params: { ...params, header: { "if-match": `"${draft.version}"` } }, body: { reason } },
              done,
            )
          }
        />
      ) : null}
      {mayReject && open === undefined ? (
        <button type="button" className="verb" aria-keyshortcuts="e" onClick={onEdit}>
          Edit
          <Shortcut of="e" />
        </button>
      ) : null}
      {stale ? (
        <button type="button" onClick={onLook}>
          Show it as it is now
        </button>
      ) : null}
    </footer>
  );
}
