"""The rows of alerts: what is the matter, the outbox, what came in, silences, sinks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from interlock.alerts.models import Alert, AlertState, Breaker, Delivery, DeliveryStatus, Place, Silence
from interlock.alerts.ports import DueLook
from interlock.storage.database import Row, Transaction, Value


@dataclass(frozen=True, slots=True)
class StoredAlerts:
    """Alerts in the transaction that is open; implements `alerts.ports.AlertStore`."""

    transaction: Transaction

    # --- alerts -------------------------------------------------------------------------------------------------------

    def add(self, alert: Alert) -> None:
        """Insert an alert."""
        self.transaction.run(
            "alert_add",
            source=alert.source,
            category=alert.category,
            dedup_key=alert.dedup_key,
            opened_ms=alert.opened_ms,
            **_changing(alert),
        )

    def put(self, alert: Alert) -> bool:
        """Write an alert; False if it is resolved already."""
        return self.transaction.run("alert_put", **_changing(alert)) == 1

    def get(self, alert_id: str) -> Alert | None:
        """Return an alert."""
        row = self.transaction.one("alert_get", id=alert_id)
        return _alert(row) if row else None

    def by_key(self, key: str) -> Alert | None:
        """Return the alert under this key that is not resolved."""
        row = self.transaction.one("alert_by_key", dedup_key=key)
        return _alert(row) if row else None

    def standing(self, source: str, *, silenced: bool = False, category: str = "") -> Sequence[Alert]:
        """List a source's alerts that are not resolved; or only those that a silence kept quiet, or of a category."""
        if category:
            rows = self.transaction.all("alert_standing_category", source=source, category=category)
            return [_alert(row) for row in rows]
        query = "alert_silenced_of" if silenced else "alert_standing_of"
        return [_alert(row) for row in self.transaction.all(query, source=source)]

    def silenced_sources(self) -> Sequence[str]:
        """List the sources of alerts that a silence kept quiet."""
        return [row["source"] for row in self.transaction.all("alert_silenced_sources")]

    def list(self, state: str, limit: int, before: Alert | None) -> Sequence[Alert]:
        """List alerts, the newest first; `standing` are those that are not resolved."""
        rows = self.transaction.all(
            "alert_list",
            state=state,
            limit=limit,
            before=before.id if before else "",
            before_ms=before.opened_ms if before else 0,
        )
        return [_alert(row) for row in rows]

    def history(self, alert_id: str, limit: int) -> Sequence[Row]:
        """Return the last events of an alert that are sealed, in their order."""
        rows = self.transaction.all("alert_history", id=alert_id, limit=limit)
        return [json.loads(row["leaf"]) for row in reversed(rows)]

    # --- deliveries ---------------------------------------------------------------------------------------------------

    def deliver(self, delivery: Delivery) -> None:
        """Insert a delivery; the same once."""
        self.transaction.run(
            "delivery_add",
            alert_id=delivery.alert_id,
            change=delivery.change,
            sink=delivery.sink,
            action=delivery.action,
            status=delivery.status.value,
            source=delivery.source,
            category=delivery.category,
            dedup_key=delivery.dedup_key,
            severity=delivery.severity,
            body=delivery.row,
            trace_id=delivery.trace_id,
            target=delivery.target,
            shown=delivery.shown,
            created_ms=delivery.created_ms,
            next_ms=delivery.next_ms,
        )

    def deliveries(self, alert_id: str) -> Sequence[Delivery]:
        """List an alert's deliveries."""
        return [_delivery(row) for row in self.transaction.all("delivery_of", alert_id=alert_id)]

    def sinks(self, source: str) -> Sequence[str]:
        """List the sinks for which something of a source is pending."""
        return [row["sink"] for row in self.transaction.all("delivery_sinks", source=source)]

    def sources(self, horizon: int, leases: int) -> Sequence[str]:
        """List the sources of which something is due."""
        rows = self.transaction.all("delivery_sources", now=self.transaction.now(), horizon=horizon, leases=leases)
        return [row["source"] for row in rows]

    def due(self, look: DueLook) -> Sequence[Delivery]:
        """List pending deliveries that may go out, the oldest first."""
        rows = self.transaction.all(
            "delivery_due",
            source=look.source,
            sink=look.sink,
            now=self.transaction.now(),
            horizon=look.horizon,
            leases=look.leases,
            limit=look.limit,
        )
        return [_delivery(row) for row in rows]

    def hurry(self, source: str) -> None:
        """Make due at once what of a source waits for its next attempt."""
        self.transaction.run("delivery_hurry", source=source, now=self.transaction.now())

    def claim(self, delivery: Delivery, until_ms: int, leases: int) -> bool:
        """Take a delivery; False if somebody else has it."""
        changed = self.transaction.run(
            "delivery_claim", until=until_ms, now=self.transaction.now(), leases=leases, **_key(delivery)
        )
        return changed == 1

    def done(self, delivery: Delivery) -> bool:
        """Write what came of an attempt; False if it is not pending any more."""
        changed = self.transaction.run(
            "delivery_done",
            status=delivery.status.value,
            next_ms=delivery.next_ms,
            reason=delivery.reason,
            http_status=delivery.http_status,
            message=delivery.message,
            delivered_ms=delivery.delivered_ms,
            **_key(delivery),
        )
        return changed == 1

    def again(self, alert_id: str, sink: str, *, delivered: bool) -> int:
        """Make deliveries due at once; returns how many."""
        return self.transaction.run(
            "delivery_again", alert_id=alert_id, sink=sink, delivered=int(delivered), now=self.transaction.now()
        )

    def counts(self) -> Sequence[tuple[str, str, int]]:
        """Count deliveries by sink and status."""
        return [(row["sink"], row["status"], row["many"]) for row in self.transaction.all("delivery_counts")]

    # --- what came in -------------------------------------------------------------------------------------------------

    def copies(self, source: str, digest: str) -> int:
        """Say how often a row came in."""
        row = self.transaction.one("row_copies", source=source, digest=digest)
        return row["copies"] if row else 0

    def came(self, source: str, digest: str) -> None:
        """Note that a row came in."""
        self.transaction.run("row_add", source=source, digest=digest)

    def wait(self, row_id: str, source: str, body: str) -> None:
        """Keep a row that can not be routed yet."""
        self.transaction.run("waiting_add", id=row_id, source=source, body=body, added_ms=self.transaction.now())

    def waiting(self, source: str, after: str, limit: int) -> Sequence[tuple[str, str]]:
        """List such rows: id and text."""
        rows = self.transaction.all("waiting_of", source=source, after=after, limit=limit)
        return [(row["id"], row["body"]) for row in rows]

    def waiting_sources(self) -> Sequence[str]:
        """List the sources that have such rows."""
        return [row["source"] for row in self.transaction.all("waiting_sources")]

    def waits_no_more(self, row_id: str) -> bool:
        """Forget one; False if it was gone."""
        return self.transaction.run("waiting_remove", id=row_id) == 1

    def hold(self, source: str, about: str = "") -> None:
        """Keep others from changing this source's alerts until the transaction ends."""
        self.transaction.run("cursor_hold", source=source, about=about)

    def place(self, source: str, file: str) -> Place | None:
        """Say how far a file was read."""
        row = self.transaction.one("cursor_get", source=source, file=file)
        if row is None:
            return None
        return Place(rows=row["row_count"], inode=row["inode"], position=row["position"], digest=row["digest"])

    def put_place(self, source: str, file: str, place: Place) -> None:
        """Write how far a file was read."""
        self.transaction.run(
            "cursor_put",
            source=source,
            file=file,
            row_count=place.rows,
            inode=place.inode,
            position=place.position,
            digest=place.digest,
        )

    def about(self, source: str) -> str | None:
        """Return what a source's name stands for, as it was given to `hold`."""
        row = self.transaction.one("cursor_about", source=source)
        return row["about"] if row else None

    def abouts(self) -> Sequence[tuple[str, str]]:
        """List every source whose name stands for something, with that."""
        return [(row["source"], row["about"]) for row in self.transaction.all("cursor_abouts")]

    # --- silences, sinks ----------------------------------------------------------------------------------------------

    def silence(self, silence: Silence) -> None:
        """Insert a silence."""
        self.transaction.run(
            "silence_add",
            id=silence.id,
            source=silence.source,
            category=silence.category,
            until_ms=silence.until_ms,
            reason=silence.reason,
            by_whom=silence.by,
            created_ms=silence.created_ms,
        )

    def get_silence(self, silence_id: str) -> Silence | None:
        """Return a silence."""
        row = self.transaction.one("silence_get", id=silence_id)
        return _silence(row) if row else None

    def silences(self) -> Sequence[Silence]:
        """List the silences that hold."""
        return [_silence(row) for row in self.transaction.all("silence_list", now=self.transaction.now())]

    def end_silence(self, silence_id: str) -> bool:
        """End one; False if it has ended."""
        return self.transaction.run("silence_end", id=silence_id, now=self.transaction.now()) == 1

    def breaker(self, sink: str) -> Breaker:
        """Say how a sink has behaved."""
        row = self.transaction.one("sink_get", sink=sink)
        return Breaker(row["failures"], row["open_until_ms"]) if row else Breaker()

    def put_breaker(self, sink: str, breaker: Breaker) -> None:
        """Write how a sink behaves."""
        self.transaction.run("sink_put", sink=sink, failures=breaker.failures, open_until_ms=breaker.open_until_ms)


