"""The embedded engine does what every engine does."""

from __future__ import annotations

from tests.engines.conformance import Conformance


class TestLocal(Conformance):
    """Its workers share nothing but the database."""
