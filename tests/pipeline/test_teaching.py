"""recommend with its networks: trained from a shop, kept in a bundle, asked without torch, and explained by acts."""

import json

import numpy as np
import pytest

from shoplm.apps.fitting import renewed
from shoplm.apps.recommend import RecommendConfig, Recommender
from shoplm.errors import BundleError
from shoplm.pipeline import listing, recommending
from shoplm.pipeline.progress import Silent
from shoplm.pipeline.teaching import networks
from shoplm.retrieve.following import Following
from shoplm.retrieve.histories import Histories
from tests.pipeline.test_recommending import ITEMS, events, products


@pytest.fixture(scope="module")
def trained(tmp_path_factory, backbone_folders):
    from shoplm.data.shop import Shop

    place = tmp_path_factory.mktemp("teaching")
    shop = Shop(place / "shop", create=True)
    shop.upsert("events", events())
    shop.upsert("products", products())
    config = RecommendConfig(backbone=str(backbone_folders["bert"]), passes=4, width=16)
    found, how = recommending.train(config, shop=shop, out=place / "bundle")
    return shop, found, how, place


ASKED = Histories.of([[3, 4, 5], [9], [], [1, 2, 1, 7]])


def test_its_networks_are_sources_beside_those_that_count(trained):
    shop, found, how, place = trained
    assert set(found.sources) == {"next", "together", "similar", "popular", "sequence", "alike"}
    assert len(found.weights) == 12
    assert set(json.loads(json.dumps(how.plain()))["baselines"]) == set(found.sources)
    assert recommending.evaluate(place / "bundle", shop=shop).ours.shoppers == 60
    assert len(list((place / "shop" / "derived").iterdir())) == 1


def test_what_is_saved_answers_the_same_and_an_altered_file_is_refused(trained, tmp_path):
    _, found, _, place = trained
    again = recommending.load(place / "bundle")
    for ours, theirs in zip(found.lists(ASKED, 7), again.lists(ASKED, 7), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    found.save(tmp_path)
    file = tmp_path / "sequence.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(BundleError, match="train it again"):
        Recommender.load(tmp_path)


def test_the_same_seed_learns_the_same(trained, tmp_path):
    shop, found, _, _ = trained
    again, _ = recommending.train(found.config, shop=shop, out=tmp_path / "bundle")
    # where an array lies in memory decides in which order a kernel sums: the last bit of float32, over some dozens of steps
    np.testing.assert_allclose(again.weights, found.weights, atol=1e-2)
    np.testing.assert_allclose(again.sources["sequence"].vectors, found.sources["sequence"].vectors, atol=1e-4)


def test_over_more_acts_a_network_stays_or_learns_on(trained):
    _, found, _, place = trained
    more, at_us = Histories.of([[1, 5, 9, 2]] * 30), np.arange(120)
    assert renewed(found, more, at_us).sources["sequence"] is found.sources["sequence"]
    teacher = networks([f"thing {at}" for at in range(ITEMS)], found.config, place / "shop" / "derived", Silent())
    learnt = renewed(found, more, at_us, teacher).sources["sequence"]
    assert isinstance(learnt, Following)
    assert np.abs(learnt.vectors - found.sources["sequence"].vectors).max() > 1e-4


def test_a_new_shopper_is_answered_from_acts_alone_and_told_which(trained):
    shop, found, _, _ = trained
    only = np.array([2.0 if name == "sequence score" else 1e-3 for name in _names(found)], np.float32)
    chosen = Recommender(**{**found.__dict__, "weights": only})
    picks = listing.listed(chosen, shop, listing.Question(items=("i3", "i4")), listing.ListConfig(k=3)).picks
    assert picks[0].source == "sequence"
    assert picks[0].because.startswith("follows, in the order of acts, from thing")


def test_settings_may_want_no_network():
    assert networks(["a", "b"], RecommendConfig(sequence=False)) is None


def test_items_without_words_have_a_sequence_model_alone():
    histories = Histories.of([[at % 5, (at + 1) % 5, (at + 2) % 5] for at in range(40)])
    short, wanted, _ = histories.without_last()
    teacher = networks([""] * 5, RecommendConfig(passes=1, width=16))
    assert set(teacher.learn(short, wanted)) == {"sequence"}


def _names(found):
    return [f"{source} {kind}" for source in found.sources for kind in ("score", "rank")]
