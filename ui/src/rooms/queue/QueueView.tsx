import { lazy, Suspense } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { Failure } from "../../parts/Failure";
import type { ViewProps } from "../../parts/ViewProps";
import { addressOf, PARTS } from "./address";
import { usePulse, useQueueStatus } from "./asked";
import { BulksUnderWay } from "./BulkShown";
import { ItemDetail } from "./ItemDetail";
import { ItemsPane } from "./ItemsPane";
import { Limits } from "./Limits";
import { Pause } from "./Pause";
import "./queue.css";
import { Workers } from "./Workers";

const Figures = lazy(() => import("./Figures"));

function partOf(search: string): (typeof PARTS)[number] {
  const asked = new URLSearchParams(search).get("part");
  return PARTS.find((part) => part === asked) ?? "items";
}

/** The queue: its items, who works, how it goes, and what holds it up. */
export default function QueueView({ id, me }: ViewProps) {
  const search = useSearch();
  const [, go] = useLocation();
  const standing = useQueueStatus();
  usePulse();
  const part = partOf(search);
  const bulk = new URLSearchParams(search).get("bulk") ?? undefined;
  const withBulk = (one: string | undefined) => go(addressOf(search, { bulk: one }, id));
  return (
    <div className="queue" data-selected={id !== undefined}>
      <div className="queue-main">
        <header className="queue-top">
          <h1>Queue</h1>
          <nav className="filters" aria-label="Parts of the queue">
            {PARTS.map((each) => (
              <Link
                key={each}
                href={each === "items" ? "/queue" : `/queue?part=${each}`}
                aria-current={each === part ? "page" : undefined}
              >
                {each}
              </Link>
            ))}
          </nav>
          {standing.data ? <Pause standing={standing.data} me={me} /> : null}
        </header>
        {standing.error ? <Failure of={standing.error} again={() => void standing.refetch()} /> : null}
        <BulksUnderWay id={bulk} me={me} onClose={() => withBulk(undefined)} />
        {part === "items" ? <ItemsPane id={id} me={me} onBulk={withBulk} /> : null}
        {part === "workers" ? <Workers /> : null}
        {part === "limits" ? <Limits me={me} /> : null}
        {part === "figures" ? (
          <Suspense fallback={<p className="waiting">…</p>}>
            <Figures />
          </Suspense>
        ) : null}
        {part === "items" ? (
          <p className="hint keys">
            <kbd>j</kbd> <kbd>k</kbd> walk through the items, <kbd>x</kbd> picks one.
          </p>
        ) : null}
      </div>
      {id === undefined ? null : (
        <aside className="queue-detail" aria-label="Item">
          <Link href={addressOf(search, {})} className="queue-back">
            ← Items
          </Link>
          <ItemDetail key={id} id={id} me={me} />
        </aside>
      )}
    </div>
  );
}
