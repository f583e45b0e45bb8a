import { Link, useSearch } from "wouter";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { chosenOf, Filters } from "../../parts/Filters";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { Older } from "../../parts/Older";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { ViewProps } from "../../parts/ViewProps";
import type { Draft } from "../../types";
import { useDraftPages } from "../../useOpsService";
import "./approval.css";
import { DraftDetail } from "./DraftDetail";
import { DraftTable } from "./DraftTable";
import { Plain } from "./Plain";

const STATES = ["draft", "approved", "rejected", "error"] as const satisfies readonly Draft["status"][];

function NothingWaits({ state }: { state: string }) {
  return state === "draft" ? (
    <Empty title="Nothing waits for you">
      Write one in the <Link href="/factory">Prompt Factory</Link>, or have agents propose work with{" "}
      <code>interlock draft create</code>. Nothing runs before a person has approved exactly what was shown.
    </Empty>
  ) : (
    <Empty title={`No draft is ${state === "error" ? "in error" : state}`}>
      What is decided stays to be seen here.
    </Empty>
  );
}

function rowOf(draft: Draft, where: string) {
  return {
    id: draft.id,
    href: `/review/${draft.id}${where}`,
    title: <Plain text={draft.prompt.slice(0, 400)} />,
    below: (
      <>
        <StateBadge state={draft.status} /> {draft.author} · <RelativeTime at={draft.updated_at} />
      </>
    ),
  };
}

/** Drafts, and exactly what each would run. */
export default function ReviewPanel({ id, me }: ViewProps) {
  const search = useSearch();
  const state = chosenOf(STATES, search);
  const found = useDraftPages(state);
  const where = state === "draft" ? "" : `?status=${state}`;
  const drafts = found.data?.pages.flat() ?? [];
  const more = () => {
    if (found.hasNextPage && !found.isFetchingNextPage) void found.fetchNextPage();
  };
  const foot = <Older more={found.hasNextPage} busy={found.isFetchingNextPage} onMore={more} />;
  const empty = found.isPending ? <p className="waiting">…</p> : found.error ? null : <NothingWaits state={state} />;
  const head = (
    <>
      <h1>Review</h1>
      <Filters label="Drafts by status" base="/review" words={STATES} chosen={state} />
      {found.error ? <Failure of={found.error} again={() => void found.refetch()} /> : null}
    </>
  );
  if (id === undefined) {
    return (
      <div className="review-list">
        {head}
        {drafts.length ? <DraftTable drafts={drafts} where={where} /> : empty}
        {foot}
        <p className="hint keys">
          <kbd>j</kbd> <kbd>k</kbd> walk through the drafts; in one, <kbd>a</kbd> approves, <kbd>r</kbd> rejects,{" "}
          <kbd>e</kbd> edits.
        </p>
      </div>
    );
  }
  return (
    <ListAndDetail
      label="Drafts"
      rows={drafts.map((draft) => rowOf(draft, where))}
      selected={id}
      back={`/review${where}`}
      onEnd={more}
      foot={foot}
      head={head}
      empty={empty}
    >
      <DraftDetail key={id} id={id} me={me} />
    </ListAndDetail>
  );
}
