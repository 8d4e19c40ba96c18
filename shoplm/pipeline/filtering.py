"""Filters of products as people type them: ``brand=Ostrava|Junipero``, ``price=10..50``, ``price<=30``, ``product_type=Shoes``.

A key is a column of the products or a name of their attributes; ``price`` is what is to be paid, the sale price where there is one.
Words are compared without regard to case, and a step of a category path stands for all below it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data.convert import name_in_sql, text_in_sql
from shoplm.data.view import View
from shoplm.errors import DataError, did_you_mean

PAID = "coalesce(sale_price, price)"
"""What is to be paid, in SQL over the products."""
_FILTER = re.compile(r"\s*(?P<key>[^=<>]+?)\s*(?P<how>>=|<=|=)\s*(?P<value>.*?)\s*", re.S)


def passing(view: View, filters: Sequence[str], ids: pa.Array) -> npt.NDArray[np.bool_]:
    """(N) which products pass all filters.

    Args:
        view: the shop.
        filters: each ``key=value``, ``key=low..high``, ``key>=low`` or ``key<=high``.
        ids: N.

    Raises:
        DataError: a filter is none of these, or no column is called so.
    """
    if not filters or not view.has("products"):
        return np.ones(len(ids), bool)
    conditions = " AND ".join(f"({condition(view, one)})" for one in filters)
    found = view.sql(f"SELECT id FROM products WHERE {conditions}")["id"]
    passed: npt.NDArray[np.bool_] = pc.is_in(ids, value_set=found.combine_chunks()).to_numpy(zero_copy_only=False)
    return passed


def condition(view: View, given: str) -> str:
    """One filter as an SQL condition on products.

    Raises:
        DataError: it is no filter, or no column is called so.
    """
    found = _FILTER.fullmatch(given)
    if found is None or not found["value"]:
        raise DataError(f"--filter {given}: expected KEY=VALUE, KEY=LOW..HIGH, KEY>=LOW or KEY<=HIGH, such as price=10..50")
    key, how, value = found["key"], found["how"], found["value"]
    columns = view.columns("products")
    if key not in columns:
        raise DataError(f"--filter {given}: products have no `{key}`; {did_you_mean(key, columns)}")
    column = PAID if key == "price" else name_in_sql(key)
    kind = view.sql(f"SELECT {column} AS c FROM products LIMIT 0").schema.field("c").type
    low, dots, high = value.partition("..")
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if how != "=" or (dots and numeric):
        if not numeric:
            raise DataError(f"--filter {given}: `{key}` is no number; expected {key}=VALUE")
        bounds = [(">=", low), ("<=", high)] if how == "=" else [(how, value)]
        return " AND ".join(f"{column} {sign} {_number(given, bound)}" for sign, bound in bounds if bound.strip()) or "true"
    words = [word.strip() for word in value.split("|") if word.strip()]
    if numeric:
        return " OR ".join(f"{column} = {_number(given, word)}" for word in words) or "false"
    listed = ", ".join(text_in_sql(word.lower()) for word in words)
    if pa.types.is_list(kind):
        return f"len(list_filter({column}, lambda x: lower(x) IN ({listed}))) > 0"
    text = f"lower(CAST({column} AS VARCHAR))"
    below = " OR ".join(f"contains(' > ' || {text} || ' > ', {text_in_sql(f' > {word.lower()} > ')})" for word in words)
    return f"{text} IN ({listed}) OR {below}"


def _number(given: str, text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"--filter {given}: `{text}` is no number; expected such as price=10..50")
    return repr(number)
