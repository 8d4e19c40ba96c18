"""GA4 lines keep their numbers however they are broken, and parameters their types."""

import json
from pathlib import Path

from shoplm.data.importers import ga4
from shoplm.data.shop import Shop


def line(number, **more):
    event = {
        "event_timestamp": str(1_769_851_800_000_000 + number),
        "event_name": "view_item",
        "user_pseudo_id": "d",
        "event_params": [],
        "items": [],
    }
    return json.dumps({**event, **more})


def param(key, **value):
    return {"key": key, "value": value}


def test_broken_lines_in_every_block_are_named_and_no_other_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(ga4, "BLOCK", 700)
    broken = {
        7: "{",
        20: "[1]",
        21: "",
        33: line(33, items=[1]),
        40: line(40, items="x"),
        41: "null",
        60: line(60, event_timestamp="99999999999999999999"),
    }
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(broken.get(number, line(number)) for number in range(1, 101)))
    shop = Shop(tmp_path / "shop", create=True)
    report = shop.import_files(file, format="ga4")
    faults = [json.loads(each) for each in Path(report.tables["events"].quarantine[0]).read_text().splitlines()]
    assert sorted(fault["line"] for fault in faults) == [7, 20, 33, 40, 41, 60]
    assert (report.inserted, report.quarantined) == (93, 6)


def test_parameters_keep_their_types_and_clashing_names_are_kept_apart(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text(
        line(1, event_params=[param("n", int_value="3"), param("x", double_value=1.5), param("m", int_value=1), param("country", string_value="mine"), param("s", string_value='a"b')],
             Event_Name="other", geo={"country": "FR"})
        + "\n" + line(2, event_params=[param("n", int_value=4), param("x", int_value=2), param("m", string_value="one")])
    )  # fmt: skip
    shop = Shop(tmp_path / "shop", create=True)
    shop.import_files(file, format="ga4")
    rows = [json.loads(each) for each in shop.view().sql("select attributes from events order by event_time")["attributes"].to_pylist()]
    geo = {"geo": {"country": "FR"}}
    assert rows[0] == {"n": 3, "x": 1.5, "m": 1, "their.country": "mine", "s": 'a"b', "their.Event_Name": "other", **geo} or rows[0] == {
        "n": 3, "x": 1.5, "m": 1, "their.country": "mine", "s": 'a"b', "their.event_name": "other", **geo}  # fmt: skip
    assert rows[1] == {"n": 4, "x": 2.0, "m": "one"}
    assert shop.view().sql("select country from events order by event_time")["country"].to_pylist() == ["FR", None]


def test_the_last_word_on_consent_counts_in_time_not_in_the_file(tmp_path):
    file = tmp_path / "events.jsonl"
    late, early = {"analytics_storage": "No", "ads_storage": "No"}, {"analytics_storage": "Yes", "ads_storage": "Yes"}
    file.write_text(line(9, privacy_info=late) + "\n" + line(2, privacy_info=early) + "\n")
    shop = Shop(tmp_path / "shop", create=True)
    shop.import_files(file, format="ga4")
    assert shop.view().sql("select user_id, consent_analytics, consent_ads from users").to_pylist() == [
        {"user_id": "d", "consent_analytics": False, "consent_ads": False}
    ]


def test_texts_that_are_kept_stay_texts_whatever_they_look_like(tmp_path):
    file = tmp_path / "events.jsonl"
    kept = [{"stream": "1", "shelf": ""}, {"stream": "true", "shelf": "é"}]
    odd = [{"stream": "1", "shelf": 'a"b'}, {"stream": 1, "shelf": " x "}]
    for number, values in enumerate((kept, odd)):
        file.write_text("\n".join(line(place, **each) for place, each in enumerate(values)))
        shop = Shop(tmp_path / f"shop{number}", create=True)
        shop.import_files(file, format="ga4")
        rows = shop.view().sql("select attributes from events order by event_time")["attributes"].to_pylist()
        assert [json.loads(each) for each in rows] == values
