"""inbox: one list of everything that waits for a person, the dearest wait first.

It owns nothing and decides nothing: every entry is found in another room, by that room's own words for what is wrong,
and is gone when the verb that it names was done there. `models.py` holds the one table that says in which order
kinds stand and why; `ranking.py` puts entries in order, makes one of two that mean the same matter, and bounds them.
"""
