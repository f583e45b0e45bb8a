import { Failure } from "../../parts/Failure";
import { visible } from "../../parts/hidden";
import { StateBadge } from "../../parts/StateBadge";
import { counted, number } from "../../parts/words";
import type { Bulk, Me } from "../../types";
import { useStopBulk } from "../../useOpsService";
import { useBulk, useBulks } from "./asked";

/** What a verb would do, and to whom first. */
export function Sample({ bulk }: { bulk: Bulk }) {
  const byStatus = Object.entries(bulk.by_status).map(([status, many]) => `${number(many)} ${status}`);
  return (
    <div className="queue-sample">
      <p>
        <strong>{counted(bulk.matched, "item")}</strong>
        {byStatus.length > 0 ? ` (${byStatus.join(", ")})` : ""} would {bulk.outcome}, where their state allows it. Who
        comes to match from now on is not touched, and who moves meanwhile is left alone.
      </p>
      <ul className="plain">
        {bulk.sample.map((item) => (
          <li key={item.id}>
            <code>{item.id}</code> <StateBadge state={item.status} /> <span>{visible(item.task)}</span>
          </li>
        ))}
        {bulk.matched > bulk.sample.length ? <li>… and {number(bulk.matched - bulk.sample.length)} more</li> : null}
      </ul>
    </div>
  );
}

function sentence(bulk: Bulk): string {
  const refused = Object.values(bulk.refused).reduce((sum, many) => sum + many, 0);
  const parts = [`${number(bulk.changed)} changed`];
  if (bulk.unchanged) parts.push(`${number(bulk.unchanged)} were so already`);
  if (refused) parts.push(`${number(refused)} refused`);
  if (bulk.done < bulk.matched)
    parts.push(`${number(bulk.matched - bulk.done)} ${bulk.ended_at ? "are as they were" : "to go"}`);
  return parts.join(", ");
}

const ENDS: Readonly<Record<Bulk["status"], string>> = {
  preview: "is only shown",
  running: "is under way",
  done: "is done",
  stopped: "was stopped",
  failed: "could not go on",
};

function One({ bulk, me, onClose }: { bulk: Bulk; me: Me; onClose: () => void }) {
  const stop = useStopBulk();
  const isFailed = bulk.status === "failed";
  return (
    <section className="queue-progress" data-status={bulk.status} aria-label={`${bulk.verb} many, ${bulk.status}`}>
      <p role={isFailed ? "alert" : "status"}>
        <strong>{bulk.verb}</strong> {ENDS[bulk.status]}: {sentence(bulk)}.{isFailed ? ` ${bulk.message}.` : ""}
        {isFailed || bulk.status === "stopped" ? " It can be repeated safely: what is done is not done twice." : ""}
      </p>
      {bulk.status === "running" ? (
        <progress aria-label="Progress" value={bulk.done} max={Math.max(1, bulk.matched)} />
      ) : null}
      {bulk.examples.length > 0 ? (
        <details>
          <summary>
            Refused:{" "}
            {Object.entries(bulk.refused)
              .map(([code, many]) => `${number(many)} ${code}`)
              .join(", ")}
          </summary>
          <ul className="plain">
            {bulk.examples.map((each) => (
              <li key={each}>{each}</li>
            ))}
          </ul>
        </details>
      ) : null}
      {stop.error ? <Failure of={stop.error} /> : null}
      <div className="buttons">
        <span className="small">by {bulk.by}. It goes on in the server when this page is closed.</span>
        {bulk.status === "running" ? (
          me.role === "actions" ? null : (
            <button type="button" onClick={() => stop.mutate({ params: { path: { bulk_id: bulk.id } } })}>
              Stop
            </button>
          )
        ) : (
          <button type="button" onClick={onClose}>
            Close
          </button>
        )}
      </div>
    </section>
  );
}

function Mine({ id, me, onClose }: { id: string; me: Me; onClose: () => void }) {
  const bulk = useBulk(id);
  if (bulk.error) {
    return (
      <div className="queue-progress">
        <Failure of={bulk.error} again={() => void bulk.refetch()} />
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    );
  }
  return bulk.data ? <One bulk={bulk.data} me={me} onClose={onClose} /> : null;
}

/** The bulk that was begun here, and whatever else is under way. */
export function BulksUnderWay({ id, me, onClose }: { id: string | undefined; me: Me; onClose: () => void }) {
  const bulks = useBulks();
  const others = (bulks.data ?? []).filter((bulk) => bulk.status === "running" && bulk.id !== id);
  return (
    <>
      {id === undefined ? null : <Mine id={id} me={me} onClose={onClose} />}
      {others.map((bulk) => (
        <One key={bulk.id} bulk={bulk} me={me} onClose={onClose} />
      ))}
    </>
  );
}
