import { useRef, useState } from "react";
import { useLocation } from "wouter";
import { isProblem } from "../../api/client";
import { onceKey } from "../../parts/onceKey";
import { useKeys } from "../../parts/useKeys";
import { useRenewal } from "../../parts/useRenewal";
import { Verb } from "../../parts/Verb";
import { shellWords, shortDigest } from "../../parts/words";
import type { Approved, Me } from "../../types";
import { useCreateRun, usePanic, useRevoke } from "../../useOpsService";
import { standingOf } from "./approvedStanding";

const PRIORITIES = ["P0", "P1", "P2"] as const;
type Priority = (typeof PRIORITIES)[number];

/** Why this caller is not offered a run; undefined where it is offered. */
function hindrance(approved: Approved, me: Me, frozen: boolean): string | undefined {
  if (me.role === "actions") return `Starting a run takes the role operator; yours is ${me.role}.`;
  if (frozen) return "Panic mode is on: nothing begins.";
  const standing = standingOf(approved);
  return standing === "valid" ? undefined : `It is ${standing}: no run starts from it any more.`;
}

function Priorities({ chosen, onChoose }: { chosen: Priority; onChoose: (one: Priority) => void }) {
  return (
    <fieldset className="approved-priority">
      <legend>Priority</legend>
      {PRIORITIES.map((each) => (
        <label key={each}>
          <input type="radio" name="priority" checked={each === chosen} onChange={() => onChoose(each)} /> {each}
        </label>
      ))}
    </fieldset>
  );
}

function Start({ approved, open, onOpen }: { approved: Approved; open: boolean; onOpen: (open: boolean) => void }) {
  const [priority, setPriority] = useState<Priority>("P1");
  const [, go] = useLocation();
  const renew = useRenewal("/ops/runs");
  const create = useCreateRun();
  const key = useRef("");
  const choose = (wanted: boolean) => {
    // Where no answer came, the run may have been made all the same: then the same key asks for it again.
    if (wanted && (!create.error || isProblem(create.error))) key.current = onceKey();
    onOpen(wanted);
  };
  const done = {
    onSuccess: (run: { id: string }) => {
      onOpen(false);
      renew();
      go(`/runs/${run.id}`);
    },
  };
  return (
    <Verb
      verb="Run"
      tone="good"
      about={
        <>
          A worker carries out exactly what is shown above, <code>{shortDigest(approved.digest)}</code>, once.
          <Priorities
            chosen={priority}
            onChoose={(one) => {
              setPriority(one);
              key.current = onceKey();
            }}
          />
        </>
      }
      command={() =>
        shellWords(["interlock", "run", "create", approved.id, ...(priority === "P1" ? [] : ["--priority", priority])])
      }
      open={open}
      onOpen={choose}
      busy={create.isPending}
      failure={create.error}
      onDo={() =>
        create.mutate(
          { params: { header: { "Idempotency-Key": key.current } }, body: { approved_id: approved.id, priority } },
          done,
        )
      }
    />
  );
}

/** Run it, or take the approval back; nothing else can be done with what was approved. */
export function ApprovedVerbs({ approved, me }: { approved: Approved; me: Me }) {
  const [open, setOpen] = useState<"run" | "revoke">();
  const panic = usePanic();
  const revoke = useRevoke();
  const renew = useRenewal("/ops/approved");
  const hindered = hindrance(approved, me, panic.data?.panic_mode ?? false);
  const mayRevoke = me.role === "admin" && me.may_decide && !approved.revoked_at;
  const choose = (verb: "run" | "revoke") => (wanted: boolean) => setOpen(wanted ? verb : undefined);
  useKeys(mayRevoke ? { r: () => setOpen("revoke") } : {});
  const done = {
    onSuccess: () => {
      setOpen(undefined);
      renew();
    },
  };
  return (
    <footer className="actions">
      {hindered ? <p className="hint">{hindered}</p> : null}
      {!hindered && open !== "revoke" ? (
        <Start approved={approved} open={open === "run"} onOpen={choose("run")} />
      ) : null}
      {mayRevoke && open !== "run" ? (
        <Verb
          verb="Revoke"
          shortcut="r"
          tone="bad"
          asksReason
          about="The approval is taken back: no run starts from it any more. Runs that are under way go on."
          command={(reason) => shellWords(["interlock", "approved", "revoke", approved.id, "--reason", reason])}
          open={open === "revoke"}
          onOpen={choose("revoke")}
          busy={revoke.isPending}
          failure={revoke.error}
          onDo={(reason) => revoke.mutate({ params: { path: { approved_id: approved.id } }, body: { reason } }, done)}
        />
      ) : null}
    </footer>
  );
}
