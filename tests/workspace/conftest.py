"""The workspace that the command line's tests use."""

from tests.cli.conftest import ask, fresh_workspace, nothing_speaks_to_interlock, workspace

__all__ = ["ask", "fresh_workspace", "nothing_speaks_to_interlock", "workspace"]
