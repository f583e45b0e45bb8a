import { Link, useSearch } from "wouter";
import { Block } from "../../parts/Block";
import { type Fact, Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { visible } from "../../parts/hidden";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { counted } from "../../parts/words";
import type { Item, ItemStatus, Me } from "../../types";
import { addressOf } from "./address";
import { useExplanation, useItem } from "./asked";
import { ItemVerbs } from "./ItemVerbs";

const QUESTIONS: Readonly<Record<ItemStatus, string>> = {
  PENDING: "Why it is not running",
  IN_PROGRESS: "Why it is under way",
  BLOCKED: "Why it is blocked",
  FAILED: "Why it failed",
  DONE: "How it ended",
};

function Explanation({ item }: { item: Item }) {
  const explained = useExplanation(item.id);
  const question = Object.entries(QUESTIONS).find(([status]) => status === item.status)?.[1] ?? "Why it stands so";
  return (
    <Section title={question}>
      {explained.error ? <Failure of={explained.error} again={() => void explained.refetch()} /> : null}
      <ul className="queue-because">
        {(explained.data?.because ?? []).map((reason) => (
          <li key={reason.code + reason.text} title={reason.code}>
            {reason.text}
          </li>
        ))}
      </ul>
    </Section>
  );
}

const WAITS_FOR: Readonly<Record<string, string>> = {
  approval: "a new approved draft",
  ci: "CI to report on exactly its result",
  limit: "a place under its limit",
};

function factsOf(item: Item): Fact[] {
  const word = (value: string | null | undefined) => (value && value !== "-" ? value : "—");
  return [
    ["Owner", word(item.owner_session)],
    ["Held since", <RelativeTime key="s" at={item.started_at} />],
    ["Lease until", <RelativeTime key="l" at={item.lease_until} />],
    ["Fence", String(item.fence ?? "—")],
    ["Attempts", `${item.attempt_count} of ${item.max_attempts}`],
    ["Not before", <RelativeTime key="n" at={item.not_before} />],
    ["Waits for", WAITS_FOR[item.waits_for ?? ""] ?? word(item.waits_for)],
    ["Concurrency key", word(item.concurrency_key)],
    ["Needs", item.needs.length ? visible(item.needs.join(", ")) : "—"],
    [
      "Node",
      item.node_id ? (
        <Link key="o" href={`/nodes/${item.node_id}`}>
          {item.node_id}
        </Link>
      ) : (
        "—"
      ),
    ],
    ["Repository", visible(word(item.repository))],
    ["Agent", visible(word(item.agent))],
    ...(item.aged
      ? [["Has waited long", `counts ${counted(item.aged, "priority", "priorities")} higher`] as const]
      : []),
    [
      "Run",
      item.run_id ? (
        <Link key="r" href={`/runs/${item.run_id}`}>
          {item.run_id}
        </Link>
      ) : (
        "—"
      ),
    ],
    ["Kind", `${item.kind}, for ${item.executor === "interlock" ? "an Interlock worker" : "an external session"}`],
    ["Added", <RelativeTime key="a" at={item.created_at} />],
    ["Due", item.due_at_kst && item.due_at_kst !== "-" ? `${item.due_at_kst} (UTC+9)` : "—"],
    ["Idempotency key", word(item.idempotency_key)],
  ];
}

/** Everything that is known of one item, why it stands so, and what can be done with it. */
export function ItemDetail({ id, me }: { id: string; me: Me }) {
  const search = useSearch();
  const item = useItem(id);
  if (item.error) return <Failure of={item.error} again={() => void item.refetch()} />;
  if (!item.data) return <p className="waiting">…</p>;
  const shown = item.data;
  return (
    <article className="detail" aria-label={shown.id}>
      <header className="detail-head">
        <h2>{shown.id}</h2>
        <StateBadge state={shown.status} />
        <span>{shown.priority}</span>
        <Link className="queue-close" href={addressOf(search, {})} aria-label="Close the item">
          ✕
        </Link>
      </header>
      <Block text={visible(shown.task)} name="Task" />
      <Explanation item={shown} />
      {shown.last_error ? (
        <Section title="Last error">
          <Block text={visible(shown.last_error)} name="Last error" />
        </Section>
      ) : null}
      <Section title="Done when">
        <Block text={visible(shown.success_criteria)} name="Success criteria" />
      </Section>
      <Section title="Facts">
        <Facts of={factsOf(shown)} />
      </Section>
      {shown.notes ? (
        <Section title="Notes">
          <Block text={visible(shown.notes)} name="Notes" />
        </Section>
      ) : null}
      <ItemVerbs item={shown} me={me} />
    </article>
  );
}
