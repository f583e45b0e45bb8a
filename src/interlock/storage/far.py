"""What workers elsewhere have sent: batches of output that were written, and bodies that are not whole yet."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class StoredFar:
    """In the transaction that is open; implements `runs.ports.FarStore`."""

    transaction: Transaction

    def take_batch(self, item_id: str, fence: int, batch: int, chars: int) -> int | None:
        """Note a batch of log lines; returns how many characters came under this fence, None if it came before."""
        row = self.transaction.one("far_batch_take", item_id=item_id, fence=fence, batch=batch, chars=chars)
        return int(row["chars"]) if row else None

    def put_part(self, item_id: str, fence: int, ref: str, place: int, data: bytes) -> None:
        """Keep a part of a body; the same part again changes nothing."""
        self.transaction.run("far_part_put", item_id=item_id, fence=fence, ref=ref, place=place, data=data)

    def parts_bytes(self, item_id: str, fence: int) -> int:
        """Add up what was kept of bodies under this fence."""
        row = self.transaction.one("far_parts_bytes", item_id=item_id, fence=fence)
        return int(row["bytes"]) if row else 0

    def body(self, item_id: str, fence: int, ref: str) -> bytes:
        """Return the parts of a body in their order."""
        rows = self.transaction.all("far_parts", item_id=item_id, fence=fence, ref=ref)
        return b"".join(bytes(row["data"]) for row in rows)

    def sweep(self) -> None:
        """Take away what was kept of claims that nobody holds any more."""
        self.transaction.run("far_sweep_parts")
        self.transaction.run("far_sweep_log")
