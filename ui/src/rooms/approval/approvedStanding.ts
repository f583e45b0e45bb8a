import type { Approved } from "../../types";

/** Whether runs may start from a record now; the server looks once more when one does. */
export function standingOf(approved: Approved): "valid" | "expired" | "revoked" {
  if (approved.revoked_at) return "revoked";
  return approved.expires_at && Date.parse(approved.expires_at) <= Date.now() ? "expired" : "valid";
}
