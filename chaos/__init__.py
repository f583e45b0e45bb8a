"""Chaos: a real fleet on a real PostgreSQL, at work while what can fail fails, and what must hold afterwards.

`python -m chaos --seed S` makes a fleet of three nodes, gives it runs, and lets `faults` happen as the seed says. What
agents did is seen from outside (`tests/engines/collector.py`); `invariants` asks that, the log and the machine.
The same seed makes the same faults in the same order; what they hit depends on the machine, as it does in life.
"""
