"""Runs as Temporal workflows, for who has Temporal already (extra `interlock[temporal]`).

Our database stays the record: a run, its item, its fence, the outputs of its steps and every event are there, and
Temporal is given ids only. The queue item is the outbox. A worker process claims it for `temporal:<worker>` and starts
the workflow `<run>:<fence>`; whoever finds a claim without a workflow starts it again under the same id, so that a
process that dies in between neither loses nor doubles a run. The workflow asks the claiming process for one step after
another, on that process's own task queue, because the steps of one claim need one machine.

Temporal says when that process is gone (heartbeat, or nobody took a step up); then the workflow's last act, on any
process, gives the item back under a higher fence, and the queue hands it to the next: what is complete is taken over
there as by the local engine. A step whose process lives is never started twice: a second try joins the first.

Nobody but a step under way renews the lease, and it is long. Where Temporal itself stays away for longer, the keeper of
any worker process takes the run back, and what the old workflow may still want is shut out by its fence.

This package's door imports nothing: `temporalio` is imported where an engine is made, and nowhere else.
"""