def _changing(alert: Alert) -> dict[str, Value]:
    return {
        "id": alert.id,
        "severity": alert.severity,
        "state": alert.state.value,
        "last_ms": alert.last_ms,
        "count": alert.count,
        "changes": alert.changes,
        "summary": alert.summary,
        "body": alert.row,
        "trace_id": alert.trace_id,
        "sent": json.dumps(dict(alert.sent), separators=(",", ":")),
        "silenced": int(alert.silenced),
        "by_whom": alert.by,
        "ended_ms": alert.ended_ms,
    }


def _key(delivery: Delivery) -> dict[str, Value]:
    return {"alert_id": delivery.alert_id, "change": delivery.change, "sink": delivery.sink}


def _alert(row: Row) -> Alert:
    return Alert(
        id=row["id"],
        source=row["source"],
        category=row["category"],
        severity=row["severity"],
        dedup_key=row["dedup_key"],
        state=AlertState(row["state"]),
        opened_ms=row["opened_ms"],
        last_ms=row["last_ms"],
        count=row["count"],
        changes=row["changes"],
        summary=row["summary"],
        row=row["body"],
        trace_id=row["trace_id"],
        sent=json.loads(row["sent"]),
        silenced=bool(row["silenced"]),
        by=row["by_whom"],
        ended_ms=row["ended_ms"],
    )


def _delivery(row: Row) -> Delivery:
    return Delivery(
        alert_id=row["alert_id"],
        change=row["change"],
        sink=row["sink"],
        action=row["action"],
        status=DeliveryStatus(row["status"]),
        source=row["source"],
        category=row["category"],
        dedup_key=row["dedup_key"],
        severity=row["severity"],
        row=row["body"],
        trace_id=row["trace_id"],
        target=row["target"],
        shown=row["shown"],
        created_ms=row["created_ms"],
        next_ms=row["next_ms"],
        attempts=row["attempts"],
        reason=row["reason"],
        http_status=row["http_status"],
        message=row["message"],
        delivered_ms=row["delivered_ms"],
    )


def _silence(row: Row) -> Silence:
    return Silence(
        id=row["id"],
        source=row["source"],
        category=row["category"],
        until_ms=row["until_ms"],
        reason=row["reason"],
        by=row["by_whom"],
        created_ms=row["created_ms"],
    )
