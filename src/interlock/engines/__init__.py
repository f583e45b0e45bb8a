"""Engines: what makes runs go. `local` is the embedded default, on one machine or many over one database."""
