"""demo, new, check and doctor: a newcomer's first commands."""

from __future__ import annotations

import os

import pytest

import shoplm as library
from pipeline.worked import shoplm
from shoplm.errors import DataError
from shoplm.pipeline import doctor
from shoplm.pipeline.demo import demo
from shoplm.pipeline.health import check
from shoplm.pipeline.progress import Silent


def test_the_demo_ends_in_a_bundle_a_report_and_what_to_type_next(bert, tmp_path):
    out = tmp_path / "demo"
    tiny = {"backbone": bert, "method": "head", "layers": None, "epochs": 1, "learning_rate": 5e-3}
    found = demo(out, language="en", seed=0, progress=Silent(), shoppers=40, settings=tiny)
    assert sorted(os.listdir(out)) == ["bundle", "report.html", "shop"]
    assert str(found).rstrip().splitlines()[-1].strip().startswith("shoplm train ")
    assert "sentiment: " in str(found)
    assert "intent: " in str(found)
    assert library.load(out / "bundle").tasks == ("sentiment", "intent")
    page = (out / "report.html").read_text()
    assert "ShopLM demo" in page
    again = demo(out, language="en", seed=0, progress=Silent(), shoppers=40, settings=tiny)  # a second time is no mistake
    assert again.found["intent"].plain()["metrics"] == found.found["intent"].plain()["metrics"]


def test_the_demo_touches_no_foreign_folder(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="not an earlier demo"):
        demo(tmp_path, language="en", seed=0, progress=Silent())
    assert os.listdir(tmp_path) == ["thesis.txt"]
    assert shoplm("demo", "--out", tmp_path).code == 2


def test_a_sample_shop_has_faults_and_check_finds_them(tmp_path):
    said = shoplm("new", tmp_path / "shop", "--sample", "--shoppers", "60")
    assert said.code == 0
    assert f"next: shoplm check --shop {tmp_path / 'shop'}" in said.out
    health = shoplm("check", "--shop", tmp_path / "shop", "--json").json
    assert set(health["counts"]) == {"products", "users", "events", "reviews", "chats", "ads", "spend", "orders", "articles", "relations"}
    assert any(finding["severity"] == "wrong" for finding in health["findings"])
    shop = library.Shop(tmp_path / "shop")
    assert str(check(shop)) in shoplm("check", "--shop", tmp_path / "shop").out


def test_an_interrupted_sample_leaves_no_shop(tmp_path, monkeypatch):
    from shoplm.data.shop import Shop

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Shop, "transaction", stop)
    said = shoplm("new", tmp_path / "shop", "--sample", "--shoppers", "20")
    assert said.code == 1
    assert said.err.rstrip().splitlines()[-1].startswith("stopped;")
    assert not (tmp_path / "shop").exists()


def test_an_empty_shop_is_healthy_and_trains_nothing(tmp_path, bert):
    assert shoplm("new", tmp_path / "shop").code == 0
    assert "nothing wrong was found" in shoplm("check", "--shop", tmp_path / "shop").out
    said = shoplm("train", "sentiment", "--shop", tmp_path / "shop", "--backbone", bert, "--out", tmp_path / "out")
    assert said.code == 2
    assert "the table reviews is empty: bring rows in with shoplm import" in said.line
    assert "is not empty" in shoplm("new", tmp_path / "shop").line


def test_doctor_says_what_is_bad_and_what_to_do(monkeypatch):
    found = doctor.Diagnosis([doctor.Line("ok", "Python"), doctor.Line("bad", "0.1 GB free")])
    assert not found.well
    assert "next: mend what is marked bad" in str(found)
    monkeypatch.setattr(doctor, "examine", lambda: found)
    said = shoplm("doctor")
    assert said.code == 1
    assert "bad     0.1 GB free" in said.out


@pytest.mark.slow
def test_doctor_finds_this_machine_well():
    said = shoplm("doctor")
    assert said.code == 0, said.out
    assert "next: shoplm demo" in said.out
