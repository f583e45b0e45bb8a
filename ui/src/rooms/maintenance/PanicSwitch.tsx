import { useState } from "react";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { Me, Panic } from "../../types";
import { usePanic, useRaisePanic, useReleasePanic } from "../../useOpsService";

function Standing({ of: panic }: { of: Panic }) {
  if (!panic.panic_mode) return <p>Panic mode is off: work begins as it is approved.</p>;
  return (
    <p>
      <strong>{panic.by}</strong> froze everything <RelativeTime at={panic.since} />: {panic.reason}
    </p>
  );
}

function Raise({ onDone }: { onDone: () => void }) {
  const [open, setOpen] = useState(false);
  const [stopRuns, setStopRuns] = useState(false);
  const raise = useRaisePanic();
  return (
    <Verb
      verb="Panic on"
      tone="bad"
      asksReason
      about={
        <div className="maintenance-about">
          <p>
            Nothing new begins, on no door: no draft, no approval, no run, no claim, no token. What runs goes on;
            looking, cancelling and acknowledging stay possible. Only a human admin releases it.
          </p>
          <label className="tick">
            <input type="checkbox" checked={stopRuns} onChange={(event) => setStopRuns(event.target.checked)} />
            Cancel what runs, too
          </label>
        </div>
      }
      command={(reason) =>
        shellWords(["interlock", "panic", "on", "--reason", reason, ...(stopRuns ? ["--stop-runs"] : [])])
      }
      open={open}
      onOpen={setOpen}
      busy={raise.isPending}
      failure={raise.error}
      onDo={(reason) =>
        raise.mutate(
          { body: { reason, stop_runs: stopRuns } },
          {
            onSuccess: () => {
              setOpen(false);
              onDone();
            },
          },
        )
      }
    />
  );
}

function Release({ onDone }: { onDone: () => void }) {
  const [open, setOpen] = useState(false);
  const release = useReleasePanic();
  return (
    <Verb
      verb="Release"
      tone="good"
      asksReason
      about="Everything may begin again at once, what waited in the queue first. What was cancelled stays cancelled."
      command={(reason) => shellWords(["interlock", "panic", "release", "--reason", reason])}
      open={open}
      onOpen={setOpen}
      busy={release.isPending}
      failure={release.error}
      onDo={(reason) =>
        release.mutate(
          { body: { reason } },
          {
            onSuccess: () => {
              setOpen(false);
              onDone();
            },
          },
        )
      }
    />
  );
}

/** Freeze everything that begins something, or let it go on. */
export function PanicSwitch({ me }: { me: Me }) {
  const panic = usePanic();
  const again = () => void panic.refetch();
  const on = panic.data?.panic_mode ?? false;
  return (
    <section className="maintenance-panic" data-on={on} aria-label="Panic">
      <h2>Panic</h2>
      {panic.error ? <Failure of={panic.error} again={again} /> : null}
      {panic.data ? <Standing of={panic.data} /> : null}
      {panic.data && on && me.may_decide && me.role === "admin" ? <Release key="release" onDone={again} /> : null}
      {panic.data && on && !(me.may_decide && me.role === "admin") ? (
        <p className="hint">
          A human with the role admin releases it; you are {me.id}, {me.role}.
        </p>
      ) : null}
      {panic.data && !on && me.role !== "actions" ? <Raise key="raise" onDone={again} /> : null}
      {panic.data && !on && me.role === "actions" ? (
        <p className="hint">Raising it takes the role operator; yours is actions.</p>
      ) : null}
    </section>
  );
}
