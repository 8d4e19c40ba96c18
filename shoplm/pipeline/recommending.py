"""train, evaluate and ask ``recommend``: from a shop's events, or a plain file of acts, to lists with reasons.

Each shopper's last act is the test, the one before it validation, all earlier ones teach; a file's ``split`` column, where it
has one, says so itself. Lists are judged over all items, and whether seen items may be in them is always said.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shoplm.apps.recommend import NAME, Reason, RecommendConfig, Recommender, fitted
from shoplm.data.consent import learnable
from shoplm.data.convert import text_in_sql
from shoplm.data.importers.table import read
from shoplm.data.shop import Shop
from shoplm.data.view import View
from shoplm.errors import BundleError, DataError, did_you_mean
from shoplm.evaluate.bootstrap import Estimate
from shoplm.evaluate.ranking import RankingJudge, RankingJudgement, difference
from shoplm.files import whole
from shoplm.model import bundle, folder
from shoplm.pipeline.progress import Progress, Silent
from shoplm.retrieve.histories import Histories
from shoplm.text.render import clean
from shoplm.train.journal import machine, versions

AT = (10, 20)
"""Lengths of lists that are judged."""
BATCH = 1_000
"""Shoppers that are listed at once."""
SPLITS = {"train": 0, "valid": 1, "val": 1, "test": 2}
FIELDS: Mapping[str, tuple[str, ...]] = {
    "user_id": ("user_id", "user", "userid", "customer_id", "shopper_id", "session_id"),
    "item_id": ("item_id", "item", "itemid", "product_id", "parent_asin", "asin"),
    "event_time": ("event_time", "timestamp", "time"),
    "position": ("position", "order", "step"),
    "event_name": ("event_name", "event_type", "event"),
    "split": ("split",),
}
"""Our field of a plain file of acts, and what its column may be called."""
ITEM_FIELDS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "item_id", "product_id", "asin"),
    "title": ("title", "text", "name", "description", "attributes"),
}


@dataclass(frozen=True)
class Acts:
    """What S shoppers did on N items."""

    shoppers: pa.Array
    """string (S)"""
    histories: Histories
    at_us: npt.NDArray[np.int64]
    """(A)"""
    split: npt.NDArray[np.int8]
    """(A) 0 teaches, 1 validation, 2 test."""
    ids: tuple[str, ...]
    """(N)"""
    texts: tuple[str, ...]
    """(N) each item in words, empty where nothing is known."""
    data_version: str

    def upto(self, split: int) -> tuple[Histories, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The acts before those of a split: histories of all S shoppers, the times, and places among all acts."""
        kept = np.flatnonzero(self.split < split)
        owner = self.histories.owner[kept]
        start = np.searchsorted(owner, np.arange(len(self.histories) + 1)).astype(np.int64)
        weight = None if self.histories.weight is None else self.histories.weight[kept]
        return Histories(self.histories.items[kept], start, weight), self.at_us[kept], kept

    def asked(self, split: int) -> tuple[npt.NDArray[np.int64], Histories, Histories]:
        """The shoppers with acts in a split, what they did before, and the items that they took in it."""
        before, _, _ = self.upto(split)
        there = np.flatnonzero(self.split == split)
        owner = self.histories.owner[there]
        rows = np.unique(owner)
        items = [np.unique(self.histories.items[there[owner == row]]) for row in rows] if len(there) != len(rows) else None
        if items is None:  # one act each, as leave-one-out has it
            wanted = Histories(self.histories.items[there], np.arange(len(there) + 1).astype(np.int64))
        else:
            wanted = Histories(np.concatenate(items).astype(np.int32), np.cumsum([0, *map(len, items)]).astype(np.int64))
        return rows, before.take(rows), wanted


