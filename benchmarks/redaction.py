"""Redaction: precision and recall on 2,000 support chats of the world's grammar with planted persons, and its speed.

The spans are known, because we plant them: into clauses that the world's grammar speaks, as facts no grammar knows. Half of the
chats plant nothing and are full of traps. The sentences around the persons were written by the author of the rules, after the
rules, and a third of the names are in no list of theirs; they are held out, not independent.

Presidio stands beside on the English chats, where it is installed (``pip install presidio-analyzer``), for the kinds that it
finds by pattern: e-mail, telephone, card, IBAN. Its names and places need a language model that is downloaded apart, so they
are not compared; its speed is without that model, which flatters it. Answers below its score .35 (its own words: weak) are out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.side_by_side import Json, result, say

FIRST = ("Anna", "Tom", "Priya", "Omar", "Lucia", "Grace", "Will", "Ewelina", "Tadhg", "Ngozi", "Soren", "Ifeoma")
LAST = ("Kowalski", "Baker", "Okafor", "Lindqvist", "O'Neill", "Marsh", "Delacroix", "Hartley-Jones", "Yilmaz", "Prentice")
STREETS = ("Mill Lane", "Station Road", "Albert Street", "Orchard Close", "Queen's Avenue", "Fernhill Drive")
TOWNS = ("Leeds LS2 7AB", "Cardiff CF10 3BN", "Bristol BS1 4AB", "Springfield, IL 62704", "York YO1 9QR")
ZH_NAMES = ("王小明", "李娜", "张伟", "欧阳静", "陈思远", "赵敏")
ZH_STREETS = ("杭州市西湖区文三路{n}号", "北京市朝阳区建国路{n}号", "成都市武侯区人民南路{n}号", "苏州市工业园区星湖街{n}号")
ENGLISH: dict[str, tuple[str, ...]] = {
    "EMAIL": ("you can write to {} instead", "my new mail is {}", "send the label to {}, thanks", "{} is where I read mail"),
    "PHONE": ("ring {} after six", "the driver can reach me on {}", "it is best to phone {}", "text {} when you are near"),
    "CARD": ("I paid with card {} if that helps", "the card was {}", "charge {} again please"),
    "IBAN": ("the refund should go to {}", "my account is {}", "please use {} for the money"),
    "ADDRESS": ("please bring it to {} instead", "we now live at {}", "the right address would be {}"),
    "NAME": ("the order was placed by Mr {}", "my name is {}", "it is for {}, not for me", "I am {} by the way", "signed, {}"),
}
CHINESE: dict[str, tuple[str, ...]] = {
    "EMAIL": ("发到我邮箱{}", "我的邮箱是{}"),
    "PHONE": ("打我电话{}", "手机换成{}了", "联系{}就行"),
    "CARD": ("我刷的卡是{}",),
    "ADDRESS": ("麻烦改送到{}", "新地址是{}"),
    "NAME": ("我叫{}", "收件人是{}", "帮{}先生退一下"),
}
TRAPS_EN = (
    "order A-{a} and parcel {b}",
    "tracking number {c}",
    "sku {d} in size 42",
    "bought on 14.03.2024 for £{e}",
    "EAN {f}",
    "the Anna dress, 2 Halden Row jumpers",
)
TRAPS_ZH = ("订单号{g}", "运单{c}", "货号{d}，38码", "三号付了{e}元", "条码{f}")


def chats(count: int, seed: int) -> list[tuple[str, list[tuple[int, int, str]]]]:
    """Texts with the spans that were planted in them."""
    from shoplm.world.chats import INTENTS
    from shoplm.world.grammar import pick
    from shoplm.world.speech import grammars

    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        chinese = rng.random() < 0.4
        said = grammars("zh" if chinese else "en").chats
        facts = {"noun": "裙子" if chinese else "dress", "brand": "南屿" if chinese else "Halden Row", "color": "红色" if chinese else "navy",
                 "order": f"A-{rng.integers(10**7, 10**8)}", "sku": "DR00123", "two": "34", "two2": "12", "amount": "35元" if chinese else "£35.10",
                 "mail": "*", "phone": "*", "cents": "35.10", "whole": "35", "other": "", "topic": "", "core": ""}  # fmt: skip
        clauses = [str(clause).replace(" ", "") if chinese else str(clause) for clause in [said.say(pick(rng, list(INTENTS)), rng, facts)]]
        clauses += [_trap(pick(rng, TRAPS_ZH if chinese else TRAPS_EN), rng)] if rng.random() < 0.7 else []
        planted = [_planted(chinese, rng) for _ in range(int(rng.integers(1, 4)))] if number % 2 else []
        parts: list[tuple[str, str, str]] = [(clause, "", "") for clause in clauses] + planted
        rng.shuffle(parts)  # type: ignore[arg-type]
        text, spans = "", []
        for words, value, kind in parts:
            words, value, kind = str(words), str(value), str(kind)
            if kind:
                start = len(text) + words.index("{}")
                spans.append((start, start + len(value), kind))
                words = words.replace("{}", value)
            text += words + ("。" if chinese else ". ")
        found.append((text, spans))
    return found


def _trap(phrase: str, rng: np.random.Generator) -> str:
    def digits(n: int) -> str:
        return "".join(str(int(d)) for d in rng.integers(0, 10, n))

    return phrase.format(
        a=digits(8), b=digits(12), c="1Z" + digits(16), d="JK" + digits(5), e=digits(3), f="4" + digits(12), g="1" + digits(10)
    )


def _planted(chinese: bool, rng: np.random.Generator) -> tuple[str, str, str]:
    from shoplm.data.redact.contacts import luhn
    from shoplm.world.grammar import pick

    table = CHINESE if chinese else ENGLISH
    kind = pick(rng, list(table))
    n = int(rng.integers(1, 200))
    if kind == "EMAIL":
        value = f"{pick(rng, FIRST).lower()}{n}@{pick(rng, ('example.org', 'mail.example.com', 'post.example.de'))}"
    elif kind == "PHONE":
        value = (
            f"13{rng.integers(10**8, 10**9)}"
            if chinese
            else pick(
                rng, (f"0113 496 0{n + 100:03d}", f"+44 1632 960{n + 100:03d}", f"07700 900{n + 100:03d}", f"(415) 555-2{n + 100:03d}")
            )
        )
    elif kind == "CARD":
        body = "4" + "".join(str(int(d)) for d in rng.integers(0, 10, 14))
        value = next(body + str(check) for check in range(10) if luhn(body + str(check)))
        value = " ".join(value[i : i + 4] for i in range(0, 16, 4)) if rng.random() < 0.5 else value
    elif kind == "IBAN":
        body = f"{rng.integers(10**17, 10**18)}"
        value = f"DE{98 - int(body + '131400') % 97:02d}{body}"
    elif kind == "ADDRESS":
        value = pick(rng, ZH_STREETS).format(n=n) if chinese else f"{n} {pick(rng, STREETS)}, {pick(rng, TOWNS)}"
    else:
        value = pick(rng, ZH_NAMES) if chinese else f"{pick(rng, FIRST)} {pick(rng, LAST)}"
    return pick(rng, table[kind]), value, kind


def judged(texts: Sequence[tuple[str, list[tuple[int, int, str]]]], finder: Callable[[str], list[tuple[int, int, str]]]) -> Json:
    """Entities wholly covered, findings that touch something planted, and the same in characters."""
    hit = planted = right = said = both = ours = theirs = 0
    missed: dict[str, int] = {}
    false: list[str] = []
    for text, spans in texts:
        found = finder(text)
        true, seen = np.zeros(len(text), bool), np.zeros(len(text), bool)
        for start, stop, _ in spans:
            true[start:stop] = True
        for start, stop, _ in found:
            seen[start:stop] = True
        planted, said = planted + len(spans), said + len(found)
        for start, stop, kind in spans:
            whole = bool(seen[start:stop].all())
            hit += whole
            missed[kind] = missed.get(kind, 0) + (not whole)
        for start, stop, _ in found:
            touches = bool(true[start:stop].mean() >= 0.5)
            right += touches
            false += [] if touches else [text[start:stop]]
        both, ours, theirs = both + int((true & seen).sum()), ours + int(seen.sum()), theirs + int(true.sum())
    return {"recall": hit / planted, "precision": right / max(said, 1), "character_recall": both / theirs, "character_precision": both / max(ours, 1),
            "planted": planted, "missed": missed, "false": false[:6]}  # fmt: skip


PATTERNS = {"EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE", "CREDIT_CARD": "CARD", "IBAN_CODE": "IBAN"}
"""What both find without a language model: Presidio's name and ours."""
WEAK = 0.35


