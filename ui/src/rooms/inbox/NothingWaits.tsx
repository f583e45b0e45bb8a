import { Link } from "wouter";
import { Command } from "../../parts/Copy";
import type { Me } from "../../types";

/** An empty inbox: what would stand here, and how work begins. */
export function NothingWaits({ me }: { me: Me }) {
  return (
    <section className="inbox-empty" aria-label="Nothing waits for you">
      <p className="inbox-mark" aria-hidden="true">
        ✓
      </p>
      <h2>Nothing waits for you</h2>
      <p>
        Drafts to review, approvals about to expire, runs that failed or stand still, loops in trouble, checkpoints that
        did not hold and alerts appear here by themselves, the dearest wait first.
      </p>
      {me.role === "admin" ? (
        <>
          <p>
            Work begins with a draft: <Link href="/factory">write one</Link>, or on the command line:
          </p>
          <Command line="interlock draft create --prompt 'Mend the flaky test' --repo . --command claude" />
        </>
      ) : null}
      <p>
        Meanwhile: <Link href="/runs">what runs</Link> · <Link href="/queue">what is queued</Link> ·{" "}
        <Link href="/maintenance">how the server is</Link>
      </p>
    </section>
  );
}
