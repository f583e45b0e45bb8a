import { Link } from "wouter";
import { Copy } from "../../parts/Copy";
import { visible } from "../../parts/hidden";
import { RelativeTime } from "../../parts/RelativeTime";
import type { Waiting } from "../../types";

const TONES: Readonly<Record<Waiting["kind"], "bad" | "waits" | "goes" | "still">> = {
  panic: "bad",
  ambiguous_control: "bad",
  critical_alert: "bad",
  stuck_run: "bad",
  loop_in_trouble: "bad",
  checkpoint_failed: "waits",
  approval_expiring: "waits",
  draft_waiting: "goes",
  run_failed: "waits",
  pipeline_failed: "waits",
  run_waiting: "still",
  alert_open: "still",
};

function Alerts({ ids }: { ids: readonly string[] }) {
  const [only, ...others] = ids;
  if (only === undefined) return null;
  if (others.length === 0) return <Link href={`/alerts/${only}`}>alert open</Link>;
  return <Link href="/alerts">{ids.length} alerts open</Link>;
}

/** One matter: what it is, since when, until when, and the verb that ends the wait. */
export function Matter({ item }: { item: Waiting }) {
  const verb = item.next;
  const word = verb?.console ? verb.verb : "Look";
  const sentence = visible(item.sentence);
  return (
    <li className="inbox-matter" data-tone={TONES[item.kind]}>
      <div className="inbox-what">
        <p className="inbox-sentence">{sentence}</p>
        <p className="inbox-facts">
          {item.deadline ? (
            <strong className="inbox-deadline">
              expires <RelativeTime at={item.deadline} />
            </strong>
          ) : null}
          <RelativeTime at={item.since} />
          {item.id === item.kind ? null : <code className={verb ? "inbox-id" : undefined}>{item.id}</code>}
          <Alerts ids={item.alerts} />
          {verb ? (
            <span className="inbox-command" data-only={!verb.console}>
              <code>{verb.command}</code>
              <Copy text={verb.command} what={`the command for ${item.id}`} />
            </span>
          ) : (
            <span>{item.who_can} can end this</span>
          )}
        </p>
      </div>
      <Link href={item.href} className="inbox-go" data-mine={verb !== null} aria-label={`${word}: ${sentence}`}>
        {word}
        <span aria-hidden="true"> →</span>
      </Link>
    </li>
  );
}
