import { useState } from "react";
import { useLocation } from "wouter";
import { onceKey } from "../../parts/onceKey";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { DefinitionInFull, Me } from "../../types";
import { useRunPipeline } from "../../useOpsService";

/** Ask for a run of a definition that was accepted as it is; sent twice by accident, it is the same run. */
export function RunPipeline({ definition, me }: { definition: DefinitionInFull; me: Me }) {
  const [open, setOpen] = useState(false);
  const [key, setKey] = useState(onceKey);
  const [, go] = useLocation();
  const run = useRunPipeline();
  if (me.role === "actions" || definition.status !== "accepted") return null;
  return (
    <footer className="actions">
      <Verb
        verb="Run"
        tone="good"
        about={
          <>
            {definition.id} is carried out beside the server, exactly as {definition.accepted_by ?? "a person"} accepted
            it.
          </>
        }
        command={() => shellWords(["interlock", "pipeline", "run", definition.id])}
        open={open}
        onOpen={setOpen}
        busy={run.isPending}
        failure={run.error}
        onDo={() =>
          run.mutate(
            {
              params: { path: { name: definition.id }, header: { "Idempotency-Key": key } },
              body: { trigger: "console" },
            },
            {
              onSuccess: (made) => {
                setKey(onceKey());
                setOpen(false); // a second press finds no form, so it asks for no second run
                go(`/pipelines/runs/${made.id}`);
              },
            },
          )
        }
      />
    </footer>
  );
}
