import { serverNow } from "../../api/clock";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { Table } from "../../parts/Table";
import { plain } from "../../parts/words";
import type { AlertDelivery } from "../../types";

function When({ of: delivery }: { of: AlertDelivery }) {
  if (delivery.delivered_at) return <RelativeTime at={delivery.delivered_at} />;
  if (delivery.next_at === null) return <>—</>;
  if (Date.parse(delivery.next_at) < serverNow()) return <>due</>;
  return (
    <>
      next try <RelativeTime at={delivery.next_at} />
    </>
  );
}

function Why({ of: delivery }: { of: AlertDelivery }) {
  return (
    <>
      {delivery.reason ? plain(delivery.reason) : "—"}
      {delivery.http_status === null ? "" : ` (HTTP ${delivery.http_status})`}
      {delivery.message ? <p className="small">{delivery.message}</p> : null}
    </>
  );
}

/** Each message for each sink: how it stands, how often it was tried, and when it is tried next. */
export function Deliveries({ of: deliveries }: { of: readonly AlertDelivery[] }) {
  if (deliveries.length === 0) {
    return <p className="hint">Nobody: it is below the severity that is told of, no sink is on, or it is silenced.</p>;
  }
  return (
    <Table
      label="Deliveries"
      className="alerts-table"
      heads={["sink", "message", "status", "attempts", "when", "last trouble"]}
    >
      {deliveries.map((each) => (
        <tr key={`${each.sink} ${each.change}`}>
          <td>{each.sink}</td>
          <td>
            {each.action === "resolve" ? "it is over" : each.change > 1 ? `told again, ${each.change}` : "it began"}
          </td>
          <td>
            <StateBadge state={each.status} />
          </td>
          <td>{each.attempts}</td>
          <td>
            <When of={each} />
          </td>
          <td>
            <Why of={each} />
          </td>
        </tr>
      ))}
    </Table>
  );
}