def acts_of(view: View, config: RecommendConfig) -> Acts:
    """Read a shop's events and products.

    Raises:
        DataError: there are no acts on items.
    """
    named = ", ".join(map(text_in_sql, config.signs))
    split = 'cast("split" as varchar)' if "split" in view.columns("events") else "cast(null as varchar)"
    rows = view.sql(
        f"""select coalesce(user_id, user_pseudo_id) as who, item_id, event_name, epoch_us(event_time) as at_us, {split} as split
            from events where item_id is not null and coalesce(user_id, user_pseudo_id) is not null and event_name in ({named})
            order by who, event_time, event_seq, event_id"""
    )
    if not rows.num_rows:
        raise DataError(f"events: no act on an item by a shopper; expected one of {', '.join(config.signs)} with item_id and user_id")
    products = _products(view)
    known = pa.chunked_array([products["id"].combine_chunks(), rows["item_id"].combine_chunks()]).unique()
    ids = known.to_pylist()
    texts = dict(zip(products["id"].to_pylist(), products["words"].to_pylist(), strict=True))
    items = pc.index_in(rows["item_id"], known).to_numpy().astype(np.int32)
    signs = np.array([config.signs[name] for name in rows["event_name"].to_pylist()], np.float32)
    who = rows["who"].combine_chunks().dictionary_encode()
    owner = who.indices.to_numpy().astype(np.int64)
    said = rows["split"].combine_chunks()
    again = np.zeros(len(items), bool)  # one look after another at one thing is one act, of its weightiest kind
    again[1:] = (items[1:] == items[:-1]) & (owner[1:] == owner[:-1])
    if said.null_count < len(said):
        again[1:] &= pc.fill_null(pc.equal(said[1:], said[:-1]), False).to_numpy(zero_copy_only=False)
    first = np.flatnonzero(~again)
    weight = np.maximum.reduceat(signs, first)
    lengths = np.bincount(owner[first], minlength=len(who.dictionary))
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    histories = Histories(items[first], start, weight)
    return Acts(
        who.dictionary, histories, rows["at_us"].to_numpy().astype(np.int64)[first], _split(said.take(pa.array(first)), histories, config),
        tuple(ids), tuple(texts.get(name, "") for name in ids), view.data_version,
    )  # fmt: skip


def _products(view: View) -> pa.Table:
    """Each product's id and words: title, brand, kind, description."""
    if not view.has("products"):
        return pa.table({"id": pa.array([], pa.string()), "words": pa.array([], pa.string())})
    columns = view.columns("products")
    words = [name for name in ("title", "brand", "product_type", "description") if name in columns]
    rows = view.sql(f"select id, {', '.join(f'cast({name} as varchar) as {name}' for name in words)} from products order by id")
    told = [" ".join(filter(None, map(clean, each))) for each in zip(*(rows[name].to_pylist() for name in words), strict=True)]
    return pa.table({"id": rows["id"], "words": pa.array(told, pa.string())})


def _split(said: pa.Array, histories: Histories, config: RecommendConfig) -> npt.NDArray[np.int8]:
    """(A) what each act is for: as the data says, else the last act of three or more is test and the one before it validation."""
    if said.null_count < len(said):
        words = [SPLITS.get((word or "train").strip().lower(), 0) for word in said.to_pylist()]
        return np.array(words, np.int8)
    found = np.zeros(len(histories.items), np.int8)
    if config.held_out:
        long = np.flatnonzero(histories.lengths >= 3)
        found[histories.start[1:][long] - 1] = 2
        found[histories.start[1:][long] - 2] = 1
    return found


@contextlib.contextmanager
def opened(shop: Path | Shop | None, data: Path | None, items: Path | None = None) -> Iterator[View]:
    """A view of a shop, or of the temporary shop that plain files of acts and of items become.

    Raises:
        DataError: neither or both are given, or a file has no column for what is needed.
    """
    if (shop is None) == (data is None):
        raise DataError(
            "no data: give --shop DIR or --data FILE" if shop is None else "two sources of rows: give --shop or --data, not both"
        )
    if shop is not None:
        yield learnable(shop if isinstance(shop, Shop) else Shop(Path(shop)))
        return
    assert data is not None
    with tempfile.TemporaryDirectory(prefix="shoplm-") as place:
        made = Shop(Path(place) / "shop", create=True)
        made.upsert("events", _acts_file(data))
        if items is not None:
            made.upsert("products", _items_file(items))
        yield made.view()


def _acts_file(file: Path) -> pa.Table:
    rows, found = _columns(file, FIELDS, ("user_id", "item_id"))
    if "event_time" not in found and "position" not in found:
        raise DataError(f"{file}: no column that tells the order of acts; expected one of event_time, timestamp, position")
    columns: dict[str, Any] = {
        name: rows[found[name]].cast(pa.string()) for name in ("user_id", "item_id", "event_name", "split") if name in found
    }
    columns.setdefault("event_name", pa.chunked_array([pa.array(["purchase"] * rows.num_rows)]))
    if "event_time" in found:
        columns["event_time"] = rows[found["event_time"]]
    else:  # the order alone is known: a day apart, so that it is no session
        place = pc.cast(rows[found["position"]], pa.int64())
        columns["event_time"] = pc.multiply(pc.add(place, 1), 86_400_000_000).cast(pa.timestamp("us", "UTC"))
    return pa.table(columns)


