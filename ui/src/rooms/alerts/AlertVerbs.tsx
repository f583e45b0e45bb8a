import { useState } from "react";
import { useRenewal } from "../../parts/useRenewal";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { AlertInFull, Me } from "../../types";
import { useAckAlert, useReplayAlert, useResolveAlert } from "../../useOpsService";

/** Ask again for everything that tells of alerts. */
export const useRenewAlerts = () => useRenewal("/ops/alerts");

/** What an operator may do with an alert that is not over. */
export function AlertVerbs({ alert, me }: { alert: AlertInFull; me: Me }) {
  const [open, setOpen] = useState<string>();
  const renew = useRenewAlerts();
  const ack = useAckAlert();
  const resolve = useResolveAlert();
  const replay = useReplayAlert();
  if (me.role === "actions") return null;
  const params = { path: { alert_id: alert.id } };
  const done = {
    onSuccess: () => {
      setOpen(undefined);
      renew();
    },
  };
  const shared = (verb: string, act: { isPending: boolean; error: unknown }) => ({
    verb,
    open: open === verb,
    onOpen: (on: boolean) => setOpen(on ? verb : undefined),
    busy: act.isPending,
    failure: act.error,
  });
  const offered = (verb: string, may: boolean) => may && (open === undefined || open === verb);
  const waits = alert.deliveries.some((each) => each.status === "pending");
  return (
    <footer className="actions">
      {offered("Ack", alert.status === "open") ? (
        <Verb
          {...shared("Ack", ack)}
          asksReason
          about="You look after it: nobody is told of it again as long as it stays as it is."
          command={(note) => shellWords(["interlock", "alert", "ack", alert.id, ...(note ? ["--note", note] : [])])}
          onDo={(note) => ack.mutate({ params, body: { note } }, done)}
        />
      ) : null}
      {offered("Resolve", alert.status !== "resolved") ? (
        <Verb
          {...shared("Resolve", resolve)}
          tone="good"
          asksReason
          about="It is over: the sinks that were told of it are told so. If it comes back, it is a new alert."
          command={(note) =>
            shellWords(["interlock", "alert", "resolve", alert.id, ...(note ? ["--reason", note] : [])])
          }
          onDo={(note) => resolve.mutate({ params, body: { note } }, done)}
        />
      ) : null}
      {offered("Replay", waits) ? (
        <Verb
          {...shared("Replay", replay)}
          about="What waits for its next attempt is sent at once, and its sinks are tried again."
          command={() => shellWords(["interlock", "alert", "replay", alert.id])}
          onDo={() => replay.mutate({ body: { alert_id: alert.id, sink: "", delivered: false } }, done)}
        />
      ) : null}
    </footer>
  );
}
