import { type ReactNode, useState } from "react";
import { serverNow } from "../../api/clock";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { Item, Me } from "../../types";
import {
  useCancelItem,
  useReleaseItem,
  useReplanItem,
  useReprioritiseItem,
  useRetryItem,
  useSnoozeItem,
} from "../../useOpsService";
import { PRIORITIES } from "./address";
import { useRenew } from "./asked";

const SPANS = { "15m": 900_000, "1h": 3_600_000, "1d": 86_400_000, "7d": 604_800_000, "0": 0 } as const;
type Span = keyof typeof SPANS;

interface One {
  verb: string;
  tone?: "bad";
  about: ReactNode;
  words: (reason: string) => string[];
  mutation: { isPending: boolean; error: unknown };
  onDo: (reason: string) => void;
}

function isOver(instant: string | null | undefined): boolean {
  return instant ? Date.parse(instant) <= serverNow() : false;
}

function Choice<Word extends string>({
  label,
  words,
  value,
  onChange,
}: {
  label: string;
  words: readonly Word[];
  value: Word;
  onChange: (value: Word) => void;
}) {
  return (
    <label>
      {label}{" "}
      <select value={value} onChange={(event) => onChange(words.find((each) => each === event.target.value) ?? value)}>
        {words.map((each) => (
          <option key={each} value={each}>
            {each === "0" ? "no longer" : each}
          </option>
        ))}
      </select>
    </label>
  );
}

/** The verbs that an item's state allows, each as it was seen: one that has moved since is refused by the server. */
function useVerbs(item: Item, onDone: () => void): One[] {
  const [to, setTo] = useState<(typeof PRIORITIES)[number]>("P0");
  const [span, setSpan] = useState<Span>("1h");
  const cancel = useCancelItem();
  const retry = useRetryItem();
  const replan = useReplanItem();
  const rank = useReprioritiseItem();
  const snooze = useSnoozeItem();
  const release = useReleaseItem();
  const params = { path: { item_id: item.id } };
  const seen = { status: item.status, fence: item.fence ?? 0 };
  const done = { onSuccess: onDone };
  const held = item.status === "IN_PROGRESS";
  const why = (reason: string) => (reason ? ["--reason", reason] : []);
  const found: One[] = [];
  if (held || item.status === "PENDING") {
    found.push({
      verb: "Cancel",
      tone: "bad",
      about: "It becomes BLOCKED, who holds it loses it, and its run is cancelled.",
      words: (reason) => ["cancel", item.id, ...why(reason)],
      mutation: cancel,
      onDo: (reason) => cancel.mutate({ params, body: { reason, seen } }, done),
    });
  }
  if (item.attempt_count < item.max_attempts && (item.status === "FAILED" || (held && isOver(item.lease_until)))) {
    found.push({
      verb: "Retry",
      about: "It becomes PENDING after its back-off, with one attempt more.",
      words: (reason) => ["retry", item.id, ...why(reason)],
      mutation: retry,
      onDo: (reason) => retry.mutate({ params, body: { reason, seen } }, done),
    });
  }
  found.push({
    verb: "Replan",
    about: `It goes back to planning, as ${held ? "BLOCKED" : "PENDING"}. The reason says what has to be planned anew.`,
    words: (notes) => ["replan", item.id, "--notes", notes],
    mutation: replan,
    onDo: (notes) => replan.mutate({ params, body: { notes, seen } }, done),
  });
  if (item.status !== "DONE") {
    found.push({
      verb: "Reprioritise",
      about: <Choice label="It gets the priority" words={PRIORITIES} value={to} onChange={setTo} />,
      words: (reason) => ["reprioritise", item.id, "--to", to, ...why(reason)],
      mutation: rank,
      onDo: (reason) => rank.mutate({ params, body: { priority: to, reason, seen } }, done),
    });
  }
  if (item.status === "PENDING" && item.waits_for !== "approval") {
    const spans: Span[] = ["15m", "1h", "1d", "7d", "0"];
    found.push({
      verb: "Snooze",
      about: <Choice label="It waits" words={spans} value={span} onChange={setSpan} />,
      words: (reason) => ["snooze", item.id, "--for", span, ...why(reason)],
      mutation: snooze,
      onDo: (reason) => {
        const until = span === "0" ? null : serverNow() + SPANS[span];
        snooze.mutate({ params, body: { not_before_ms: until, reason } }, done);
      },
    });
  }
  if (held) {
    found.push({
      verb: "Release",
      about: "It is given back and can be claimed again at once; no attempt is used up, and who held it is shut out.",
      words: (notes) => ["release", item.id, "--fence", `${seen.fence}`, ...(notes ? ["--notes", notes] : [])],
      mutation: release,
      onDo: (notes) => release.mutate({ params, body: { fence: seen.fence, notes } }, done),
    });
  }
  return found;
}

/** What an operator may do with an item as it stands; nothing else is offered. */
export function ItemVerbs({ item, me }: { item: Item; me: Me }) {
  const [open, setOpen] = useState<string>();
  const renew = useRenew();
  const verbs = useVerbs(item, () => {
    setOpen(undefined);
    renew();
  });
  if (me.role === "actions") return <p className="hint">Moving items takes the role operator; yours is actions.</p>;
  return (
    <footer className="actions">
      {verbs
        .filter(({ verb }) => open === undefined || open === verb)
        .map(({ verb, tone, about, words, mutation, onDo }) => (
          <Verb
            key={verb}
            verb={verb}
            {...(tone && { tone })}
            asksReason
            about={about}
            command={(reason) => shellWords(["interlock", "queue", ...words(reason)])}
            open={open === verb}
            onOpen={(wanted) => setOpen(wanted ? verb : undefined)}
            busy={mutation.isPending}
            failure={mutation.error}
            onDo={onDo}
          />
        ))}
    </footer>
  );
}
