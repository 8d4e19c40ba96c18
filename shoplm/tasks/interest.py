"""interest: does this shopper want this product, at this moment?

Learns from a shop's lists: each item that was shown is a moment, wanted if the shopper acted on it soon after. A shop
without lists is asked about its acts beside drawn items; ratings and reviews teach by the rating rule. Or from a file
with ``history``, ``item`` and ``label`` (or ``rating``), or with ``text`` and ``label`` alone.

The backbone reads the shopper's last acts and the product as a pair; numbers such as the price against the shopper's
usual one stand beside them. All of it is what was known before the moment.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from shoplm.data import contract
from shoplm.data.context import Context, Row
from shoplm.data.shop import View
from shoplm.errors import DataError
from shoplm.evaluate.calibrate import SETTING, Calibrating, calibrate, log_probabilities
from shoplm.evaluate.metrics import AUROC, ECE, MAE, RMSE, Accuracy, LogLoss
from shoplm.model.specs import Choice, HeadSpec, Score
from shoplm.task import Answer, Fitted, Metric, Moments, Scores, Task
from shoplm.text.render import Prompt, Segment, clean, history, product

LABELS = ("no", "yes")
YES = frozenset({"yes", "true", "1", "1.0", "positive", "interested", "interest", "wanted", "wants", "like", "liked", "click", "clicked", "buy", "bought"})  # fmt: skip
NO = frozenset({"no", "false", "0", "0.0", "negative", "not interested", "not_interested", "uninterested", "unwanted", "dislike", "disliked", "skip", "skipped", "ignored", "-1"})  # fmt: skip
NOBODY = "nobody"
_DAY_US = 86_400_000_000
_MONTH_US = 28 * _DAY_US
_WHO = "coalesce(user_id, user_pseudo_id)"
_TRIES = 4
"""Items drawn for each that is wanted: those that the shopper acted on, or that did not exist yet, are thrown back."""


class InterestSettings(Calibrating):
    """What interest learns."""

    by: Literal["lists", "acts", "ratings", "reviews"] | None = None
    """What tells of a shop's shoppers: items shown in lists; acts, beside drawn items; ``event_value`` as a rating; reviews. None = lists where there are any, else acts."""
    wants: tuple[str, ...] = ("select_item", "view_item", "add_to_wishlist", "add_to_cart", "purchase")
    """The events that say that an item is wanted."""
    within_minutes: int = pydantic.Field(default=60, ge=1)
    """An act counts for the latest list that showed the item to the shopper, if that was no longer ago."""
    share: float = pydantic.Field(default=1.0, gt=0, le=1)
    """Share of the lists (or acts, or ratings) that are taken, drawn by their ids; it changes the time, not the base rate."""
    negatives: int = pydantic.Field(default=4, ge=1)
    """With ``by=acts``, items drawn for each act, as likely as they were acted on in those four weeks."""
    wants_from: float = 4.0
    """The rating from which an item counts as wanted."""
    rating: bool = False
    """Learn the rating itself too, where there is one."""
    wanted: str | None = None
    """In a plain file, the label that means yes, where it is none of the usual words; every other means no."""
    features: tuple[str, ...] | None = None
    """Numbers and categories beside the text: the task's own, or columns of a plain file; None = all of the task's own, [] = none."""

    @property
    def table(self) -> str:
        """The table that is gone through."""
        return "reviews" if self.by == "reviews" else "events"