def presidio() -> Callable[[str], list[tuple[int, int, str]]]:
    """Presidio's analyzer with its own recognizers for English over a blank spaCy pipeline."""
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    class Blank(SpacyNlpEngine):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])
            self.nlp = {"en": spacy.blank("en")}

        def load(self) -> None:
            """Nothing is to be loaded."""

    for noisy in ("presidio-analyzer", "tldextract"):  # it asks the network for a list of domains, and has one of its own
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(nlp_engine=Blank(), languages=["en"])
    engine = AnalyzerEngine(nlp_engine=Blank(), registry=registry, supported_languages=["en"])
    wanted = list(PATTERNS)

    def finder(text: str) -> list[tuple[int, int, str]]:
        answers = engine.analyze(text, language="en", entities=wanted, score_threshold=WEAK)
        return [(one.start, one.end, PATTERNS[one.entity_type]) for one in answers]

    return finder


def beside(texts: Sequence[tuple[str, list[tuple[int, int, str]]]]) -> Json:
    """Both on the English chats, for the kinds that both find by pattern: quality, and CPU time in turns."""
    from shoplm.data.redact import find

    kinds = set(PATTERNS.values())
    english = [(text, [span for span in spans if span[2] in kinds]) for text, spans in texts if text.isascii()]
    sides: dict[str, Callable[[str], list[tuple[int, int, str]]]] = {
        "ours": lambda text: [(one.start, one.stop, one.kind) for one in find(text) if one.kind in kinds],
        "presidio": presidio(),
    }
    tokens = sum(len(text.split()) for text, _ in english)
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(3):
        for name, finder in sides.items():
            clock = time.process_time()
            for text, _ in english:
                finder(text)
            spent[name].append(1e6 * (time.process_time() - clock) / tokens)
    return {
        name: {
            **judged(english, finder),
            "cpu_ms_per_1000_tokens": {"median": sorted(spent[name])[1], "runs": spent[name]},
            "chats": len(english),
        }
        for name, finder in sides.items()
    }


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Judge and time."""
    reader = argparse.ArgumentParser(prog="benchmarks redaction", description=__doc__)
    reader.add_argument("--chats", type=int, default=200 if quick else 2000)
    reader.add_argument("--seed", type=int, default=0)
    options = reader.parse_args(list(arguments))
    from shoplm.data.redact import find

    begin = time.perf_counter()
    texts = chats(options.chats, options.seed)
    quality: dict[str, Any] = judged(texts, lambda text: [tuple(one) for one in find(text)])  # type: ignore[misc]
    clock = time.process_time()  # the machine may be shared
    for text, _ in texts:
        find(text)
    seconds = time.process_time() - clock
    tokens = sum(len(text.split()) if text.isascii() else len(text) for text, _ in texts)
    say(
        f"recall {quality['recall']:.4f}, precision {quality['precision']:.4f}; {1e6 * seconds / tokens:.2f} CPU ms per 1,000 tokens; missed {quality['missed']}; false {quality['false']}"
    )
    ours: Json = {"chats": options.chats, "tokens": tokens, "cpu_ms_per_1000_tokens": 1e6 * seconds / tokens}
    peers: Json = {"presidio": "not installed"}
    shares: Json = {}
    if importlib.util.find_spec("presidio_analyzer"):
        both = beside(texts)
        ours["beside_presidio"] = both["ours"]
        peers = {"presidio": {"version": importlib.metadata.version("presidio_analyzer"), **both["presidio"]}}
        shares["presidio"] = both["ours"]["cpu_ms_per_1000_tokens"]["median"] / both["presidio"]["cpu_ms_per_1000_tokens"]["median"]
        for name, seen in both.items():
            say(
                f"{name}, patterns: recall {seen['recall']:.4f}, precision {seen['precision']:.4f}, {seen['cpu_ms_per_1000_tokens']['median']:.1f} CPU ms, missed {seen['missed']}"
            )
    quality["holds"] = {"precision and recall of at least .97": min(quality["recall"], quality["precision"]) >= 0.97}
    return result("redaction", begin, quick=quick, ours=ours, peers=peers, ratio=shares, quality=quality)
