"""Queue: items of work, claimed under a lease, moved only by the table of states.

An item is `manual` (somebody's own work, claimed by an external session) or belongs to a `run`. A claim gives its
holder a lease and a fence; every later write of the holder names the fence, so who was given up can not write any
more. What an item's run must do in the same transaction is asked of its owner (`ports.ItemOwner`).
"""
