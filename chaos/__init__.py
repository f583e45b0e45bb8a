"""Chaos: every part of the product at work at once, while what can fail fails, and what must hold afterwards.

`python -m chaos --seed S` prepares the scenes (`scene.py` says what one is), lets the faults happen that the seed means
(`faults.py`), brings everything to its end, and asks: the log, the files, the world outside, the machine.

    runs                                    a fleet of three nodes on one PostgreSQL     fleet.py, invariants.py
    workspace                               one workspace on SQLite, its disk and its server
    queue, server, loops, alerts, evidence  what works in that workspace

The same seed makes the same faults in the same order, for a scene alone as among the others; what they hit depends on
the machine, as it does in life.
"""
