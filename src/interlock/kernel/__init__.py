"""Kernel: ids, clock, events, errors, transitions. What every room stands on, and nothing that only one room needs."""
