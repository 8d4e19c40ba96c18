"""Personal names, English and Chinese.

A name is believed for one of three reasons: words before it announce one (`my name is`, `Mrs`, 我叫, 收件人), it ends
a letter (`regards, …`), or it begins with a known first name. Words that are names and more (Will, Rose, Paris) need
a reason of the first two kinds or a surname behind them; a name with an article before it or a garment behind it is a product.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shoplm.data.redact import words
from shoplm.data.redact.found import Found

_CAPITAL = r"(?:(?:O['’]|D['’]|Mc|Mac)?[A-ZÀ-ÞŁŚŻČŠŽ][a-zà-ÿłńśźżćčšžőűęąğışř]+(?:[-'’][A-ZÀ-ÞŁ]?[a-zà-ÿłńśźż]+)?|[A-Z]\.)"
_ANY = r"[^\W\d_]+(?:[-'’][^\W\d_]+)?\.?"
_LINKS = r"(?:(?:van der|van den|van|von|de la|de|da|di|del|dos|el|al|bin|bint|ten|ter|le|la|du|st\.?) )"
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_ANNOUNCED = re.compile(
    r"\b(?:(?:my|her|his|their|the|full|last|first|maiden|family|account|recipient'?s?|receiver'?s?|customer|new|correct|right) )*"
    r"(?:name(?:'s| is(?: now)?| was| should (?:be|read|say)| (?:on|for|of) (?:the|my|this) (?:order|account|card|parcel|package|booking|label|receipt|invoice|bell|door)"
    r"(?: is|:)?| ?[:=])|surname(?: is|:)|i am called|i'm called|named|in the name of|under(?: the)? name(?: of)?|attn[:.]?|attention:|c/o|recipient(?: is|:)|"
    r"account holder(?: is|:)|signed(?: by|:|,)|they call me|everyone calls me|call me|goes by)[ :]+",
    re.IGNORECASE,
)
_AFTER_ANNOUNCED = re.compile(rf"{_LINKS}?{_ANY}(?: {_LINKS}?{_ANY}){{0,2}}", re.IGNORECASE)
_TITLE = re.compile(
    rf"(?<![\w'’])(?:(?:[Mm]rs?|[Mm]s|MRS?|MS|Dr|Prof|Herr|Frau|Mme|Mlle|[Ss]eñora?)\.? |(?:Miss|Sir|Madam|Lady|Lord|Professor|Doctor) (?=[A-ZÀ-Þ]))({_LINKS}?{_ANY}(?: {_LINKS}?{_CAPITAL})?)"
)
_INTRODUCED = re.compile(
    rf"(?<![\w'’])(?:[Ii] ?['’]?a?m|[Tt]his is|[Ii]t is|[Ii]t['’]s|[Hh]ere is|[Dd]ear|[Hh]i|[Hh]ello|[Hh]ey|[Cc]ontact|(?:[Ss]poke|[Ss]peaking|[Tt]alked|[Cc]hatted) (?:to|with)|"
    rf"[Aa]gent|[Cc]olleague|[Dd]river|[Ff]riend|[Ss]ister|[Bb]rother|[Hh]usband|[Ww]ife|[Ss]on|[Dd]aughter|[Nn]eighbou?r|[Mm]other|[Ff]ather|[Pp]artner|[Ff]lat ?mate|[Bb]oss),? ({_CAPITAL}(?: {_LINKS}?{_CAPITAL}){{0,2}})"
)
_SIGNED = re.compile(
    rf"(?:\b(?:thanks|thank you|cheers|best|regards|sincerely|faithfully|truly|greetings|wishes|love|yours|xx?|ta)\b|[\n])[,.!]*\s*[-–—]*\s*({_CAPITAL}(?: {_LINKS}?{_CAPITAL}){{0,2}})\s*[.!]?\s*$",
    re.IGNORECASE,
)
_SURNAME = re.compile(rf"(?: [A-Z]\.)? {_LINKS}?({_CAPITAL})")
_LOUD = re.compile(r" ([A-ZÀ-Þ][A-ZÀ-Þ'’-]+)")
_LOW = re.compile(r" ([a-zà-ÿ'’-]{3,})")
_ARTICLE = re.compile(r"\b(?:the|a|an|these|those|in|pair of|your|new)\s$", re.IGNORECASE)
_GOODS_TEXT = (
    "dress dresses shirt skirt jacket jackets coat jumper cardigan knit trainers shoes boots boot bag tote lamp chair sofa table kettle watch headphones "
    "jeans trousers top blouse scarf hat mug pan rug cushion duvet serum cream shampoo model edition collection range line ring necklace bracelet station "
    "street road gold silver green red blue pink white black grey gray wood oil water tea cake bowl vase pot backpack blanket game tent bike smartwatch "
    "dumbbells mat throw set sandal sandals bikini ink colour color shade lipstick perfume soap candle day sale leggings hoodie"
)
_GOODS = frozenset(_GOODS_TEXT.split())
_VERBS_TEXT = "will may hope grant chase drew skip mark bill sue rob pat faith grace chip jack miles max rose dawn reed ray guy gene art rich august april june summer autumn pepper ginger"
_VERBS = frozenset(_VERBS_TEXT.split())

_HAN = re.compile(r"[\u4e00-\u9fff]")
_FAMILY = f"(?:{words.COMPOUND_SURNAMES_ZH}|[{words.SURNAMES_ZH}])"
_STOP_ZH = (
    "的了吗呢吧啊呀哦想要买订在住电手来收是有没和跟与把被给说，也都就还先请帮可能会不家您你我他她这那下发寄送退换查问用叫号码单货邮地微联"
)
_GIVEN = f"[^\\W\\d_A-Za-z{_STOP_ZH}]"
_AFTER_WORD = re.compile(
    rf"(?:我叫|本人叫|名叫|叫做|我的?名字(?:是|叫|：|:)?|姓名[是为：: ]*|收件人(?:姓名|改成|改为|换成|写|是|为|叫|：|:| )*|收货人(?:姓名|改成|改为|换成|写|是|为|叫|：|:| )*|联系人[是为叫：: ]*|"
    rf"户名[是为：: ]*|抬头(?:是|写|开|：|:)*个人|签收人[是为：: ]*|本人|名字(?:改成|写成|应该是|是|叫|写的是|：|:)|署名[是为：: ]*|转交给?|交给)[ ]?({_FAMILY}{_GIVEN}{{1,2}})"
)
_I_AM = re.compile(rf"(?:我是|这里是|这边是)({_FAMILY}{_GIVEN}{{1,2}})(?=[，。,.！!？?、；;：: \n]|$)")
_TITLED = re.compile(rf"({_FAMILY}{_GIVEN}{{0,2}}?)(?:先生|女士|小姐|太太|师傅|阿姨)")
_NOT_ZH = re.compile(words.NO_NAME_ZH)


def names(text: str) -> Iterator[Found]:
    """Names of persons."""
    if _HAN.search(text):
        yield from _chinese(text)
    found = _WORD.findall(text)
    low = text == text.lower()
    yield from _announced(text)
    if not low:
        yield from _introduced(text)
    if any(word.lower() in words.FIRST_NAMES for word in found):
        yield from _known(text, low)


def _announced(text: str) -> Iterator[Found]:
    for lead in _ANNOUNCED.finditer(text):
        found = _AFTER_ANNOUNCED.match(text, lead.end())
        if found is None:
            continue
        yield from _trimmed(
            text, found.start(), found.end(), sure=not lead[0].lower().lstrip().startswith(("call me", "named", "goes by", "signed"))
        )
    for found in _TITLE.finditer(text):
        yield from _trimmed(text, found.start(1), found.end(1), sure=True)


def _trimmed(text: str, start: int, stop: int, sure: bool) -> Iterator[Found]:
    """The words from ``start`` that can be a name: up to the first that cannot."""
    kept, loud = start, text[start:stop] != text[start:stop].lower()
    for number, word in enumerate(_WORD.finditer(text, start, stop)):
        lower = word[0].lower()
        link = lower in ("van", "von", "de", "da", "di", "del", "der", "den", "la", "el", "al", "bin")
        if not link and (lower in words.NO_SURNAME or (number and loud and not word[0][0].isupper())):
            break
        if number == 0 and not sure and not (lower in words.FIRST_NAMES or word[0][0].isupper()):
            break
        if not link:
            kept = word.end()
    if kept > start:
        yield Found(start, kept, "NAME")


def _introduced(text: str) -> Iterator[Found]:
    for found in _INTRODUCED.finditer(text):
        first = found[1].split()[0].lower().strip(".")
        rest = found[1].split()[1:]
        if first in words.NO_SURNAME or (found.start(1) and _product(text, found.end(1))):
            continue
        if first in words.FIRST_NAMES or (
            rest and not any(word.lower() in words.NO_SURNAME | _GOODS for word in rest) and found[0][0] not in "Cc"
        ):
            yield from _trimmed(text, found.start(1), found.end(1), sure=True)
    for found in _SIGNED.finditer(text):
        if found[1][0].isupper() and found[1].split()[0].lower() not in words.NO_SURNAME | _GOODS:
            yield from _trimmed(text, found.start(1), found.end(1), sure=True)


def _known(text: str, low: bool) -> Iterator[Found]:
    for word in _WORD.finditer(text):
        lower = word[0].lower()
        base = lower.removesuffix("'s").removesuffix("’s")
        if base not in words.FIRST_NAMES or (word.start() and text[word.start() - 1] in "@&/_"):
            continue
        stop = word.start() + len(base)
        if low:
            if (
                base not in words.ALSO_WORDS
                and not _ARTICLE.search(text, max(0, word.start() - 8), word.start())
                and not _product(text, stop)
            ):
                surname = _LOW.match(text, stop)
                yield Found(word.start(), surname.end() if surname and _rare(surname[1]) else stop, "NAME")
            continue
        if not word[0][0].isupper() or _product(text, stop) or _ARTICLE.search(text, max(0, word.start() - 8), word.start()):
            continue
        loud = len(base) > 1 and word[0][: len(base)].isupper()
        surname = (_LOUD if loud else _SURNAME).match(text, stop) if stop == word.end() else None
        if surname and (surname[1].lower() in words.NO_SURNAME | _GOODS or _product(text, surname.end())):
            surname = None
        first = _begins(text, word.start())
        if base in words.ALSO_WORDS and (surname is None or loud or (first and base in _VERBS)):
            continue
        yield Found(word.start(), surname.end() if surname and not loud else stop if surname is None else surname.end(), "NAME")


def _rare(word: str) -> bool:
    """A word in lower case that looks like a surname: it ends like one."""
    return word.endswith(
        ("ski", "sky", "wicz", "son", "sen", "ez", "ova", "ovic", "berg", "mann", "stein", "ini", "elli", "opoulos", "kov", "enko")
    ) and word not in ("person", "reason", "season", "lesson", "chosen", "stolen", "frozen", "broken", "risky")


def _product(text: str, stop: int) -> bool:
    """Does what comes next make a product of the name?"""
    after = _WORD.match(text, stop + 1) if text[stop : stop + 1] in (" ", "-") else None
    return (after is not None and after[0].lower() in _GOODS) or text[stop : stop + 3] == " & "


def _begins(text: str, start: int) -> bool:
    """Does a sentence begin here?"""
    before = text[:start].rstrip()[-1:]
    return not before or before in ".!?:;\n"


def _chinese(text: str) -> Iterator[Found]:
    for shape in (_AFTER_WORD, _I_AM, _TITLED):
        for found in shape.finditer(text):
            name = found[1]
            if not _NOT_ZH.match(name):
                yield Found(found.start(1), found.end(1), "NAME")