@final
class Interest(Task):
    """Learns whether a shopper wants a product, from the acts before and the product's words."""

    subject = "events"
    needs = ("events", "products", "users")
    acts = ("search", "select_item", "view_item", "add_to_wishlist", "add_to_cart", "remove_from_cart", "purchase", "refund")
    last = 40
    reads = ("item", "text")
    plain = ("history", "item", "text", "label", "rating", "split")
    keys = ("item_id",)
    fields: ClassVar[Mapping[str, str]] = {
        "product": "item", "product_text": "item", "title": "item", "behaviour": "history", "behavior": "history", "acts": "history",
        "interest": "label", "interested": "label", "clicked": "label", "stars": "rating",
    }  # fmt: skip
    defaults: ClassVar[Mapping[str, str]] = {"event_time": "2000-01-01T00:00:00Z", "event_name": "asked", "user_id": NOBODY}
    parted_by = "time"
    features = (
        "item_price", "price_to_usual", "days_since_act", "acts", "same_kind", "same_brand", "last_kind", "item_acts", "item_age_days", "week", "place",
        "list", "item_kind", "membership",
    )  # fmt: skip
    Settings = InterestSettings
    metrics: ClassVar[Mapping[str, Metric]] = {
        "roc_auc": AUROC("interest", "event"),
        "log_loss": LogLoss("interest", "event"),
        "ece": ECE("interest", "event"),
        "accuracy": Accuracy("interest", "event"),
        "rmse": RMSE("rating", "rating"),
        "mae": MAE("rating", "rating"),
    }
    judge_by = "roc_auc"

    def moments(self, view: View, settings: InterestSettings) -> Moments:
        """What was shown, done or rated in this part, each with whether it was wanted."""
        columns = view.columns(settings.table)
        if settings.table == "events" and {"item", "text"} & set(columns) and {"label", "rating"} & set(columns):
            return _plain(view, settings, columns)
        by = settings.by or ("lists" if _has_lists(view) else "acts")
        match by:
            case "lists":
                return _lists(view, settings)
            case "acts":
                return _acted(view, settings)
            case "ratings":
                return _rated(view, settings, "event_value", "event_time")
        return _rated(view, settings, "rating", "created_at")

    def prompt(self, context: Context) -> Prompt:
        """The shopper's last acts, newest first, and the product; of a plain row its own words."""
        subject = context.subject
        text, item = clean(subject.get("text")), clean(subject.get("item"))
        if text or item:
            before = clean(subject.get("history"))
            pair = (Segment(before, 1), Segment(item, 9, 1)) if item else (Segment(text),)
            return Prompt(tuple(segment for segment in pair if segment.text), _own(subject))
        return _of_shop(context)

    def heads(self, fitted: Fitted) -> Mapping[str, HeadSpec]:
        """No or yes, and the rating where it was learnt."""
        width = fitted.features.width
        found: dict[str, HeadSpec] = {"interest": Choice(LABELS, features=width)}
        if "low" in fitted.numbers:
            found["rating"] = Score("regression", fitted.numbers["low"], fitted.numbers["high"], features=width)
        return found

    def learn(self, targets: Mapping[str, pa.Array], settings: InterestSettings) -> Fitted:
        """How common a yes is, and the range of the ratings."""
        known = targets["interest"].drop_null()
        seen = set(pc.unique(known).to_pylist())
        if len(seen) < 2:
            held = f"only `{next(iter(seen))}`" if seen else "no answer at all"
            raise DataError(
                f"interest: the train rows hold {held}; give rows that were wanted and rows that were not, or change wants= or wants_from="
            )
        numbers = {"share": float(pc.mean(pc.equal(known, "yes")).as_py())}
        if settings.rating:
            bounds: Any = pc.min_max(targets["rating"]).as_py() if "rating" in targets else {"min": None}
            if bounds["min"] is None or bounds["min"] == bounds["max"]:
                raise DataError(
                    "interest: rating=true, and the train rows hold no two different ratings; name them with --map rating=COLUMN or by=reviews"
                )
            numbers |= {"low": float(bounds["min"]), "high": float(bounds["max"])}
        return Fitted(labels={"interest": list(LABELS)}, numbers=numbers, words={SETTING: settings.calibration})

    def choose(self, scores: Scores, targets: Mapping[str, Any], fitted: Fitted) -> Fitted:
        """What makes the probabilities honest."""
        return calibrate(fitted, "interest", scores["interest"], targets["interest"])

    def answer(self, scores: Scores, fitted: Fitted) -> Answer:
        """Whether it is more likely wanted than not, how likely, and the rating expected."""
        event = np.exp(log_probabilities(fitted, "interest", scores["interest"]))[:, 1].astype(np.float32)
        columns: dict[str, Any] = {
            "interest": [LABELS[int(sure)] for sure in event >= 0.5],
            "probability": np.round(event.astype(float), 4).tolist(),
        }
        values = {"interest": np.stack([1 - event, event], 1), "event": event}
        if "rating" in scores.values:
            columns["rating"] = np.round(scores["rating"].astype(float), 2).tolist()
            values["rating"] = scores["rating"]
        return Answer(columns, values)


