import { useState } from "react";
import { useRenewal } from "../../parts/useRenewal";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { Me, PipelineRunInFull } from "../../types";
import { useCancelPipelineRun } from "../../useOpsService";

/** End a run that has not ended. */
export function CancelRun({ run, me }: { run: PipelineRunInFull; me: Me }) {
  const [open, setOpen] = useState(false);
  const renew = useRenewal("/ops/pipeline-runs");
  const cancel = useCancelPipelineRun();
  if (me.role === "actions" || (run.status !== "Pending" && run.status !== "Running")) return null;
  return (
    <footer className="actions">
      <Verb
        verb="Cancel"
        tone="bad"
        asksReason
        about="The run ends; the job that is under way is stopped with its whole process tree."
        command={(reason) =>
          shellWords(["interlock", "pipeline", "cancel", run.id, ...(reason ? ["--reason", reason] : [])])
        }
        open={open}
        onOpen={setOpen}
        busy={cancel.isPending}
        failure={cancel.error}
        onDo={(reason) =>
          cancel.mutate(
            { params: { path: { pipeline_id: run.id } }, body: { reason } },
            {
              onSuccess: () => {
                setOpen(false);
                renew();
              },
            },
          )
        }
      />
    </footer>
  );
}