def _items_file(file: Path) -> pa.Table:
    rows, found = _columns(file, ITEM_FIELDS, ("id",))
    words = [name for name in ITEM_FIELDS["title"] if name in {column.strip().lower() for column in rows.column_names}]
    told = [[_words(value) for value in rows[name].to_pylist()] for name in words]
    titles = [clean(" ".join(filter(None, each))) for each in zip(*told, strict=True)] if told else [""] * rows.num_rows
    ids = rows[found["id"]].cast(pa.string())
    return pa.table(
        {"id": ids, "title": pa.array([title or name for title, name in zip(titles, ids.to_pylist(), strict=True)], pa.string())}
    )


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _columns(file: Path, fields: Mapping[str, Sequence[str]], needed: Sequence[str]) -> tuple[pa.Table, dict[str, str]]:
    """A file's rows, and which of its columns is which field."""
    chunks = [chunk.rows for chunk in read([file], "events") if chunk.rows.num_rows]
    if not chunks:
        raise DataError(f"{file}: holds no rows")
    rows = pa.concat_tables(chunks, promote_options="permissive")
    low = {name.strip().lower(): name for name in rows.column_names}
    found = {field: next(low[word] for word in words if word in low) for field, words in fields.items() if set(words) & set(low)}
    for field in needed:
        if field not in found:
            raise DataError(f"{file}: no column `{field}`; {did_you_mean(field, rows.column_names)}")
    return rows, found


@dataclass(frozen=True)
class Judged:
    """A recommender's lists, beside those of each source alone."""

    split: str
    ours: RankingJudgement
    sources: Mapping[str, RankingJudgement]

    def differences(self) -> dict[str, dict[str, Estimate]]:
        """Ours minus each source, paired."""
        return {name: difference(self.ours, theirs) for name, theirs in self.sources.items()}

    def plain(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        minus = {name: {metric: one.__dict__ for metric, one in found.items()} for name, found in self.differences().items()}
        beside = {name: found.plain()["metrics"] for name, found in self.sources.items()}
        return {"task": NAME, "split": self.split, **self.ours.plain(), "baselines": beside, "minus_baseline": minus}

    def __str__(self) -> str:
        shown = [f"{NAME} on {self.split}: {self.ours.shoppers:,} shoppers, all items ranked, seen items {self.ours.seen}"]
        for metric in ("recall_at_10", "ndcg_at_10"):
            shown.append(f"{metric}: {self.ours.metrics[metric]}")
            for name, found in self.sources.items():
                shown.append(f"  {name} alone: {found.metrics[metric]}, ours minus it {difference(self.ours, found)[metric]}")
        lists = ", ".join(f"{name} {value:.3f}" for name, value in self.ours.lists.items())
        return "\n".join([*shown, f"lists of {AT[0]}: {lists}"])


def judged(found: Recommender, acts: Acts, split: str, progress: Progress | None = None) -> Judged:
    """Lists for every shopper with acts in a split, against what was taken.

    Raises:
        DataError: nobody has an act in that split.
    """
    rows, before, wanted = acts.asked(SPLITS[split])
    if not len(rows):
        raise DataError(
            f"recommend: no shopper has an act in the split `{split}`; a shopper needs three acts, or the file a `split` column"
        )
    cold = found.counts[wanted.items] == 0
    cold_rows = np.zeros(len(rows), bool)
    np.logical_or.at(cold_rows, wanted.owner, cold)
    quiet = before.lengths <= 3
    judges = {name: RankingJudge(found.counts, found.config.seen, AT, ("cold item", "at most 3 acts")) for name in ("", *found.sources)}
    with (progress or Silent()).bar("listing", len(rows)) as moved:
        for begin in range(0, len(rows), BATCH):
            part = slice(begin, min(begin + BATCH, len(rows)))
            for name, judge in judges.items():
                lists, _ = found.lists(before.take(part), AT[-1], alone=name or None)
                judge.add(lists, wanted.take(part), {"cold item": cold_rows[part], "at most 3 acts": quiet[part]})
            moved(part.stop - begin)
    done = {name: judge.judgement() for name, judge in judges.items()}
    return Judged(split, done.pop(""), done)


def train(
    config: RecommendConfig, *, shop: Path | Shop | None = None, data: Path | None = None, items: Path | None = None, out: Path,
    progress: Progress | None = None,
) -> tuple[Recommender, Judged | None]:  # fmt: skip
    """Learn from a shop or from plain files, judge on validation, write a bundle.

    Returns:
        What was learnt and how it did on validation; None where nobody has an act there.

    Raises:
        DataError: the data cannot be used.
        ResourceError: the bundle cannot be written.
    """
    waits, begin = progress or Silent(), time.perf_counter()
    with opened(shop, data, items) as view:
        acts = acts_of(view, config)
    teaching, at_us, _ = acts.upto(1 if (acts.split > 0).any() else 3)
    waits.say(f"{len(teaching.items):,} acts of {len(acts.shoppers):,} shoppers on {len(acts.ids):,} items teach")
    found = fitted(teaching, at_us, acts.ids, acts.texts if any(acts.texts) else None, config)
    how = judged(found, acts, "valid", waits) if (acts.split == 1).any() else None
    facts = {
        "data_version": acts.data_version,
        "seconds": round(time.perf_counter() - begin, 1),
        "machine": machine(),
        "versions": versions(),
    }
    metrics = {NAME: how.plain()} if how else {}
    folder.put(out, lambda fresh: _fill(found, facts, metrics, fresh))
    return found, how


def _fill(found: Recommender, facts: Mapping[str, Any], metrics: Mapping[str, Any], fresh: Path) -> None:
    part = fresh / "parts" / NAME
    part.mkdir(parents=True)
    found.save(part)
    config = {"shoplm_bundle": bundle.FORMAT, "tasks": {}, "parts": [NAME], "facts": dict(facts)}
    (fresh / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False), "utf-8")
    (fresh / "metrics.json").write_text(json.dumps(metrics, indent=2, ensure_ascii=False), "utf-8")


