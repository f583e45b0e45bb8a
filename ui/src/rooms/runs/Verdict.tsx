import { Link } from "wouter";
import { type Fact, Facts } from "../../parts/Facts";
import { visible } from "../../parts/hidden";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { asText, plain } from "../../parts/words";
import type { RunInFull, Truth } from "../../types";
import { useTruth } from "../../useOpsService";

const IN_ORDER: readonly string[] = ["none", "starting", "progressing", "waiting_external"];
/** Whether a verdict is one that somebody wants to know of in a list. */
export function isTrouble(truth: Truth | undefined): truth is Truth {
  return truth !== undefined && !IN_ORDER.includes(truth.status);
}

const DONE: Readonly<Record<string, string>> = {
  wait: "Nothing is done about it.",
  ask: "A person is asked, and it goes on meanwhile.",
  take_over: "It is taken from who holds it; the next worker goes on after the last completed step.",
  finalise: "It is ended from what is stored of it.",
  kill: "It is ended, with every process of it.",
};

function factsOf(truth: Truth): Fact[] {
  const looked = truth.host === "-" ? "in the database" : `from ${visible(truth.host ?? "somewhere")}`;
  return [
    ["since", <RelativeTime key="s" at={truth.since} />],
    [
      "looked at",
      <span key="l">
        <RelativeTime at={truth.seen} />, {looked}
      </span>,
    ],
    ...Object.entries(truth.details)
      .filter(([, value]) => value !== null && value !== "" && asText(value) !== "{}")
      .map(([name, value]): Fact => [plain(name), visible(asText(value))]),
  ];
}

/** What is true of a run whatever it says itself, why, and what is done about it; nothing where it has ended for good. */
export function Verdict({ run }: { run: RunInFull }) {
  const goes = run.status === "running";
  const found = useTruth(run.id, goes);
  const truth = found.data;
  if (!truth) return goes && found.error ? <p className="hint">What is true of it can not be told now.</p> : null;
  if (truth.status === "none") return null;
  return (
    <section className="runs-verdict" data-trouble={isTrouble(truth)} aria-label="Verdict">
      <p className="runs-verdict-head">
        <StateBadge state={plain(truth.status)} /> <strong>{truth.says}</strong>
      </p>
      {isTrouble(truth) ? (
        <p>
          {DONE[truth.action ?? "wait"] ?? plain(truth.action ?? "")}{" "}
          {truth.action === "ask" ? <Link href="/inbox">Inbox</Link> : null}
        </p>
      ) : null}
      <details>
        <summary>
          reason <code>{truth.reason}</code>
        </summary>
        <Facts of={factsOf(truth)} />
      </details>
    </section>
  );
}
