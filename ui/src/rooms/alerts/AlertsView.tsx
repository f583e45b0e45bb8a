import type { ReactNode } from "react";
import { Link, useSearch } from "wouter";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { chosenOf, Filters } from "../../parts/Filters";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { ViewProps } from "../../parts/ViewProps";
import type { Alert, AlertState, Me } from "../../types";
import { useAlerts } from "../../useOpsService";
import { AlertDetail } from "./AlertDetail";
import { Silences } from "./Silences";
import { Sinks } from "./Sinks";
import { titleOf } from "./words";
import "./alerts.css";

const STATES = [
  "standing",
  "open",
  "acknowledged",
  "silenced",
  "resolved",
  "all",
] as const satisfies readonly AlertState[];
const PAGE = 100;

/** Alerts; beside them who is not told of what, and where they go. */
export default function AlertsView({ id, me }: ViewProps) {
  if (id === "silences" || id === "sinks") {
    return (
      <Page title={id === "silences" ? "Silences" : "Sinks"} me={me}>
        {id === "silences" ? <Silences me={me} /> : <Sinks me={me} />}
      </Page>
    );
  }
  return <AlertList id={id} me={me} />;
}

function Parts({ here, me }: { here: string; me: Me }) {
  const parts = [
    ["/alerts", "Alerts"],
    ["/alerts/silences", "Silences"],
    ...(me.role === "actions" ? [] : ([["/alerts/sinks", "Sinks"]] as const)),
  ] as const;
  return (
    <nav className="tabs" aria-label="Parts of alerts">
      {parts.map(([href, name]) => (
        <Link key={href} href={href} aria-current={name === here ? "page" : undefined}>
          {name}
        </Link>
      ))}
    </nav>
  );
}

function Page({ title, me, children }: { title: string; me: Me; children: ReactNode }) {
  return (
    <div className="alerts-page">
      <Parts here={title} me={me} />
      <h1>{title}</h1>
      {children}
    </div>
  );
}

function rowOf(alert: Alert, where: string) {
  return {
    id: alert.id,
    href: `/alerts/${alert.id}${where}`,
    title: titleOf(alert),
    below: (
      <>
        <StateBadge state={alert.status} /> <StateBadge state={alert.severity} /> <RelativeTime at={alert.last_at} />
        {alert.count > 1 ? ` · ${alert.count} times` : ""}
        {alert.untold ? " · nobody was told" : ""}
      </>
    ),
  };
}

function Nothing({ state }: { state: AlertState }) {
  return state === "standing" ? (
    <Empty title="Nothing is the matter">
      Failed runs, loops in trouble and the like open an alert. Who is told of them stands in the file of{" "}
      <Link href="/alerts/sinks">sinks</Link>.
    </Empty>
  ) : (
    <Empty title={`No alert is ${state === "all" ? "known" : state}`}>
      <Link href="/alerts">Those that are not resolved</Link>
    </Empty>
  );
}

function addressOf(state: AlertState, before?: string): string {
  const asked = new URLSearchParams();
  if (state !== "standing") asked.set("status", state);
  if (before) asked.set("before", before);
  const text = asked.toString();
  return text && `?${text}`;
}

function AlertList({ id, me }: ViewProps) {
  const search = useSearch();
  const state = chosenOf(STATES, search);
  const before = new URLSearchParams(search).get("before") ?? undefined;
  const found = useAlerts(state, before);
  const where = addressOf(state, before);
  const alerts = found.data ?? [];
  const last = alerts.length === PAGE ? alerts.at(-1) : undefined;
  return (
    <ListAndDetail
      label="Alerts"
      rows={alerts.map((alert) => rowOf(alert, where))}
      selected={id}
      back={`/alerts${where}`}
      head={
        <>
          <Parts here="Alerts" me={me} />
          <h1>Alerts</h1>
          <Filters label="Alerts by status" base="/alerts" words={STATES} chosen={state} />
          {before ? <Link href={`/alerts${addressOf(state)}`}>← The newest</Link> : null}
          {found.error ? <Failure of={found.error} again={() => void found.refetch()} /> : null}
        </>
      }
      foot={last ? <Link href={`/alerts${addressOf(state, last.id)}`}>Older ones →</Link> : null}
      empty={found.isPending ? <p className="waiting">…</p> : found.error ? null : <Nothing state={state} />}
    >
      {id === undefined ? (
        <p className="hint keys">
          <kbd>j</kbd> <kbd>k</kbd> walk through the list.
        </p>
      ) : (
        <AlertDetail key={id} id={id} me={me} />
      )}
    </ListAndDetail>
  );
}
