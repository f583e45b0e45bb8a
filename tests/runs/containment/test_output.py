"""Reading what an agent prints ends when the agent's tree has ended, whoever still holds its pipes."""

from __future__ import annotations

import os
import threading

from interlock.runs.containment.output import Output
from tests.runs.containment.trees import DEADLINE_SECONDS


def test_what_is_in_the_pipes_at_the_end_is_still_read_even_if_somebody_holds_them_open() -> None:
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    output = Output({out: "stdout", err: "stderr"})
    os.write(out_end, b"last words")
    output.finish()

    assert list(output.chunks()) == [("stdout", b"last words")]

    output.close()
    os.close(out_end)
    os.close(err_end)


def test_a_reader_that_waits_is_woken_by_the_end() -> None:
    out, out_end = os.pipe()
    output = Output({out: "stdout"})
    reader = threading.Thread(target=lambda: list(output.chunks()))
    reader.start()
    output.finish()
    reader.join(DEADLINE_SECONDS)

    assert not reader.is_alive()

    output.close()
    output.close()
    os.close(out_end)


def test_both_ends_of_file_end_the_reading() -> None:
    out, out_end = os.pipe()
    output = Output({out: "stdout"})
    os.write(out_end, b"all")
    os.close(out_end)

    assert list(output.chunks()) == [("stdout", b"all")]

    output.close()
