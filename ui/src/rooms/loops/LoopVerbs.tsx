import { type ReactNode, useState } from "react";
import { Link } from "wouter";
import { useRenewal } from "../../parts/useRenewal";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { LoopControlled, LoopInFull, Me } from "../../types";
import { useAcknowledgeLoop, useControlLoop, useReconcileLoop, useUnfreezeLoop } from "../../useOpsService";
import { named } from "./fleet";

interface Props {
  loop: LoopInFull;
  me: Me;
  onOutcome: (outcome: LoopControlled | undefined) => void;
}
interface One {
  verb: string;
  words: readonly string[];
  about: ReactNode;
  tone?: "good" | "bad";
  asks?: boolean;
  may: boolean;
  act: { isPending: boolean; error: unknown };
  onDo: (note: string) => void;
}

const REPLAYED = ["ordering_drift_detected", "cursor_corrupt", "divergence_detected"];

/** What this caller may do with the loop as it stands. */
function useVerbs({ loop, me, onOutcome }: Props, close: () => void): One[] {
  const renew = useRenewal("/ops/loops");
  const reconcile = useReconcileLoop();
  const control = useControlLoop();
  const acknowledge = useAcknowledgeLoop();
  const unfreeze = useUnfreezeLoop();
  const params = { path: { loop_id: loop.id }, query: loop.watch === null ? {} : { repo: loop.repo } };
  const done = (outcome?: LoopControlled) => {
    close();
    onOutcome(outcome);
    renew();
  };
  const told = { onSuccess: (outcome: LoopControlled) => done(outcome) };
  const steers = loop.watch !== null;
  const asks = steers && loop.view?.lifecycle.pending_approval === true;
  const last = loop.view?.intents[0]?.status;
  const fromStart = loop.reasons.some((code) => REPLAYED.includes(code));

  const intent = (word: "cancel" | "approve" | "reject", may: boolean, about: ReactNode): One => ({
    verb: `${word[0]?.toUpperCase()}${word.slice(1)}`,
    words: ["control", ...named(loop), "--intent", word],
    about,
    tone: word === "approve" ? "good" : "bad",
    asks: true,
    may,
    act: control,
    onDo: (note) =>
      control.mutate({ params, body: { intent: word, note: note || null, confirm: true, timeout_seconds: 10 } }, told),
  });
  const look = (verb: string, from_start: boolean, about: ReactNode, may = true): One => ({
    verb,
    words: ["reconcile", ...named(loop), ...(from_start ? ["--from-start"] : [])],
    about,
    may,
    act: reconcile,
    onDo: () =>
      reconcile.mutate({ params: { ...params, query: { ...params.query, from_start } } }, { onSuccess: () => done() }),
  });
  const all: One[] = [
    look("Reconcile", false, "Its files are read now, and judged; nothing of the loop is changed."),
    intent(
      "approve",
      asks && me.may_decide,
      "The loop goes on with what it waits for. Its effect is looked for, for 10 seconds.",
    ),
    intent("reject", asks, "What the loop waits for does not happen. Its effect is looked for, for 10 seconds."),
    intent("cancel", steers, "The loop is told to end. Its effect is looked for, for 10 seconds."),
    {
      verb: "Acknowledge",
      words: ["acknowledge", ...named(loop)],
      about: "You say that you have looked after the last intent. Nothing is sent to the loop.",
      asks: true,
      may: me.may_decide && (last === "ambiguous" || last === "failed_command"),
      act: acknowledge,
      onDo: (note) => acknowledge.mutate({ params, body: { note: note || null } }, told),
    },
    {
      verb: "Unfreeze",
      words: ["unfreeze", ...named(loop)],
      about: "Machines may steer it again in spite of what stands there now; what happens later freezes it anew.",
      asks: true,
      may: me.may_decide && loop.frozen.length > 0,
      act: unfreeze,
      onDo: (note) => unfreeze.mutate({ params, body: { note: note || null } }, { onSuccess: () => done() }),
    },
    look(
      "Reconcile from the start",
      true,
      "All its events are read again from the first. Do this after the log was cut or replaced.",
      fromStart,
    ),
  ];
  return all.filter((each) => each.may);
}

export function LoopVerbs(props: Props) {
  const [open, setOpen] = useState<string>();
  const verbs = useVerbs(props, () => setOpen(undefined));
  const { loop, me } = props;
  if (me.role === "actions") return null;
  return (
    <footer className="actions">
      {loop.watch === null ? (
        <p className="hint">
          It is a run of ours: <Link href={`/runs/${loop.id}`}>cancel the run</Link> to end it.
        </p>
      ) : null}
      {verbs
        .filter((each) => open === undefined || each.verb === open)
        .map((each) => (
          <Verb
            key={each.verb}
            verb={each.verb}
            tone={each.tone}
            asksReason={each.asks}
            about={each.about}
            command={(note) =>
              shellWords(["interlock", "loop", ...each.words, ...(each.asks && note ? ["--note", note] : [])])
            }
            open={open === each.verb}
            onOpen={(on) => setOpen(on ? each.verb : undefined)}
            busy={each.act.isPending}
            failure={open === each.verb ? each.act.error : undefined}
            onDo={each.onDo}
          />
        ))}
    </footer>
  );
}