def load(place: Path) -> Recommender:
    """The recommender of a bundle whose every file is there and unaltered.

    Raises:
        BundleError: no bundle, an altered one, or one without a recommender.
    """
    bundle.parts(place)
    if not (place / "parts" / NAME).is_dir():
        raise BundleError(f"{place}: holds no recommender; `shoplm train recommend --shop DIR --out {place}` writes one")
    return Recommender.load(place / "parts" / NAME)


def evaluate(
    place: Path, *, shop: Path | Shop | None = None, data: Path | None = None, split: str = "test", progress: Progress | None = None
) -> Judged:
    """Judge a bundle's lists.

    Raises:
        DataError: the split is unknown, or nobody has an act in it.
    """
    if split not in ("valid", "test"):
        raise DataError(f"--split {split}: expected valid or test; the other acts teach")
    found = load(place)
    with opened(shop, data) as view:
        acts = acts_of(view, found.config)
    return judged(found, _in_codes(acts, found), split, progress)


def _in_codes(acts: Acts, found: Recommender) -> Acts:
    """The acts with the recommender's own codes.

    Raises:
        DataError: an item is unknown to it.
    """
    place = {name: at for at, name in enumerate(found.ids)}
    if any(name not in place for name in acts.ids):
        unknown = [name for name in acts.ids if name not in place]
        raise DataError(f"recommend: {len(unknown):,} items, such as `{unknown[0]}`, came after the training; train again")
    codes = np.array([place[name] for name in acts.ids], np.int32)
    histories = Histories(codes[acts.histories.items], acts.histories.start, acts.histories.weight)
    return Acts(acts.shoppers, histories, acts.at_us, acts.split, found.ids, acts.texts, acts.data_version)


