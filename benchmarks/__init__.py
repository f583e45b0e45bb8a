"""Benchmarks: what Interlock costs, side by side with a bare peer or the disk's own limit, in one run and one table.

`python -m benchmarks` measures everything in some twenty minutes on two processors, `--quick` less, `--only NAME` one
topic. A topic is one module with one function that yields rows. Nothing is asserted: a number that misses its aim says
so, and the exit code is 0 unless something crashed or, with `--check`, a ratio is a third worse than in the last table.
Contenders take turns, round by round, so that whatever else the machine does hits all of them; what is shown, and its
ratio, are medians over the rounds.
"""
