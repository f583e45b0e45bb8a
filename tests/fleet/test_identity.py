"""One workspace folder on one machine is one node, however often it is started; a copy on another machine is none."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from interlock.fleet.errors import NodeIdentityBroken, NodeIdentityForeign, NodeLabelInvalid
from interlock.fleet.identity import FILE_NAME, machine_id, node_id, read_id
from interlock.fleet.models import checked_labels, node_name
from interlock.kernel.ids import UlidSource, has_prefix

ULIDS = UlidSource()


def test_a_node_keeps_its_id_and_nobody_else_reads_the_file(tmp_path: Path) -> None:
    made = node_id(tmp_path, ULIDS)
    assert has_prefix(made, "n")
    assert node_id(tmp_path, ULIDS) == read_id(tmp_path) == made
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_processes_that_start_at_once_are_one_node(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = [each.result() for each in [threads.submit(node_id, tmp_path, ULIDS) for _ in range(32)]]
    assert len(set(made)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_folder_that_was_copied_to_another_machine_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    node_id(tmp_path, ULIDS, machine="one")
    with pytest.raises(NodeIdentityForeign, match="of another machine") as refused:
        node_id(tmp_path, ULIDS, machine="two")
    assert "delete that file" in refused.value.hint


def test_a_machine_without_a_name_of_its_own_is_believed(tmp_path: Path) -> None:
    made = node_id(tmp_path, ULIDS, machine="one")
    assert node_id(tmp_path, ULIDS, machine="") == made


@pytest.mark.parametrize("text", ["", "[]", "{", '{"id": "n_1", "machine": ""}', '{"id": "../x", "machine": ""}', "\0"])
def test_a_file_that_names_no_node_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    for read in (lambda: node_id(tmp_path, ULIDS), lambda: read_id(tmp_path)):
        with pytest.raises(NodeIdentityBroken):
            read()
    assert (tmp_path / FILE_NAME).read_text() == text


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("{}")
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NodeIdentityBroken):
        node_id(tmp_path, ULIDS)


def test_the_machines_own_name_is_told_to_nobody(tmp_path: Path) -> None:
    node_id(tmp_path, ULIDS)
    named = Path("/etc/machine-id").read_text().strip() if Path("/etc/machine-id").exists() else "nothing"
    assert named not in (tmp_path / FILE_NAME).read_text()
    assert machine_id() != named


def test_labels_are_sorted_and_each_once() -> None:
    assert checked_labels(["zone=eu", "gpu", "gpu"]) == ("gpu", "zone=eu")


@pytest.mark.parametrize("label", ["", " ", "GPU", "a b", "a=", "=b", "a\n", "a" * 64, "a=b=c", "ä"])
def test_what_is_no_label_is_refused(label: str) -> None:
    with pytest.raises(NodeLabelInvalid):
        checked_labels([label])


def test_a_node_is_called_as_its_settings_say_or_like_its_machine() -> None:
    assert node_name("builder-1", "vm") == "builder-1"
    assert node_name("", "my host.local") == "my-host.local"
    assert node_name("", "...") == "node"
    with pytest.raises(NodeLabelInvalid):
        node_name("a b", "vm")