def _own(subject: Row) -> dict[str, float | str]:
    """What a plain row holds beside its words, as features to choose from."""
    found: dict[str, float | str] = {}
    for name, value in subject.plain().items():
        if name.startswith("_") or name in _NO_FEATURES:
            continue
        if isinstance(value, str):
            found[name] = value
        elif not isinstance(value, list | dict | datetime):
            found[name] = float(value)
    return found


_NO_FEATURES = {*Interest.plain, *(column.name for column in contract.EVENTS.columns if column.is_id or column.required), "attributes", "source", "row_digest"}  # fmt: skip


def _of_shop(context: Context) -> Prompt:
    """Words and features of an item that a shopper meets in a shop."""
    subject, item, shopper = context.subject, context.item, context.shopper
    titles, brands, kinds = context.acted("_title"), context.acted("_brand"), context.acted("_kind")
    items, names, terms = context.acted("item_id"), context.acted("event_name"), context.acted("search_term")
    things = [
        term if name == "search" else title or one for name, term, title, one in zip(names, terms, titles or items, items, strict=True)
    ]
    segments = [*history(names, things)]
    groups = clean(", ".join(shopper.segments or ())) if shopper else ""
    if groups:
        segments.insert(0, Segment(f"{groups}.", 2))
    brand, kind = (item.brand, _kind(item)) if item else (None, None)
    segments += product(item.title, brand, kind, item.color, item.material) if item else product(subject.item_id)
    price = _price(item)
    spent = [math.log(paid) for paid in context.acted("_price") if paid is not None and paid > 0]
    last = [one for one in kinds if one is not None][-1:]
    found: dict[str, float | str | None] = {
        "item_price": price,
        "price_to_usual": math.log(price) - sum(spent) / len(spent) if price and spent else None,
        "days_since_act": (context.now_us - context.acted("_at_us")[-1]) / _DAY_US if context.acted("_at_us") else None,
        "acts": float(len(names)),
        "same_kind": kinds.count(kind) / len(kinds) if kinds and kind else None,
        "same_brand": brands.count(brand) / len(brands) if brands and brand else None,
        "last_kind": float(last[0] == kind) if last and kind else None,
        "item_acts": float(items.count(subject.item_id)),
        "item_age_days": _days(item.created_at, context.now_us) if item else None,
        "week": float(context.now_us / _DAY_US % 365.2425 // 7),
        "item_kind": kind,
        "membership": shopper.membership if shopper else None,
    }
    for name in Interest.features:
        said = subject.get(name)
        if said is not None:
            found[name] = said
    return Prompt(tuple(segments), {name: value for name, value in found.items() if value is not None})


def _kind(item: Row) -> str | None:
    """The deepest category that a product has."""
    for name in ("category_l5", "category_l4", "category_l3", "category_l2", "category_l1", "product_type"):
        if item[name]:
            return str(item[name])
    return None


def _price(item: Row | None) -> float | None:
    """What was to be paid, as far as it was known."""
    if item is None:
        return None
    paid = item.sale_price if item.sale_price is not None else item.price
    return float(paid) if paid else None


def _days(since: datetime | None, now_us: int) -> float | None:
    """How old a thing is, at least 0; None where its beginning is not known."""
    if since is None:
        return None
    return max(0.0, (now_us - int(since.replace(tzinfo=since.tzinfo or UTC).timestamp() * 1_000_000)) / _DAY_US)


def _has_lists(view: View) -> bool:
    return bool(view.whole.sql("select 1 as one from events where impression is not null limit 1").num_rows)


def _plain(view: View, settings: InterestSettings, columns: list[str]) -> Moments:
    """The rows of a plain file."""
    said = {
        name: f"nullif(trim(cast(\"{name}\" as varchar)), '')" if name in columns else "cast(null as varchar)" for name in Interest.plain
    }
    said["rating"] = 'try_cast("rating" as double)' if "rating" in columns else "cast(null as double)"
    rows = view.sql(
        f"""select _row, epoch_us(event_time) as at_us, {", ".join(f"{sql} as {name}" for name, sql in said.items())},
                   nullif(user_id, '{NOBODY}') as who, item_id
            from events where {said["item"]} is not null or {said["text"]} is not null order by _row"""
    )
    answer = _answers(rows["label"], settings)
    rated = pc.if_else(pc.greater_equal(rows["rating"], settings.wants_from), "yes", "no")
    targets = {"interest": pc.coalesce(answer, rated).combine_chunks()}
    if settings.rating:
        targets["rating"] = rows["rating"].combine_chunks()
    words = pc.binary_join_element_wise(rows["history"], pc.coalesce(rows["item"], rows["text"]), " ", null_handling="skip")
    seen = {"item": pc.coalesce(rows["item_id"], rows["item"]), "shopper": rows["who"]}
    seen = {name: keys.combine_chunks() for name, keys in seen.items() if keys.null_count < len(keys)}
    return Moments(rows["_row"], rows["at_us"], targets, words, rows["split"], {}, seen=seen)


def _answers(labels: pa.ChunkedArray, settings: InterestSettings) -> pa.Array:
    """Labels of a plain file as no and yes.

    Raises:
        DataError: a label is neither, and no setting says which one means yes.
    """
    words = pc.utf8_lower(labels)
    if settings.wanted is not None:
        return pc.if_else(pc.equal(words, settings.wanted.strip().lower()), "yes", "no").combine_chunks()
    strange = sorted(set(pc.unique(words.drop_null()).to_pylist()) - YES - NO)
    if strange:
        raise DataError(
            f"interest: the label `{strange[0]}` says neither yes nor no; name the one that means yes with wanted=LABEL, "
            f"or bring numbers as --map rating=COLUMN"
        )
    yes = pc.is_in(words, value_set=pa.array(sorted(YES)))
    return pc.if_else(pc.is_valid(words), pc.if_else(yes, "yes", "no"), pa.scalar(None, pa.string())).combine_chunks()


def _taken(ids: pa.ChunkedArray | pa.Array, share: float) -> pa.Array:
    """Which rows are taken, by their ids alone."""
    if share >= 1:
        return pa.array(np.ones(len(ids), bool))
    return pa.array([zlib.crc32(name.encode()) < share * 2**32 for name in ids.to_pylist()], pa.bool_())


def _who(rows: pa.Table) -> pa.ChunkedArray:
    return pc.coalesce(rows["user_id"], rows["user_pseudo_id"])


def _made(rows: pa.Table, rating: bool) -> Moments:
    """Moments of rows with ``id``, ``who``, ``item_id``, ``at_us``, ``yes``, ``rating``, ``split`` and features."""
    asked = pa.table(
        {
            "_id": rows["id"],
            "event_time": rows["at_us"].cast(pa.timestamp("us", tz="UTC")),
            "user_id": rows["who"],
            "item_id": rows["item_id"],
        }
    )
    for name in ("place", "list"):
        if name in rows.schema.names:
            asked = asked.append_column(name, rows[name])
    targets = {"interest": pc.if_else(rows["yes"], "yes", "no").combine_chunks()}
    if rating:
        targets["rating"] = rows["rating"].cast(pa.float64()).combine_chunks()
    group = pc.binary_join_element_wise(rows["who"], rows["item_id"], "/", null_handling="replace", null_replacement="").combine_chunks()
    slices = {"list": rows["list"].combine_chunks()} if "list" in rows.schema.names else {}
    seen = {"item": rows["item_id"].combine_chunks(), "shopper": rows["who"].combine_chunks()}
    number = pa.array(np.arange(rows.num_rows))
    return Moments(number, rows["at_us"].combine_chunks(), targets, group, None, slices, asked.combine_chunks(), seen)


def _lists(view: View, settings: InterestSettings) -> Moments:
    """Each item of each list, once; wanted if an act on it followed and no later list had shown it by then."""
    rows = view.table
    rows = rows.filter(pc.and_(pc.and_(pc.is_valid(rows["impression"]), pc.is_valid(_who(rows))), _taken(rows["event_id"], settings.share)))
    shown = pa.table(
        {"event_id": rows["event_id"], "at_us": rows["event_time"].cast(pa.int64()), "who": _who(rows), "list": rows["item_list_name"],
         "impression": rows["impression"]}
    )  # fmt: skip
    wait = settings.within_minutes * 60_000_000
    low, high = (pc.min(shown["at_us"]).as_py() or 0), (pc.max(shown["at_us"]).as_py() or 0) + wait
    span = f"event_time >= make_timestamp({low}) and event_time <= make_timestamp({high}) and {_WHO} in (select who from _shown)"
    found = view.whole.sql(
        f"""with places as (
              select event_id, at_us, who, list, item_id, min(place) as place
              from (select event_id, at_us, who, list, unnest(impression) as item_id, generate_subscripts(impression, 1) - 1 as place from _shown)
              where item_id is not null group by all),
            every as (
              select distinct event_id, epoch_us(event_time) as at_us, {_WHO} as who, unnest(impression) as item_id
              from events where impression is not null and {span}),
            done as (
              select {_WHO} as who, item_id, epoch_us(event_time) as at_us
              from events where event_name in ({_listed(settings.wants)}) and item_id is not null and {span}),
            wanted as (
              select distinct every.event_id, every.item_id from done asof join every
                on done.who = every.who and done.item_id = every.item_id and done.at_us >= every.at_us
              where done.at_us - every.at_us <= {wait})
            select places.event_id || '/' || place as id, places.at_us, who, list, item_id, cast(place as double) as place,
                   wanted.event_id is not null as yes
            from places left join wanted using (event_id, item_id) order by places.at_us, places.event_id, place""",
        {"_shown": shown},
    )
    return _made(found, rating=False)


def _acted(view: View, settings: InterestSettings) -> Moments:
    """Each shopper's first act of a day on an item, and beside it items that others acted on in those four weeks."""
    rows = view.table
    wanted = pc.is_in(rows["event_name"], value_set=pa.array(settings.wants))
    rows = rows.filter(pc.and_(pc.and_(wanted, pc.is_valid(rows["item_id"])), pc.is_valid(_who(rows))))
    acts = pa.table(
        {"event_id": rows["event_id"], "at_us": rows["event_time"].cast(pa.int64()), "who": _who(rows), "item_id": rows["item_id"]}
    )
    low, high = (
        (pc.min(acts["at_us"]).as_py() or 0) // _MONTH_US * _MONTH_US,
        ((pc.max(acts["at_us"]).as_py() or 0) // _MONTH_US + 1) * _MONTH_US,
    )
    which = f"event_name in ({_listed(settings.wants)}) and item_id is not null and event_time < make_timestamp({high})"
    now = f"{which} and event_time >= make_timestamp({low})"
    first = view.whole.sql(
        f"""select event_id, at_us, who, item_id from _acts semi join (
              select event_id from events where {now} and {_WHO} in (select who from _acts)
              qualify row_number() over (partition by {_WHO}, item_id, epoch_us(event_time) // {_DAY_US}
                                         order by event_time, coalesce(event_seq, 0), event_id) = 1) using (event_id)
            order by at_us, event_id""",
        {"_acts": acts},
    )
    first = first.filter(_taken(first["event_id"], settings.share))
    pool = view.whole.sql(
        f"""select month, item_id, count(*) as acts, any_value(begun) as begun
            from (select epoch_us(event_time) // {_MONTH_US} as month, item_id from events where {now})
            join (select item_id, epoch_us(min(event_time)) as begun from events where {which} group by item_id) using (item_id)
            group by all order by month, item_id"""
    )
    theirs = view.whole.sql(
        f"""select distinct {_WHO} as who, item_id, epoch_us(event_time) // {_MONTH_US} as month
            from events where {now} and {_WHO} in (select who from _acts)""",
        {"_acts": acts},
    )
    drawn = _drawn(first, pool, theirs, settings.negatives)
    both = pa.concat_tables([first.append_column("yes", pa.array(np.ones(len(first), bool))).append_column("id", first["event_id"]), drawn])
    return _made(both.sort_by([("at_us", "ascending"), ("id", "ascending")]), rating=False)


def _drawn(first: pa.Table, pool: pa.Table, theirs: pa.Table, count: int) -> pa.Table:
    """Up to ``count`` items for each act, none that its shopper acted on in those weeks or that nobody had acted on yet."""
    taken = set(zip(theirs["who"].to_pylist(), theirs["item_id"].to_pylist(), theirs["month"].to_pylist(), strict=True))
    month, items, begun = np.asarray(pool["month"]), pool["item_id"].to_pylist(), np.asarray(pool["begun"])
    ends = np.cumsum(np.asarray(pool["acts"], np.int64))
    rows: dict[str, list[Any]] = {"event_id": [], "at_us": [], "who": [], "item_id": [], "yes": [], "id": []}
    for event, at_us, who in zip(first["event_id"].to_pylist(), first["at_us"].to_pylist(), first["who"].to_pylist(), strict=True):
        here = at_us // _MONTH_US
        start, stop = np.searchsorted(month, [here, here + 1])
        low, high = int(ends[start - 1]) if start else 0, int(ends[stop - 1])
        draws = np.random.default_rng(zlib.crc32(event.encode())).integers(low, high, count * _TRIES)
        places = dict.fromkeys(np.searchsorted(ends, draws, side="right").tolist())
        chosen = [place for place in places if begun[place] <= at_us and (who, items[place], here) not in taken][:count]
        for number, place in enumerate(chosen, 1):
            for name, value in zip(rows, (event, at_us, who, items[place], False, f"{event}/{number}"), strict=True):
                rows[name].append(value)
    kinds = {"event_id": pa.string(), "at_us": pa.int64(), "who": pa.string(), "item_id": pa.string(), "yes": pa.bool_(), "id": pa.string()}
    return pa.table({name: pa.array(values, kinds[name]) for name, values in rows.items()})


def _rated(view: View, settings: InterestSettings, rating: str, clock: str) -> Moments:
    """Each rating of an item by somebody, wanted from ``wants_from`` on."""
    table = settings.table
    who = _WHO if table == "events" else "user_id"
    found = view.sql(
        f"""select _id as id, epoch_us({clock}) as at_us, {who} as who, item_id, cast({rating} as double) as rating,
                   {rating} >= {settings.wants_from:g} as yes
            from {table} where {rating} is not null and {clock} is not null and {who} is not null and item_id is not null order by _row"""
    )
    return _made(found.filter(_taken(found["id"], settings.share)), rating=settings.rating)


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)


TASK = Interest()
