"""The page: complete, self-contained, escaped, whole or not there."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest

from shoplm.data.health.finding import Finding
from shoplm.errors import ResourceError
from shoplm.evaluate import plots
from shoplm.evaluate.calibration import reliability
from shoplm.evaluate.judge import Judge
from shoplm.evaluate.metrics import ECE, Accuracy, LogLoss
from shoplm.evaluate.report import Belief, Curves, Example, Report, render, summary, verdict, write_report
from shoplm.evaluate.words import Word

NASTY = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp; {{ 7*7 }} 质量"


def judged(skill: float, classes: int = 3, seed: int = 0, slice_name: str = "department"):
    rng = np.random.default_rng(0)
    target = rng.integers(0, classes, 400)
    probability = rng.dirichlet(np.ones(classes), 400)
    probability[np.arange(400), target] += skill
    judge = Judge({"accuracy": Accuracy("t", "t"), "log_loss": LogLoss("t", "t"), "ece": ECE("t", "t")}, {"t": classes}, seed)
    judge.update({"t": target}, {"t": probability / probability.sum(1, keepdims=True)}, {slice_name: [NASTY, "b"] * 200})
    return judge.result()


def full() -> Report:
    ours, theirs = judged(1.0), judged(0.3)
    return Report(
        NASTY, NASTY, ours, {NASTY: theirs}, {"t": [NASTY, "b", "c"]},
        [Finding("wrong", "missing", NASTY, "", NASTY, NASTY)], Curves(range(50), np.linspace(1, 0, 50), {NASTY: [(1, 0.5), (2, 0.6)]}),
        [Example(NASTY, NASTY, [Word(0, 8, "<script>", 0.4), Word(8, 13, "alert", -0.2)], 0.9, NASTY)], {NASTY: NASTY}, [NASTY],
    )  # fmt: skip


class Tags(HTMLParser):
    """Every tag and attribute, and whether tags close in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.attributes = [], set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += attrs
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_nasty_text_is_only_ever_text():
    tags = Tags(render(full()))
    assert tags.open == []
    assert not tags.seen & {"script", "img", "iframe", "link"}
    assert not [name for name, _ in tags.attributes if name.startswith("on")]


def test_the_page_reaches_for_nothing():
    page = render(full())
    assert not re.search(r"https?://|url\(|@import|src=", page.replace("&lt;img src=x", ""))


def test_every_part_is_on_the_page_and_an_absent_one_leaves_no_trace():
    page, empty = render(full()), render(Report("only a title"))
    for heading in ("What is wrong in your data", "How good it is", "How it learnt", "words that mattered", "What it confuses",
                    "probabilities be believed", "Where it is good", "What to type next", "Facts"):  # fmt: skip
        assert heading in page
        assert heading not in empty
    assert "only a title" in empty


def test_words_are_marked_green_for_and_red_against():
    page = render(Report("t", examples=[Example("good bad", "yes", [Word(0, 4, "good", 0.5), Word(5, 8, "bad", -0.5)])]))
    assert re.findall(r'<mark style="background:rgba\((\d+).*?>(\w+)</mark>', page) == [("22", "good"), ("208", "bad")]


def test_many_classes_are_a_list_and_few_a_matrix():
    assert "confusion matrix" in render(Report("t", judgement=judged(0.1, 25)))
    many = render(Report("t", judgement=judged(0.1, 26)))
    assert "confusion matrix" not in many
    assert "class 7" in many


def test_a_report_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "run" / "report.html"
    write_report(full(), path)
    assert path.read_text(encoding="utf-8") == render(full())
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        write_report(full(), tmp_path / "file" / "report.html")


def test_the_verdict_says_better_worse_or_tie():
    good, bad, near = judged(1.0), judged(0.2), judged(1.0)
    assert "Better by" in verdict(good, {"majority": bad, "tfidf": judged(0.3)}, "accuracy")
    assert "TF-IDF" in verdict(good, {"majority": bad, "tfidf": judged(0.3)}, "accuracy")
    assert "Worse by" in verdict(bad, {"tfidf": good}, "accuracy")
    assert "A tie" in verdict(good, {"tfidf": near}, "accuracy")
    assert "Better by" in verdict(good, {"tfidf": bad}, "log_loss")  # lower is better here
    assert verdict(good, {}, "accuracy") == f"Accuracy of the fine-tuned model on 400 rows: {good.metrics['accuracy']}."
    assert "Better" not in verdict(good, {"tfidf": judged(0.2, seed=1)}, "accuracy")  # not paired, so nothing is claimed


