import { Fragment } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { Block } from "../../parts/Block";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { Table } from "../../parts/Table";
import { useKeys } from "../../parts/useKeys";
import type { ViewProps } from "../../parts/ViewProps";
import { asText } from "../../parts/words";
import type { LogEntry, LogFilter } from "../../types";
import { useEntries } from "../../useOpsService";
import { LogFilters, NothingFound, Pager } from "../evidence/LogFilters";
import { asked, link } from "../evidence/links";
import { Download } from "./Download";
import "./access.css";

const FAMILIES = [
  "draft",
  "approved",
  "run",
  "item",
  "pipeline",
  "deployment",
  "loop",
  "alert",
  "provider",
  "token",
  "session",
  "key",
  "panic",
];
const OUTCOMES = [undefined, "allowed", "denied"] as const;

function Outcomes({ now }: { now: LogFilter }) {
  return (
    <nav className="filters" aria-label="Entries by outcome">
      {OUTCOMES.map((outcome) => (
        <Link
          key={outcome ?? "all"}
          href={link("/audit", now, { outcome })}
          aria-current={now.outcome === outcome ? "page" : undefined}
        >
          {outcome ?? "allowed and denied"}
        </Link>
      ))}
    </nav>
  );
}

/** Why it was done, or what was refused, in the words that were given. */
function why({ payload }: LogEntry): string {
  const { reason, code, deed, source, times } = payload;
  if (typeof code === "string") {
    return [
      code,
      deed,
      source ? `from ${asText(source)}` : "",
      typeof times === "number" && times > 1 ? `${times} times` : "",
    ]
      .filter(Boolean)
      .join(" · ");
  }
  return typeof reason === "string" ? reason : "";
}

function Entry({ entry, now, open }: { entry: LogEntry; now: LogFilter; open: boolean }) {
  const here = link(open ? "/audit" : `/audit/${entry.index}`, now, { before: now.before });
  return (
    <Fragment>
      <tr data-open={open} data-denied={entry.kind === "access.denied"}>
        <td>
          <Link href={here} aria-expanded={open} aria-label={`Entry ${entry.index}`} className="access-index">
            {entry.index}
          </Link>
        </td>
        <td>
          <RelativeTime at={entry.time} />
        </td>
        <td>
          <Link href={link("/audit", now, { principal: entry.principal })}>{entry.principal}</Link>
        </td>
        <td>
          <Link href={link("/audit", now, { kind: entry.kind })}>{entry.kind}</Link>
        </td>
        <td>
          <Link href={link("/audit", now, { subject: entry.subject })}>{entry.subject}</Link>
        </td>
        <td className="access-why">{why(entry)}</td>
      </tr>
      {open ? (
        <tr className="access-whole">
          <td colSpan={6}>
            <Block name={`Entry ${entry.index}`} text={JSON.stringify(entry.payload, null, 2)} />
            <p className="small">
              {entry.time} · correlation id {entry.correlation_id ?? "—"} ·{" "}
              <Link href={`/evidence/${entry.index}`}>Verify it in Evidence</Link>
            </p>
          </td>
        </tr>
      ) : null}
    </Fragment>
  );
}

/** Who did what, and who was turned away; newest first. */
export default function AuditView({ id }: ViewProps) {
  const [, go] = useLocation();
  const now = asked(useSearch());
  const page = useEntries({ ...now, limit: 100 });
  const entries = page.data?.entries ?? [];
  const at = entries.findIndex((entry) => String(entry.index) === id);
  const step = (by: number) => {
    const next = entries[at < 0 ? 0 : Math.min(entries.length - 1, Math.max(0, at + by))];
    if (next) go(link(`/audit/${next.index}`, now, { before: now.before }));
  };
  useKeys({ j: () => step(1), k: () => step(-1) });
  return (
    <div className="access-audit">
      <h1>Audit</h1>
      <LogFilters base="/audit" now={now} page={page.data} families={FAMILIES} more={<Outcomes now={now} />} />
      <Download now={now} />
      {page.error ? <Failure of={page.error} again={() => void page.refetch()} /> : null}
      {page.isPending ? <p className="waiting">…</p> : null}
      {entries.length ? (
        <Table label="What happened" className="access-table" heads={["entry", "when", "who", "what", "about", "why"]}>
          {entries.map((entry) => (
            <Entry key={entry.index} entry={entry} now={now} open={String(entry.index) === id} />
          ))}
        </Table>
      ) : page.data ? (
        <NothingFound base="/audit" now={now} page={page.data} />
      ) : null}
      {entries.length > 20 ? <Pager base="/audit" now={now} page={page.data} /> : null}
    </div>
  );
}
