import { serverNow } from "../../api/clock";
import type { Approved } from "../../types";

/** Whether runs may start from a record now; the server looks once more when one does. */
export function standingOf(approved: Pick<Approved, "revoked_at" | "expires_at">): "valid" | "expired" | "revoked" {
  if (approved.revoked_at) return "revoked";
  return approved.expires_at && Date.parse(approved.expires_at) <= serverNow() ? "expired" : "valid";
}
