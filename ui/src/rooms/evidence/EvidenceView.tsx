import { Link, useSearch } from "wouter";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { RelativeTime } from "../../parts/RelativeTime";
import type { ViewProps } from "../../parts/ViewProps";
import { useEntries } from "../../useOpsService";
import { EntryDetail } from "./EntryDetail";
import { LogFilters, NothingFound } from "./LogFilters";
import { LogOverview } from "./LogOverview";
import { asked, link } from "./links";
import "./evidence.css";

const FAMILIES = [
  "draft",
  "run",
  "pipeline",
  "deployment",
  "loop",
  "alert",
  "key",
  "token",
  "session",
  "access",
  "panic",
];
const INDEX = /^\d{1,15}$/;

/** The log, newest first; each entry is verified where it stands. */
export default function EvidenceView({ id, me }: ViewProps) {
  const now = asked(useSearch());
  const page = useEntries({ ...now, limit: 60 });
  const where = link("", now, { before: now.before });
  const rows = (page.data?.entries ?? []).map((entry) => ({
    id: String(entry.index),
    href: `/evidence/${entry.index}${where}`,
    title: (
      <span className="evidence-row">
        <span className="evidence-index">{entry.index}</span>
        <span>{entry.kind}</span>
        <span className="small">
          <RelativeTime at={entry.time} />
        </span>
      </span>
    ),
    below: (
      <span className="evidence-about">
        {entry.principal} · {entry.subject}
      </span>
    ),
  }));
  return (
    <ListAndDetail
      label="Entries"
      rows={rows}
      selected={id}
      back={`/evidence${where}`}
      head={
        <>
          <h1>Evidence</h1>
          <Link href={`/evidence/log${where}`}>The log: signed head, keys, how to verify it</Link>
          <LogFilters base="/evidence" now={now} page={page.data} families={FAMILIES} />
          {page.error ? <Failure of={page.error} again={() => void page.refetch()} /> : null}
        </>
      }
      empty={
        page.isPending ? <p className="waiting">…</p> : <NothingFound base="/evidence" now={now} page={page.data} />
      }
    >
      {id === undefined || id === "log" ? (
        <div className={id === undefined ? "only-wide" : undefined}>
          <LogOverview me={me} />
        </div>
      ) : INDEX.test(id) ? (
        <EntryDetail key={id} index={Number(id)} now={now} me={me} />
      ) : (
        <Empty title="There is no such entry">Entries are numbered from 0 on.</Empty>
      )}
    </ListAndDetail>
  );
}
