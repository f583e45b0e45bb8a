import { useSearch } from "wouter";
import { chosenOf, Filters } from "../../parts/Filters";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { Draft, Me } from "../../types";
import { useDrafts } from "../../useOpsService";
import { DraftDetail } from "./DraftDetail";

const STATES = ["draft", "approved", "rejected", "error"] as const satisfies readonly Draft["status"][];

function NothingWaits({ state }: { state: string }) {
  return state === "draft" ? (
    <Empty title="Nothing waits for you">
      Agents and people propose work with <code>interlock draft create</code>. Nothing runs before a person has approved
      exactly what was shown.
    </Empty>
  ) : (
    <Empty title={`No draft is ${state === "error" ? "in error" : state}`}>What is decided stays to be seen here.</Empty>
  );
}

/** Drafts, and exactly what each would run. */
export default function ReviewPanel({ id, me }: { id: string | undefined; me: Me }) {
  const search = useSearch();
  const state = chosenOf(STATES, search);
  const drafts = useDrafts(state);
  const where = state === "draft" ? "" : `?status=${state}`;
  const rows = (drafts.data ?? []).map((draft) => ({
    id: draft.id,
    href: `/review/${draft.id}${where}`,
    title: draft.prompt,
    below: (
      <>
        <StateBadge state={draft.status} /> {draft.author} · <RelativeTime at={draft.updated_at} />
      </>
    ),
  }));
  return (
    <ListAndDetail
      label="Drafts"
      rows={rows}
      selected={id}
      back={`/review${where}`}
      head={
        <>
          <h1>Review</h1>
          <Filters label="Drafts by status" base="/review" words={STATES} chosen={state} />
          {drafts.error ? <Failure of={drafts.error} again={() => void drafts.refetch()} /> : null}
        </>
      }
      empty={drafts.isPending ? <p className="waiting">…</p> : drafts.error ? null : <NothingWaits state={state} />}
    >
      {id === undefined ? (
        <p className="hint keys">
          <kbd>j</kbd> <kbd>k</kbd> walk through the list, <kbd>a</kbd> approves, <kbd>r</kbd> rejects.
        </p>
      ) : (
        <DraftDetail key={id} id={id} me={me} />
      )}
    </ListAndDetail>
  );
}
