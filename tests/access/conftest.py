"""The workspace that the command line's tests use."""

from tests.cli.conftest import ask

__all__ = ["ask"]
