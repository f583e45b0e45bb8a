"""fleet: the machines that share one database: who is there, who leads what, and which configuration they follow.

A *node* is one workspace folder on one machine, whatever number of its processes works in it. It says that it lives by
a heartbeat, which is no event. It takes work only while it is active and follows the newest published configuration;
that is looked up in the transaction of the claim itself (`ports.NodeStore.admit`), so that nothing slips through.
Whoever leads a loop that only one process should run holds a row with an epoch; every write of that loop looks it up in
its own transaction (`ports.LeaderStore.check`), so that a leader that was paused and wakes late writes nothing.

Not here: who gets which item (`queue`), and taking runs over from who is gone (`engines`), which anyone may.
"""
