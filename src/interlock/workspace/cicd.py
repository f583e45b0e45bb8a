"""Pipelines and deployments of a workspace or a copy of one, for programs, in the words of seed 3.

    system = CICDSystem()                      # at $NOA_WORKFLOW_ROOT, else here
    system.configure_workspace_root(snapshot)
    system.load_state_from_disk()
    system.pipelines["pipeline_…"].status

Reads files only: no database, no lock.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from interlock.evidence.errors import StateMismatch
from interlock.kernel.errors import Failed
from interlock.pipelines.errors import DeploymentMissing, PipelineMissing
from interlock.pipelines.fold import Fold
from interlock.pipelines.models import Deployment, Fleet, Pipeline
from interlock.pipelines.rendering import STATE_PATH, read_state
from interlock.workspace.replay import Moment, rebuild, replay

ROOT_VARIABLE = "NOA_WORKFLOW_ROOT"


class StateUnreadable(Failed):
    """`state.json` is not what it has to be."""

    code = "state_unreadable"
    default_hint = "`interlock windows rebuild` keeps a copy and writes it anew"


class CICDSystem:
    """What a workspace's pipelines and deployments came to."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self._root = Path(root if root is not None else os.environ.get(ROOT_VARIABLE) or ".")
        self._fleet = Fleet()

    @property
    def root(self) -> Path:
        """The workspace that is looked at."""
        return self._root

    def configure_workspace_root(self, path: str | os.PathLike[str]) -> None:
        """Look at another workspace; what was loaded is forgotten."""
        self._root, self._fleet = Path(path), Fleet()

    def load_state_from_disk(self, *, verify: bool = True) -> Fleet:
        """Load `state.json`; one that is missing or blank is empty. Returns what it holds.

        Unless `verify` is False it must be, byte for byte, what the ledger comes to: `StateMismatch`, or the ledger's
        own error. `StateUnreadable` for what is no such file; then nothing is loaded.
        """
        data = self._read()
        try:
            found = read_state(data) if data.strip() else Fold()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StateUnreadable(f"{self._path} is not a state of pipelines: {error!r}") from None
        if verify:
            self._verify(data)
        self._fleet = found.fleet()
        return self._fleet

    @property
    def pipelines(self) -> Mapping[str, Pipeline]:
        """What is loaded, by id."""
        return self._fleet.pipelines

    @property
    def deployments(self) -> Mapping[str, Deployment]:
        """What is loaded, by id."""
        return self._fleet.deployments

    def pipeline(self, pipeline_id: str) -> Pipeline:
        """Return a run of a pipeline; raises `PipelineMissing`."""
        if pipeline_id not in self.pipelines:
            raise PipelineMissing(f"there is no {pipeline_id[:100]!a} in {self._path}")
        return self.pipelines[pipeline_id]

    def deployment(self, deployment_id: str) -> Deployment:
        """Return a deployment; raises `DeploymentMissing`."""
        if deployment_id not in self.deployments:
            raise DeploymentMissing(f"there is no {deployment_id[:100]!a} in {self._path}")
        return self.deployments[deployment_id]

    def history(self, subject: str) -> tuple[Moment, ...]:
        """Return what the ledger tells of a pipeline or deployment, every signature checked, every file compared."""
        return replay(self._root, subject=subject).history

    def _verify(self, data: bytes) -> None:
        rebuilt = rebuild(self._root)
        if not data.strip() and (rebuilt is None or read_state(rebuilt) == Fold()):
            return
        if rebuilt is None or data != rebuilt:
            words = "there is no ledger that tells of it" if rebuilt is None else "it is not what the ledger comes to"
            raise StateMismatch(f"{self._path}: {words}")

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise StateUnreadable(f"{self._path} can not be read: {error.strerror}") from None

    @property
    def _path(self) -> Path:
        return self._root / STATE_PATH
