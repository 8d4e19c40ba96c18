"""Copied reviews are found in every language of the simulated shop, whose truth says which they are."""

import pytest

from shoplm.data import fakes
from shoplm.data.shop import Shop
from shoplm.world.sample import WorldConfig
from shoplm.world.stream import Stream, gathered


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_copied_review_is_marked_and_hardly_an_honest_one(language, tmp_path):
    found = {(chunk.table, chunk.truth): chunk.rows for chunk in gathered(Stream(WorldConfig(shoppers=250, products=120, weeks=52, language=language)).chunks(), 1 << 62)}  # fmt: skip
    truth = found["reviews", True]
    fault = dict(zip(truth["review_id"].to_pylist(), truth["fault"].to_pylist(), strict=True))
    shop = Shop(tmp_path / "shop", create=True)
    shop.upsert("reviews", found["reviews", False])
    copied = {review for review, kind in fault.items() if kind == "copied_review"}
    marked = {review for review, why in fakes.find(shop.view()).reasons.items() if why.startswith("copied")}
    assert len(copied) >= 12
    # equal texts have equal sketches, which always meet: the shortest copied one has 32 letters, 18 would suffice
    assert copied <= marked
    # bought praise "in words of its own" repeats its few phrases; of honest writers one pair by chance is let pass
    honest = [review for review in marked if fault[review] not in ("copied_review", "fake_review")]
    assert len(honest) <= 2
