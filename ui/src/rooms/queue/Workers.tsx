import { Link } from "wouter";
import { serverNow } from "../../api/clock";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { Table } from "../../parts/Table";
import { useWorkers } from "./asked";

/** Who holds what, since when, and until when at least. */
export function Workers() {
  const workers = useWorkers();
  if (workers.error) return <Failure of={workers.error} again={() => void workers.refetch()} />;
  if (!workers.data) return <p className="waiting">…</p>;
  if (workers.data.length === 0) {
    return (
      <Empty title="Nobody works">
        A session takes the next item with <code>interlock queue claim</code>; <code>interlock worker</code> carries out
        approved runs.
      </Empty>
    );
  }
  return (
    <Table
      label="Workers, scrolling"
      className="queue-workers"
      heads={["Worker", "Holds", "Since", "Lease until", "Process"]}
    >
      {workers.data.map((each) => {
        const mine = new URLSearchParams({ status: "IN_PROGRESS", owner: each.owner_session });
        const isOver = each.lease_until !== null && Date.parse(each.lease_until) <= serverNow();
        return (
          <tr key={`${each.owner_session} ${each.host} ${each.pid}`}>
            <td>{each.owner_session}</td>
            <td>
              {each.items === 1 ? (
                <Link href={`/queue/${encodeURIComponent(each.first_id)}`}>{each.first_id}</Link>
              ) : (
                <Link href={`/queue?${mine}`}>{each.items} items</Link>
              )}
            </td>
            <td>
              <RelativeTime at={each.since} />
            </td>
            <td data-over={isOver}>
              {each.lease_until === null ? "no lease" : <RelativeTime at={each.lease_until} />}
              {isOver ? " (over: it is soon given up)" : ""}
            </td>
            <td>{each.host ? `${each.host}, process ${each.pid}` : "an external session"}</td>
          </tr>
        );
      })}
    </Table>
  );
}
