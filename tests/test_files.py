"""A file is there whole or not at all."""

import os

import pytest

from shoplm.errors import ResourceError
from shoplm.files import whole, write_text


def test_a_written_file_holds_its_text_and_leaves_nothing_beside_it(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "鞋 👟\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "鞋 👟\n".encode()
    assert os.listdir(tmp_path / "new") == ["a.txt"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError], ids=lambda fault: fault.__name__)
def test_a_broken_write_leaves_the_old_file(tmp_path, fault):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(fault), whole(path) as partial:
        partial.write_text("half")
        raise fault
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_said_in_one_line_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ResourceError, match=r"a\.txt: cannot be written \(No space left on device\)") as caught, whole(path) as partial:
        partial.write_text("half")
        raise OSError(28, "No space left on device")
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"file/a\.txt"):
        write_text(tmp_path / "file" / "a.txt", "x")
