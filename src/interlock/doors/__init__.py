"""Doors: what every door of every room shares. Only `api.py`, `cli.py` and `tools.py` of a room import it.

A door parses, calls one verb, and shows the answer; it decides nothing.
"""