@dataclass(frozen=True)
class Pick:
    """One item of a list."""

    item_id: str
    title: str
    score: float
    reason: Reason
    because: str
    """The reason in words."""

    def plain(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {"item_id": self.item_id, "title": self.title, "score": round(self.score, 4), "source": self.reason.source, "because": self.because,
                "sources": dict(self.reason.shares)}  # fmt: skip


def recommend(
    found: Recommender, shop: Path | Shop, *, user: str | None = None, items: Sequence[str] = (), k: int = 10, reasons: bool = True
) -> tuple[list[Pick], list[str]]:
    """A list for a shopper of a shop, or for someone who just acted on ``items``, oldest first.

    Products that the shop says are out of stock are left out.

    Returns:
        The list, best first, and notes in words: what could not be taken into account.

    Raises:
        DataError: ``k`` is not positive, or neither a shopper nor items are given.
    """
    if k < 1:
        raise DataError(f"-k {k}: expected at least 1")
    if (user is None) == (not items):
        raise DataError("recommend: give either --user ID or --items ID,…")
    view = (shop if isinstance(shop, Shop) else Shop(Path(shop))).view()
    place = {name: at for at, name in enumerate(found.ids)}
    notes: list[str] = []
    done = list(items) if user is None else _done(view, user, found.config)
    if user is not None and not done:
        notes.append(f"`{user}`: no acts are known; answered as a new shopper")
    strange = [name for name in done if name not in place]
    if strange:
        notes.append(f"{len(strange)} of the items acted on, such as `{strange[0]}`, came after the training and are passed over")
    history = Histories.of([[place[name] for name in done if name in place]])
    products = _stock(view)
    barred = np.array([products.get(name, ("", False))[1] for name in found.ids], bool)
    lists, scores = found.lists(history, k, barred)
    picks = []
    for item, score in zip(lists[0].tolist(), scores[0].tolist(), strict=True):
        if item < 0:
            break
        reason = found.because(history, item) if reasons else Reason("", 0.0, None, {})
        about = None if reason.act is None else found.ids[int(history.items[reason.act])]
        named = products.get(about or "", ("", False))[0] or about
        picks.append(Pick(found.ids[item], products.get(found.ids[item], ("", False))[0], score, reason, _sentence(reason, named)))
    if len(picks) < k:
        notes.append(f"{len(picks)} of {k} asked: {int(barred.sum()):,} items are out of stock, {len(set(done)):,} were seen before")
    return picks, notes


def recommend_all(found: Recommender, shop: Path | Shop, out: Path, k: int = 10, progress: Progress | None = None) -> int:
    """A list for every shopper who has acted, as Parquet: user_id, rank (from 1), item_id, score; in flat memory beside the acts.

    Returns:
        Shoppers listed.

    Raises:
        DataError: ``k`` is not positive, or nobody has acted.
        ResourceError: the file cannot be written; then there is none.
    """
    if k < 1:
        raise DataError(f"-k {k}: expected at least 1")
    with opened(shop, None) as view:
        acts, products = acts_of(view, found.config), _stock(view)
    place = {name: at for at, name in enumerate(found.ids)}
    codes = np.array([place.get(name, -1) for name in acts.ids], np.int32)[acts.histories.items]
    start = np.concatenate([[0], np.cumsum(codes >= 0)])[acts.histories.start]
    asked = Histories(
        codes[codes >= 0], start.astype(np.int64), None if acts.histories.weight is None else acts.histories.weight[codes >= 0]
    )
    barred, ids = np.array([products.get(name, ("", False))[1] for name in found.ids], bool), pa.array(found.ids)
    with whole(out) as partial, pq.ParquetWriter(partial, _LISTS) as writer, (progress or Silent()).bar("listing", len(asked)) as moved:
        for begin in range(0, len(asked), BATCH):
            part = slice(begin, min(begin + BATCH, len(asked)))
            items, scores = found.lists(asked.take(part), k, barred)
            row, rank = np.nonzero(items >= 0)
            columns = [
                acts.shoppers.take(pa.array(row + begin)),
                pa.array(rank + 1),
                ids.take(pa.array(items[row, rank])),
                pa.array(scores[row, rank]),
            ]
            writer.write_table(pa.table(dict(zip(_LISTS.names, columns, strict=True))).cast(_LISTS))
            moved(part.stop - begin)
    return len(asked)


_LISTS = pa.schema([("user_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.string()), ("score", pa.float32())])


def _done(view: View, user: str, config: RecommendConfig) -> list[str]:
    """The items that a shopper acted on, oldest first."""
    named, who = ", ".join(map(text_in_sql, config.signs)), text_in_sql(user)
    rows = view.sql(
        f"""select item_id from events where (user_id = {who} or (user_id is null and user_pseudo_id = {who})) and item_id is not null
            and event_name in ({named}) order by event_time, event_seq, event_id"""
    )
    found = rows["item_id"].to_pylist()
    return [str(name) for at, name in enumerate(found) if not at or found[at - 1] != name][-config.last :]


def _stock(view: View) -> dict[str, tuple[str, bool]]:
    """Of each product its title, and whether it cannot be had."""
    if not view.has("products"):
        return {}
    rows = view.sql("select id, title, coalesce(availability = 'out_of_stock', false) as gone from products")
    return {name: (title or "", gone) for name, title, gone in zip(*(column.to_pylist() for column in rows.columns), strict=True)}


def _sentence(reason: Reason, about: str | None) -> str:
    """A reason in words, grounded in an act where the source speaks of acts."""
    if reason.source == "popular" or about is None:
        return "wanted by many lately"
    said = {"next": "often comes after", "together": "goes with", "similar": "is like"}.get(reason.source, reason.source)
    return f"{said} {about}"
