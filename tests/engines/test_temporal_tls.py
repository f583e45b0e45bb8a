"""Temporal behind TLS: who we are is said by a certificate or a key, from files, and a key never goes out in clear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.runs.models import RunStatus
from tests.engines.conformance import EFFECT
from tests.engines.temporal_server import TemporalServer
from tests.engines.tls_wire import Papers, as_hpack, make_papers, tls_wire
from tests.engines.world import World

pytestmark = pytest.mark.timeout(400)

API_KEY = "coat2ice0set1sea"


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    (tmp_path / "papers").mkdir()
    return make_papers(tmp_path / "papers")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "api.key"
    file.touch(0o600)
    file.write_text(f"{API_KEY}\n")
    return file


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.mark.proves("temporal-tls")
def test_a_run_goes_through_tls_with_a_certificate_and_a_key_that_no_agent_can_read(
    world: World, temporal: TemporalServer, papers: Papers, key_file: Path
) -> None:
    look = f"cat {key_file} {papers.client_key} | wc -c"
    run = world.create(f"{look}; {EFFECT}")
    with tls_wire(temporal.port, papers) as wire:
        world.temporal_address = wire.address
        files = {
            "INTERLOCK_TEMPORAL_TLS_CA_FILE": str(papers.ca),
            "INTERLOCK_TEMPORAL_TLS_CERTIFICATE_FILE": str(papers.client),
            "INTERLOCK_TEMPORAL_TLS_KEY_FILE": str(papers.client_key),
            "INTERLOCK_TEMPORAL_API_KEY_FILE": str(key_file),
            # As if the files lay where agents see everything, and not in /tmp, of which they have their own.
            "INTERLOCK_WORKER_VISIBLE": str(world.place),
        }
        worker = world.worker(once=True, product=True, environment=files)
        assert worker.wait(150) == 0, worker.words()
        heard = wire.heard()

    done = world.run(run)
    assert done.status is RunStatus.DONE, world.story(run)
    assert heard.startswith(b"PRI * HTTP/2.0")
    assert as_hpack(API_KEY) in heard or f"Bearer {API_KEY}".encode() in heard
    assert world.log(run, "stdout") == ["0"], world.log(run)
    assert API_KEY not in "\n".join([worker.words(), *world.log(run)])


def test_without_a_certificate_nobody_is_let_in_and_the_run_waits(
    world: World, temporal: TemporalServer, papers: Papers
) -> None:
    run = world.create(EFFECT)
    with tls_wire(temporal.port, papers) as wire:
        world.temporal_address = wire.address
        ca = {"INTERLOCK_TEMPORAL_TLS_CA_FILE": str(papers.ca)}
        worker = world.worker(once=True, product=True, environment=ca)
        assert worker.wait(150) == 5, worker.words()
        assert wire.heard() == b""
    assert world.run(run).status is RunStatus.PENDING


@pytest.mark.proves("temporal-tls")
def test_a_key_is_never_sent_without_tls(world: World, temporal: TemporalServer, key_file: Path) -> None:
    run = world.create(EFFECT)
    with tls_wire(temporal.port, None) as wire:
        world.temporal_address = wire.address
        key = {"INTERLOCK_TEMPORAL_API_KEY_FILE": str(key_file)}
        worker = world.worker(once=True, product=True, environment=key)
        assert worker.wait(150) == 5, worker.words()
        heard = wire.heard()
    assert heard.startswith(b"\x16\x03"), heard[:20]  # a client's first words in TLS, and no more
    assert as_hpack(API_KEY) not in heard
    assert world.run(run).status is RunStatus.PENDING
