"""Vectors in, nearest ids out: as comparing all by hand says, whatever was added and deleted, and a graph is held to its bound."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.errors import BundleError
from shoplm.retrieve import index as module
from shoplm.retrieve.index import IndexConfig, VectorIndex

D = 16
GRAPH = IndexConfig(slow_ms=0)


def drawn(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, D)).astype(np.float32)


def named(count):
    return [f"i{at}" for at in range(count)]


def by_hand(ids, vectors, asked, k):
    """The whole product, sorted."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ (asked / np.linalg.norm(asked))
    return [ids[at] for at in np.argsort(-cosine, kind="stable")[:k]]


def test_the_nearest_are_those_of_the_whole_product(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)  # so that blocks meet
    vectors, asked = drawn(100), drawn(5, seed=1)
    found = VectorIndex.of(named(100), vectors)
    for row, near in enumerate(found.nearest(asked, 6)):
        assert [name for name, _ in near] == by_hand(named(100), vectors, asked[row], 6)
        assert all(a >= b for (_, a), (_, b) in itertools.pairwise(near))
    assert found.how.startswith("every vector is compared")


def test_of_equal_vectors_the_earlier_comes_first_and_zeros_are_like_nothing():
    same = np.tile(drawn(1), (9, 1))
    found = VectorIndex.of([*named(9), "zero"], np.concatenate([same, np.zeros((1, D), np.float32)]))
    assert [name for name, _ in found.nearest(same[:1], 10)[0]] == [*named(9), "zero"]
    assert found.nearest(same[:1], 10)[0][-1][1] == 0
    assert len(found.nearest(same[:1], 50)[0]) == 10


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 15), min_size=1, max_size=6)), max_size=8), st.booleans())
def test_after_any_adding_and_deleting_it_is_an_index_of_what_is_left(steps, graph):
    if graph:
        pytest.importorskip("usearch")
    begin = drawn(12, seed=5)
    found, left = VectorIndex.of(named(12), begin, GRAPH if graph else None), dict(zip(named(12), begin, strict=True))
    for number, (adding, which) in enumerate(steps):
        names = [f"i{at}" for at in sorted(which)]
        if adding:
            fresh = drawn(len(names), seed=number + 9)
            found.add(names, fresh)
            left.update(zip(names, fresh, strict=True))
        else:
            assert found.delete(names) == len([name for name in names if left.pop(name, None) is not None])
    assert len(found) == len(left)
    assert set(found.ids) == set(left)
    asked = drawn(1, seed=3)
    near = [name for name, _ in found.nearest(asked, 4)[0]]
    assert set(near) == set(by_hand(list(left), np.stack(list(left.values())), asked[0], 4)) if left else near == []


def test_only_what_is_allowed_is_answered():
    found = VectorIndex.of(named(50), drawn(50))
    found.delete(["i0"])
    near = found.nearest(drawn(1, seed=1), 10, allowed=np.isin(found.ids, ["i3", "i7"]))[0]
    assert {name for name, _ in near} == {"i3", "i7"}
    assert found.nearest(drawn(1, seed=1), 10, allowed=np.zeros(49, bool))[0] == []
    with pytest.raises(ValueError):
        found.nearest(drawn(1), 10, allowed=np.zeros(50, bool))


def test_a_graph_is_built_where_comparing_all_is_too_slow_and_finds_what_it_must():
    pytest.importorskip("usearch")
    ticks = iter(range(1000))
    found = VectorIndex.of(named(2000), drawn(2000), IndexConfig(), cpu=lambda: float(next(ticks)))  # a second a question
    assert "a graph" in found.how
    assert found.expansion in module.EXPANSIONS
    asked = drawn(50, seed=2)
    met = [{name for name, _ in near} for near in found.nearest(asked, 10)]
    true = [set(by_hand(named(2000), drawn(2000), row, 10)) for row in asked]
    assert np.mean([len(a & b) / 10 for a, b in zip(met, true, strict=True)]) > 0.9


