import { useState } from "react";
import { useRenewal } from "../../parts/useRenewal";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { Me, RunInFull } from "../../types";
import { useCancelRun, useRetryRun } from "../../useOpsService";

/** What an operator may do with a run as it stands; nothing else is offered. */
export function RunVerbs({ run, me }: { run: RunInFull; me: Me }) {
  const [open, setOpen] = useState(false);
  const renew = useRenewal("/ops/runs");
  const cancel = useCancelRun();
  const retry = useRetryRun();
  const params = { path: { run_id: run.id } };
  const done = {
    onSuccess: () => {
      setOpen(false);
      renew();
    },
  };
  if (me.role === "actions") return null;
  if (run.status === "pending" || run.status === "running") {
    return (
      <footer className="actions">
        <Verb
          verb="Cancel"
          tone="bad"
          asksReason
          about="The run ends for good, with its whole process tree."
          command={(reason) => shellWords(["interlock", "run", "cancel", run.id, "--reason", reason])}
          open={open}
          onOpen={setOpen}
          busy={cancel.isPending}
          failure={cancel.error}
          onDo={(reason) => cancel.mutate({ params, body: { reason } }, done)}
        />
      </footer>
    );
  }
  if (run.status !== "error") return null;
  return (
    <footer className="actions">
      <Verb
        verb="Retry"
        tone="good"
        about="It is done anew from the same approved record, if that still holds."
        command={() => shellWords(["interlock", "run", "retry", run.id])}
        open={open}
        onOpen={setOpen}
        busy={retry.isPending}
        failure={retry.error}
        onDo={() => retry.mutate({ params }, done)}
      />
    </footer>
  );
}
