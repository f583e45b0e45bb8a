import { useState } from "react";
import { serverNow } from "../../api/clock";
import { RelativeTime } from "../../parts/RelativeTime";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { Me, QueueStanding } from "../../types";
import { usePause, useResume } from "../../useOpsService";
import { useRenew } from "./asked";

const SPANS = ["", "15m", "1h", "8h", "1d"] as const;
const MS: Readonly<Record<string, number>> = { "15m": 900_000, "1h": 3_600_000, "8h": 28_800_000, "1d": 86_400_000 };

/** Whether anything may be claimed, why not, and the verb that changes it. */
export function Pause({ standing, me }: { standing: QueueStanding; me: Me }) {
  const [open, setOpen] = useState(false);
  const [span, setSpan] = useState("");
  const pause = usePause();
  const resume = useResume();
  const renew = useRenew();
  const done = {
    onSuccess: () => {
      setOpen(false);
      renew();
    },
  };
  const may = me.role !== "actions";
  const { paused } = standing;
  return (
    <div className="queue-pause">
      {paused ? (
        <p className="banner">
          Paused by {paused.by} <RelativeTime at={paused.since} />
          {paused.until ? (
            <>
              , ends <RelativeTime at={paused.until} />
            </>
          ) : null}
          : {paused.reason}. Nothing is claimed; what is under way goes on.
        </p>
      ) : null}
      {!may ? null : paused ? (
        <Verb
          key="resume"
          verb="Resume"
          tone="good"
          about="Items are claimed again."
          command={() => "interlock queue resume"}
          open={open}
          onOpen={setOpen}
          busy={resume.isPending}
          failure={resume.error}
          onDo={() => resume.mutate({}, done)}
        />
      ) : (
        <Verb
          key="pause"
          verb="Pause"
          asksReason
          about={
            <label>
              Nothing is claimed any more; what is under way goes on. It ends{" "}
              <select value={span} onChange={(event) => setSpan(event.target.value)}>
                {SPANS.map((each) => (
                  <option key={each} value={each}>
                    {each ? `after ${each}` : "when somebody resumes"}
                  </option>
                ))}
              </select>
            </label>
          }
          command={(reason) =>
            shellWords(["interlock", "queue", "pause", "--reason", reason, ...(span ? ["--for", span] : [])])
          }
          open={open}
          onOpen={setOpen}
          busy={pause.isPending}
          failure={pause.error}
          onDo={(reason) =>
            pause.mutate({ body: { reason, until_ms: span ? serverNow() + (MS[span] ?? 0) : null } }, done)
          }
        />
      )}
    </div>
  );
}
