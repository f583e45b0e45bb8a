"""Definitions use plain YAML 1.2, and every complaint names file, line and path."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.pipelines.errors import DefinitionInvalid, DefinitionMissing
from interlock.pipelines.yaml_source import MOST_BYTES, file_bytes, parse


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3: a stands twice, first in line 1"),
        ("a:\n  b: {c: 1, c: 2}\n", "x.yaml:2: a.b.c stands twice, first in line 2"),
        ("a: &one [1]\n", "x.yaml:1: anchors and aliases"),
        ("a: [1]\nb: *one\n", "x.yaml:2: anchors and aliases"),
        ("a: 1\n<<: {b: 1}\n", "x.yaml:2: merging"),
        ("a: !!python/object:x y\n", "x.yaml:1: tags (tag:yaml.org,2002:python/object:x)"),
        ("a: !Ref b\n", "x.yaml:1: tags (!Ref)"),
        ("%YAML 1.1\n---\na: 1\n", "x.yaml:2: directives"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2: a second document"),
        ("? [a]\n: 1\n", "x.yaml:1: a key must be plain text"),
        ("", "x.yaml is empty"),
        ("# nothing\n", "x.yaml is empty"),
        ("a: [1\nb: 2\n", "x.yaml:2: "),
        ("a: 'open\n", "x.yaml:2: "),
        ("a:\n\t- b\n", "x.yaml:2: "),
        ("[" * 30, "x.yaml:1: this is nested deeper than 20 levels"),
        ("a: \x07\n", "x.yaml"),
        ('a: [b, "\\ud800"]\n', "x.yaml:1: this has a character in it that no text has"),
        ('a: "\\0"\n', "x.yaml:1: this has a character in it that no text has"),
    ],
)
def test_what_hides_or_repeats_is_refused_by_line(text: str, said: str) -> None:
    with pytest.raises(DefinitionInvalid) as raised:
        parse(text.encode(), "x.yaml")
    assert raised.value.message.startswith(said)


def test_bytes_that_are_no_text_are_refused_by_line() -> None:
    with pytest.raises(DefinitionInvalid, match=r"x\.yaml:2: this is not UTF-8"):
        parse(b"a: 1\nb: \xff\n", "x.yaml")


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(DefinitionInvalid, match=r"big\.yaml can not be read: it is larger"):
        file_bytes(tmp_path, "big.yaml")


def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(DefinitionInvalid, match="no regular file"):
        file_bytes(tmp_path, "pipe.yaml")
    with pytest.raises(DefinitionMissing, match=r"none\.yaml is not there"):
        file_bytes(tmp_path, "none.yaml")


def test_on_yes_and_no_are_text_and_quoted_numbers_too() -> None:
    found = parse(b"on: yes\noff: no\nn: '7'\n", "x.yaml").json()
    assert found == {"on": "yes", "off": "no", "n": "7"}


def test_plain_values_are_what_yaml_1_2_says() -> None:
    found = parse(b"[1, -2, 0x1f, 0o17, true, False, null, ~, 0755, 1_000, 12:30:45, text]", "x.yaml").json()
    assert found == [1, -2, 31, 15, True, False, None, None, 755, "1_000", "12:30:45", "text"]


@pytest.mark.parametrize("number", ["1.5", "1e3", ".inf", ".nan", "-.5", "1."])
def test_a_fraction_is_refused_where_json_is_wanted(number: str) -> None:
    with pytest.raises(DefinitionInvalid, match=r"x\.yaml:1: a\[0\] must not be a fraction"):
        parse(f"a: [{number}]".encode(), "x.yaml").json()


def test_a_whole_number_that_json_can_not_tell_exactly_is_refused() -> None:
    with pytest.raises(DefinitionInvalid, match="beyond 2"):
        parse(b"a: 9007199254740992", "x.yaml").json()


def test_complaints_name_line_and_path() -> None:
    top = parse(
        b"jobs:\n  docs:\n    script: build\n    nr: 5\n    'odd key': 1\n    list:\n      - a\n      - 3\n", "p.yaml"
    )
    docs = top.mapping()["jobs"].mapping()["docs"]
    with pytest.raises(DefinitionInvalid, match=r"^p\.yaml:3: jobs\.docs\.script must be a list of commands$"):
        docs.mapping()["script"].items("commands")
    with pytest.raises(DefinitionInvalid, match=r"^p\.yaml:4: jobs\.docs\.nr must be text"):
        docs.mapping()["nr"].text()
    with pytest.raises(DefinitionInvalid, match=r"^p\.yaml:4: jobs\.docs\.nr must be a whole number from 6 to 9$"):
        docs.mapping()["nr"].number(6, 9)
    with pytest.raises(DefinitionInvalid, match=r"^p\.yaml:5: jobs\.docs\.'odd key' must be true or false$"):
        docs.mapping()["odd key"].flag()
    with pytest.raises(DefinitionInvalid, match=r"^p\.yaml:8: jobs\.docs\.list\[1\] must be text"):
        docs.mapping()["list"].texts()


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    job = parse(b"scirpt: []\n", "p.yaml")
    with pytest.raises(DefinitionInvalid, match=r"^p\.yaml:1: scirpt is not known; did you mean script\?$"):
        job.fields({"script", "stage"})
    with pytest.raises(DefinitionInvalid, match=r"^p\.yaml:1: stage is missing$"):
        job.fields({"scirpt", "stage"}, ("stage",))


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`,? \n\t~<0."), max_size=60) | st.binary(max_size=60))
def test_whatever_is_written_is_read_or_refused_by_name(text: str | bytes) -> None:
    with contextlib.suppress(DefinitionInvalid):
        parse(text.encode() if isinstance(text, str) else text, "x.yaml")
