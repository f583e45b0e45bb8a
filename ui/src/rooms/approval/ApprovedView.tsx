import "./approved.css";
import { Link, useSearch } from "wouter";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { chosenOf, Filters } from "../../parts/Filters";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { Older } from "../../parts/Older";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { ViewProps } from "../../parts/ViewProps";
import { shortDigest } from "../../parts/words";
import { useApprovedPages } from "../../useOpsService";
import { ApprovedDetail } from "./ApprovedDetail";
import { standingOf } from "./approvedStanding";
import { Plain } from "./Plain";

const STATES = ["all", "valid", "expired", "revoked"] as const;

function Nothing({ state }: { state: (typeof STATES)[number] }) {
  if (state !== "all") return <Empty title={`No record is ${state}`}>Older ones may be: look at all of them.</Empty>;
  return (
    <Empty title="Nothing is approved yet">
      What a person approves under <Link href="/review">Review</Link> waits here until somebody runs it:{" "}
      <code>interlock draft approve d_…</code>
    </Empty>
  );
}

/** What people have agreed to, exactly as they did: runs are started here and nowhere else. */
export default function ApprovedView({ id, me }: ViewProps) {
  const state = chosenOf(STATES, useSearch());
  const found = useApprovedPages();
  const where = state === "all" ? "" : `?status=${state}`;
  const records = (found.data?.pages.flat() ?? []).filter((each) => state === "all" || standingOf(each) === state);
  const rows = records.map((each) => ({
    id: each.id,
    href: `/approved/${each.id}${where}`,
    title: <Plain text={each.prompt.slice(0, 300)} />,
    below: (
      <>
        <StateBadge state={standingOf(each)} /> {each.approved_by} · <RelativeTime at={each.approved_at} /> ·{" "}
        <code>{shortDigest(each.digest)}</code>
      </>
    ),
  }));
  const more = () => {
    if (found.hasNextPage && !found.isFetchingNextPage) void found.fetchNextPage();
  };
  return (
    <ListAndDetail
      label="Approved records"
      rows={rows}
      selected={id}
      back={`/approved${where}`}
      onEnd={more}
      foot={<Older more={found.hasNextPage} busy={found.isFetchingNextPage} onMore={more} />}
      head={
        <>
          <h1>Approved</h1>
          <Filters label="Approved records by standing" base="/approved" words={STATES} chosen={state} />
          {found.error ? <Failure of={found.error} again={() => void found.refetch()} /> : null}
        </>
      }
      empty={found.isPending ? <p className="waiting">…</p> : found.error ? null : <Nothing state={state} />}
    >
      {id === undefined ? (
        <p className="hint keys">
          <kbd>j</kbd> <kbd>k</kbd> walk through the list, <kbd>r</kbd> revokes.
        </p>
      ) : (
        <ApprovedDetail key={id} id={id} me={me} />
      )}
    </ListAndDetail>
  );
}