def test_a_graph_below_its_bound_is_thrown_away_and_it_is_said(monkeypatch):
    pytest.importorskip("usearch")
    monkeypatch.setattr(module, "_recall", lambda *_: 0.5)
    found = VectorIndex.of(named(200), drawn(200), GRAPH)
    assert found._graph is None
    assert "finds 50.0% of the ten nearest, below 95.0%" in found.how


def test_without_the_package_every_vector_is_compared_and_it_is_said(monkeypatch):
    def absent():
        raise ImportError

    monkeypatch.setattr(module, "_engine", absent)
    found = VectorIndex.of(named(200), drawn(200), GRAPH)
    assert "is not installed" in found.how
    assert len(found.nearest(drawn(1), 3)[0]) == 3


@pytest.mark.parametrize("config", [IndexConfig(), GRAPH], ids=["every", "graph"])
def test_what_is_saved_answers_the_same_and_may_go_on(config, tmp_path):
    if config is GRAPH:
        pytest.importorskip("usearch")
    vectors, asked = drawn(300), drawn(3, seed=4)
    first = VectorIndex.of(named(300), vectors, config)
    first.save(tmp_path / "a", {"of": "this"})
    VectorIndex.of(named(300), vectors, config).save(tmp_path / "b", {"of": "this"})
    if config is GRAPH:
        again, facts = VectorIndex.load(tmp_path / "a")
        assert (again._graph is None) == (first._graph is None)
    else:
        again, facts = VectorIndex.load(tmp_path / "a")
    assert facts == {"of": "this"}
    assert again.nearest(asked, 5) == first.nearest(asked, 5)
    again.delete(["i3"])
    again.add(["new"], asked[:1])
    assert again.nearest(asked[:1], 1)[0][0][0] == "new"
    again.save(tmp_path / "c")
    assert "i3" not in VectorIndex.load(tmp_path / "c")[0].ids
    assert VectorIndex.load(tmp_path / "c")[0].nearest(asked[:1], 1)[0][0][0] == "new"


def test_the_same_vectors_make_the_same_graph():
    pytest.importorskip("usearch")
    one, other = (VectorIndex.of(named(300), drawn(300), GRAPH) for _ in range(2))
    assert bytes(one._graph.save()) == bytes(other._graph.save())


@given(st.data())
def test_any_other_bytes_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "vectors"
    VectorIndex.of(named(20), drawn(20)).save(path)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(BundleError):
        VectorIndex.load(path)
    path.write_bytes(data.draw(st.binary(max_size=200)))
    with pytest.raises(BundleError):
        VectorIndex.load(path)


@pytest.mark.parametrize("wrong", [np.full((2, D), np.nan), np.zeros((3, D)), np.zeros(2)], ids=["nan", "too many", "flat"])
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError):
        VectorIndex.of(["a", "b"], wrong.astype(np.float32))


WRITER = """
import sys, numpy as np
from pathlib import Path
from shoplm.retrieve.index import VectorIndex
for turn in range(1, 10_000):
    found = VectorIndex.of([f"i{at}" for at in range(20_000)], np.full((20_000, 16), 1, np.float32))
    found.save(Path(sys.argv[1]), {"turn": turn})
    print(turn, flush=True)
"""


def test_a_kill_while_saving_leaves_the_old_file(tmp_path):
    path = tmp_path / "vectors"
    here = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=here)
    assert process.stdout.readline() == "1\n"
    partial = path.with_name(path.name + ".partial")
    while not partial.exists():  # it is writing now
        pass
    process.send_signal(signal.SIGKILL)
    told = [1, *map(int, process.stdout.read().split())]
    process.wait()
    process.stdout.close()
    found, facts = VectorIndex.load(path)
    assert facts["turn"] in (told[-1], told[-1] + 1)
    assert len(found) == 20_000
