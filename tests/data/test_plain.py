"""Text files: one text a line or a column of texts, and every file that is none refused in one line."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoplm.data import plain
from shoplm.errors import DataError

TEXTS = ["where is my order", 'she said "fine", and left', "鞋子很好 😀"]


def read(*files, mapping=None):
    found = list(plain.read(files, mapping))
    return [text.strip() for part in found for text in part.texts]


def test_lines_and_columns_of_every_kind_give_the_same_texts(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join([TEXTS[0], "", *TEXTS[1:]]) + "\n", "utf-8")
    (tmp_path / "b.csv").write_text(
        "id,Text\n" + "".join(f'{n},"{t.replace(chr(34), chr(34) * 2)}"\n' for n, t in enumerate(TEXTS)), "utf-8"
    )
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS), "utf-8")
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "d.parquet")
    for name in ("a.txt", "b.csv", "c.jsonl", "d.parquet"):
        assert read(tmp_path / name) == TEXTS


def test_parts_of_a_file_of_lines_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(plain, "ROWS", 2)
    (tmp_path / "a.txt").write_text("\n".join(map(str, range(5))), "utf-8")
    assert read(tmp_path / "a.txt") == list("01234")


def test_a_title_a_split_and_another_column_are_found(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("title,review_body,split\nNice,good dress,train\n,poor,test\n")
    part = next(plain.read([file], {"text": "review_body"}))
    assert part.texts == ["good dress", "poor"]
    assert part.titles[0] == "Nice"
    assert part.split.to_pylist() == ["train", "test"]


@pytest.mark.parametrize(
    ("name", "held", "said"),
    [
        ("a.txt", b"", "is empty"),
        ("a.txt", b"\n \n", "holds only blank lines"),
        ("a.txt", b"good\n\x00\x01\x02\n", "line 2: holds NUL bytes, so it is no text"),
        ("a.txt", b"PAR1\xff\xfe\x80", "is not UTF-8"),
        ("a.csv", b"", "is empty"),
        (
            "a.csv",
            b"stars,words\n1,good\n",
            "no column of texts; expected one of text, .* seen `stars`, `words`; name it with --map text=COLUMN",
        ),
        ("a.parquet", b"nothing of the kind", "is not a readable parquet file"),
        ("a.docx", b"PK", "the ending `.docx` is none of .txt"),
    ],
)
def test_a_file_without_texts_is_one_line(tmp_path, name, held, said):
    (tmp_path / name).write_bytes(held)
    with pytest.raises(DataError) as refused:
        read(tmp_path / name)
    assert re.search(said, str(refused.value))
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_missing_column_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt: cannot be read \(No such file"):
        read(tmp_path / "none.txt")
    (tmp_path / "a.csv").write_text("text,b\nx,y\n")
    with pytest.raises(DataError, match="no column `txet`; did you mean `text`"):
        read(tmp_path / "a.csv", mapping={"text": "txet"})
    with pytest.raises(DataError, match="--map body=b: `body` is no field of a text file"):
        read(tmp_path / "a.csv", mapping={"body": "b"})


def test_a_column_of_lists_is_no_column_of_texts(tmp_path):
    pq.write_table(pa.table({"text": [["a"], ["b"]]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column `text` holds list"):
        read(tmp_path / "a.parquet")
