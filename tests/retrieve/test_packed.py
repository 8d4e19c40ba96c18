"""One file of arrays: it comes back as it was, any other bytes are refused in one line, and a kill leaves the old one or the new one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.errors import BundleError
from shoplm.retrieve import packed

ARRAYS = {
    "a": np.arange(12, dtype=np.float32).reshape(3, 4),
    "none": np.zeros((0, 4), np.int64),
    "b": np.array([[True, False]]),
    "c": np.array([7], np.uint64),
}


def test_arrays_and_facts_come_back_as_they_were(tmp_path):
    packed.write(tmp_path / "x", "toy", {"für": [1, None, "二"]}, ARRAYS)
    facts, found = packed.read(tmp_path / "x", "toy")
    assert facts == {"für": [1, None, "二"]}
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert not found[name].flags.writeable or not found[name].size


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(tmp_path_factory, junk):
    path = tmp_path_factory.getbasetemp() / "junk"
    for content in (junk, packed.MAGIC + junk, packed.MAGIC + len(junk).to_bytes(8, "little") + junk):
        path.write_bytes(content)
        with pytest.raises(BundleError):
            packed.read(path, "toy")


@given(st.data())
def test_one_changed_byte_is_refused_and_so_is_a_file_cut_short(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "whole"
    packed.write(path, "toy", {"n": 1}, ARRAYS)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(BundleError):
        packed.read(path, "toy")
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content) - 1))]))
    with pytest.raises(BundleError):
        packed.read(path, "toy")


def test_another_kind_is_refused_by_name(tmp_path):
    packed.write(tmp_path / "x", "toy", {}, {})
    with pytest.raises(BundleError, match="holds `toy`, expected `other`"):
        packed.read(tmp_path / "x", "other")
    with pytest.raises(BundleError, match="cannot be read"):
        packed.read(tmp_path / "absent", "toy")


WRITER = """
import sys, numpy as np
from pathlib import Path
from shoplm.retrieve import packed
for turn in range(10_000):
    packed.write(Path(sys.argv[1]), "toy", {"turn": turn}, {"a": np.full(400_000, turn, np.int64)})
    print(turn, flush=True)
"""


@pytest.mark.parametrize("after", [0.0, 0.004, 0.011])
def test_a_writer_killed_at_any_moment_leaves_one_whole_file(tmp_path, after):
    path = tmp_path / "x"
    here = {**os.environ, "PYTHONPATH": str(Path(packed.__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=here)
    told = -1
    for _ in range(3):
        told = int(process.stdout.readline())
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    told = int(rest[-1]) if rest else told
    facts, found = packed.read(path, "toy")
    assert facts["turn"] in (told, told + 1)
    assert (found["a"] == facts["turn"]).all()