def test_the_summary_is_a_table_with_every_metric():
    lines = summary(judged(1.0), {"tfidf": judged(0.3)}).splitlines()
    assert lines[0] == "400 rows"
    assert [line.split()[0] for line in lines[2:5]] == ["accuracy", "log_loss", "ece"]
    assert "+0." in lines[2]
    assert "+0." in lines[3]
    assert summary(judged(1.0)).count("\n") == 4


def test_every_picture_is_well_formed_even_of_nothing_or_of_one_point():
    nan = float("nan")
    pictures = [
        plots.line([1], [0.5], across="epoch", up=NASTY, marks=True),
        plots.line([1, 2, 3], [0.5, nan, 0.5], across=NASTY, up="y", raw=[1, nan, 9]),
        plots.confusion(np.zeros((2, 2), int), [NASTY, ""]),
        plots.reliability(judged(0.5).reliability["t"]),
        plots.reliability(judged(0.5).reliability["t"], judged(0.1).reliability["t"]),
        plots.reliability(reliability(np.empty(0), np.empty(0, int))),
        plots.reliability(reliability(np.array([0.5]), np.array([1])), reliability(np.array([1.0]), np.array([0]))),
        plots.whisker(0.5, 0.4, 0.6, 0, 1),
    ]
    for picture in pictures:
        assert ET.fromstring(picture).tag == "svg"
        assert "nan" not in picture
    assert plots.line([1, 2], [nan, nan], across="x", up="y") == ""
    assert plots.whisker(nan, nan, nan, 0, 1) == ""


def test_a_reliability_diagram_shows_both_times_their_intervals_and_their_rows():
    after, before = (
        reliability(np.repeat([0.1, 0.9], 10), np.repeat([0, 1], 10)),
        reliability(np.repeat([0.3, 0.9], [15, 5]), np.ones(20, int)),
    )
    alone, both = ET.fromstring(plots.reliability(after)), ET.fromstring(plots.reliability(after, before))

    def count(picture, name):
        return sum(name == part.get("class") for part in picture.iter())

    assert (count(alone, "dot"), count(alone, "whisker"), count(alone, "bar"), count(alone, "outline")) == (2, 2, 2, 0)
    assert (count(both, "dot past") - 1, count(both, "whisker"), count(both, "bar"), count(both, "outline")) == (
        2,
        2,
        2,
        2,
    )  # one in the legend
    tall = [float(part.get("height")) for part in both.iter() if part.get("class") in ("bar", "outline")]
    assert [round(10 * height / max(tall), 1) for height in tall] == [6.7, 6.7, 10, 3.3]  # 10, 10, 15 and 5 rows
    titles = [part.text for part in both.iter() if part.tag == "title"]
    assert "calibrated: said 0.900, happened 1.000 [0.722, 1.000], 10 rows" in titles  # Wilson: 1 / (1 + 1.96² / 10)


def test_beliefs_take_the_place_of_the_judgements_own_reliability():
    report = Report("t", judgement=judged(0.5), beliefs=[Belief("label", *[judged(0.5).reliability["t"]] * 2, ["calibrated by <platt>"])])
    page = render(report)
    assert page.count('aria-label="reliability diagram"') == 1
    assert "before calibration" in page
    assert "calibrated by &lt;platt&gt;" in page
    assert "before calibration" not in render(Report("t", judgement=judged(0.5)))


def test_the_calibration_error_never_stands_without_its_interval():
    ours = judged(0.5)
    ece = ours.metrics["ece"]
    assert ece.low < ece.value < ece.high
    said = f"[{ece.low:.3f}, {ece.high:.3f}]"
    assert said in next(line for line in summary(ours).splitlines() if line.startswith("ece"))
    assert f"{ece.low:.3f} – {ece.high:.3f}" in render(Report("t", judgement=ours))
    assert {"value", "low", "high"} == set(ours.plain()["metrics"]["ece"])


def test_smoothing_leaves_out_what_is_not_a_number():
    np.testing.assert_allclose(plots.smoothed(np.array([1.0, 3.0, np.nan, 5.0]), 2), [1, 2, 3, 5])
