"""Postal addresses: a house number beside a street, with the flat before and the town and postcode after.

A number before two capitalised words is not enough: brands are called Halden Row and Kestrel Lane, too. So a
street whose name ends weakly needs a town, a postcode or a word such as `address` or `deliver to`, and what
follows must not go on as a thing that is bought. A town alone, or a country, is nobody's address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shoplm.data.redact import words
from shoplm.data.redact.found import Found

_NAMED = r"[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ.'’-]{0,24}"
_UK = (
    r"(?:A[BL]|B[ABDHLNRST]?|C[ABFHMORTVW]|D[ADEGHLNTY]|E[CHNX]?|F[KY]|G[LUY]?|H[ADGPRSUX]|I[GMPV]|JE|K[ATWY]|L[ADELNSU]?|M[EKL]?|N[EGNPRW]?|"
    r"O[LX]|P[AEHLOR]|R[GHM]|S[AEGKLMNOPRSTWY]?|T[ADFNQRSW]|UB|W[ACDFNRSV]?|YO|ZE)\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2}"
)
_STATES = "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]"
_TOWN = r"[A-ZÀ-Þ][A-Za-zÀ-ɏ.'’-]{1,24}(?: (?:upon|on|am|an der|sur|le|la|de|[A-ZÀ-Þ][A-Za-zÀ-ɏ.'’-]{1,24})){0,3}"
_CODE = rf"(?:{_UK}|(?:{_STATES}),? \d{{5}}(?:-\d{{4}})?|\d{{4}} ?[A-Z]{{2}}|(?:[A-Z]{{1,2}}-)?\d{{4,5}}|\d{{2}}-\d{{3}}|\d{{3}} \d{{2}}|[A-Z]\d{{2}} ?[A-Z\d]{{4}})(?![\w-])"
_INSIDE = r"(?:,? (?:flat|apt|apartment|unit|suite|floor|door|room)\.? ?\w{1,4}|,? #\w{1,4})"
_TAIL = rf"(?:{_INSIDE})?(?P<town>(?:,? ?{_CODE},? {_TOWN}|(?:,|,? in|\n)? ?{_TOWN},? {_CODE}|,? ?{_CODE}|(?:, {_TOWN}){{1,2}}(?:,? {_CODE})?)?)"
_LOWER_TOWN = r"[a-zà-ÿ][a-zà-ÿ.'’-]{1,24}(?: [a-zà-ÿ'’-]{2,24})?"
_LOWER_TAIL = (
    rf"(?:{_INSIDE})?(?P<town>(?:,? ?{_CODE.replace('A-Z', 'a-z')}|, {_LOWER_TOWN},? {_UK.lower().replace('[a-z', '[a-z')}(?!\w))?)"
)
_FLAT = r"(?:(?:flat|apt|apartment|unit|suite|room)\.? ?\w{1,4},? (?:at )?)?(?:no\.? ?|house )?"
_NUMBER = r"\d{1,5}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?"
_ENGLISH = re.compile(
    rf"(?<![\w£$€.,#/-])(?P<all>{_FLAT}(?P<number>{_NUMBER}),? (?P<name>(?:{_NAMED} ){{1,4}}?)(?P<kind>{words.STREET_KINDS})\b\.?(?: (?:street|road|lane|drive|close|court|way|avenue|terrace|crescent|gardens|rise)\b)?(?![-'’]))",
    re.IGNORECASE,
)
_AFTER_UPPER = re.compile(_TAIL)
_AFTER_LOWER = re.compile(_LOWER_TAIL)
_CONTINENTAL = re.compile(
    rf"(?<![\w-])(?P<all>(?:[A-Za-zÀ-ɏ.'’-]{{2,24}}[ -]){{0,3}}?(?:[A-Za-zÀ-ɏ'’-]{{1,28}}(?:{words.STREET_ENDINGS})|"
    rf"(?:straße|strasse|weg|allee|platz|laan|plein)) ?\d{{1,4}}(?: ?[a-z]\b)?(?:[-/]\d{{1,4}})?(?![\w-]))",
    re.IGNORECASE,
)
_ROMANCE = re.compile(
    r"(?<![\w-])(?P<all>(?:\d{1,4}(?: ?bis| ?ter)?,? (?:rue|avenue|boulevard|allée|chemin|impasse|place|quai|cours)"
    r"(?: (?:de|du|des|la|le|les|d['’]\w+|l['’]\w+|[A-ZÀ-Þ][\w'’-]+|saint[\w-]*)){1,5}|"
    r"(?:rue|calle|rua|avenida|avda\.?|viale|corso|piazza|plaza|via|ul\.|ulica|praça|travessa)"
    r"(?: (?:de|del|della|di|da|do|dos|das|la|las|los|el|[A-ZÀ-ÞŁŚŻ][\w'’.-]+)){1,5},? (?:n[º°.]? ?)?\d{1,4}(?:/\d{1,4})?(?![\w-])))"
)
_BOX = re.compile(r"(?<!\w)p\.? ?o\.? ?box \d{1,6}(?!\w)", re.IGNORECASE)
_POSTCODE = re.compile(rf"(?<![\w-]){_UK.replace(' ?', ' ')}(?![\w-])")
_STATE = re.compile(rf"(?<![\w-]){_TOWN}, (?:{_STATES}) \d{{5}}(?:-\d{{4}})?(?![\w-])")
_CODE_AFTER = re.compile(
    rf"(?:post ?code|postal code|zip(?: code)?|plz)(?: (?:is|to|should be|now|was|of))*[ :]{{1,2}}({_UK}|{_UK.lower()}|\d{{5}}(?:-\d{{4}})?)(?![\w-])",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"(?:address|live|living|lives|moved|move|deliver(?:ed|y)?|ship(?:ped)?|send|sent|bring|redirect|flat|house|home|office|resid\w+|parcel to|it to|go(?:es)? to|"
    r"post(?:ed)?|collect(?:ed|ion)?|pick|drop|left|staying|neighbou?rs?)\b[^.!?\d]{0,40}$",
    re.IGNORECASE,
)
_BOUGHT = re.compile(
    r"(?:\b(?:sizes?|order(?:ed)?|bought|got|have|want(?:ed)?|need|return(?:ed|ing)?|x|of|for|than|the|these|those|my|in|paid|cost))[\s:]*$",
    re.IGNORECASE,
)
_STOPS_TEXT = (
    "a about after again all also am an and any are as at away back be been before but by came can case cheap colour could day days did do down "
    "each extra for from get got had half has have here hour hours i if in is it its just kilo left like little long lot many me miles "
    "min minute minutes more my no not now of off on one only or order our out over pair pairs per piece pieces please quick right same see "
    "send she size sizes small so some still than that the their them then there these they this those times to too twice under up us very was way "
    "we week weeks went were what when where which while who will with working would year years you your euro euros pounds dollars percent "
    "new other good great nice whole both every another first next last big wrong"
)
_STOPS = frozenset(_STOPS_TEXT.split())
_GOES_ON = re.compile(
    r"\s*(?:$|[.,;:!?)\]\n。，！？]|-\s|–|(?:and|is|are|in|not|please|instead|thanks|thank|as|from|now|but|by|or|at|on|if|because|for|when|next|near|"
    r"before|after|until|till|today|tomorrow|this|that|my|i|it|the|we|so|with|rather|while|since|starting|where|which|they|he|she|can|could|who|was|has)\b)",
    re.IGNORECASE,
)
_STRONG_KINDS_TEXT = "street road rd avenue ave lane ln crescent boulevard blvd terrace gardens mews parkway drive close grove"
_STRONG_KINDS = frozenset(_STRONG_KINDS_TEXT.split())

_BUILDING = r"(?:\d{1,4}|[一二三四五六七八九十]{1,3}|[A-Za-z])"
_CHINESE = re.compile(
    rf"(?:(?:路|街|大道|道|巷|弄|胡同|村|段|里|镇)[东南西北中]?(?:段)?\d{{1,5}}(?:弄|号|-\d+号?)(?:院|大院)?|"
    rf"(?:小区|花园|苑|公寓|家园|新村|大厦|广场|城|园|府|庭|庄|湾|里|邨|居){_BUILDING}(?:期)?(?:栋|幢|号楼|座|单元|号)|(?<![A-Za-z\d]){_BUILDING}(?:栋|幢|号楼){_BUILDING}单元)"
    rf"(?:[,， ]?[\u4e00-\u9fff]{{0,8}}?{_BUILDING}(?:-{_BUILDING})*(?:号楼|栋|幢|座|单元|室|层|楼|弄|户|号))*(?:\d{{3,4}}(?!\d|元|块))?"
)
_HAN_BEFORE = re.compile(r"[\u4e00-\u9fffA-Za-z\d]{0,30}$")
_PLACE = re.compile(f"(?:{words.PLACES_ZH})(?:省|市|自治区|特别行政区)?")
_LEADS = re.compile(
    r"地址(?:改成|改为|改到|换成|换到|更新为|变成|写成|填成|写的|填的|应该|是|在|为|：)*|收货|寄到|寄往|寄去|寄给|送到|送去|送往|送至|发到|发往|发去|改到|改成|改送|改寄|改为|换到|换成|搬到|搬去|住在|"
    r"现在在|家住|位于|人在|家在|公司在|店在|放到|放在|转到|转寄|到|在|住|是|为|给|至|去|请|说"
)


def addresses(text: str) -> Iterator[Found]:
    """Streets with a house number, and what belongs to them; postcodes and post boxes."""
    if any(sign.isdigit() for sign in text):
        yield from _english(text)
        for shape in (_CONTINENTAL, _ROMANCE):
            for found in shape.finditer(text):
                start, stop = found.start("all"), found.end("all")
                if shape is _CONTINENTAL:
                    start += _lead(text[start:stop])
                elif found[0][0].isalpha() and found[0][:4].lower() == "via " and not found[0][0].isupper():
                    continue
                yield Found(start, _tail(text, stop)[0], "ADDRESS")
        for shape in (_BOX, _POSTCODE, _STATE):
            yield from (Found(found.start(), found.end(), "ADDRESS") for found in shape.finditer(text))
        yield from (Found(found.start(1), found.end(1), "ADDRESS") for found in _CODE_AFTER.finditer(text))
    if "号" in text or "栋" in text or "幢" in text or "单元" in text or "弄" in text or "座" in text:
        for found in _CHINESE.finditer(text):
            yield Found(_chinese_start(text, found.start()), found.end(), "ADDRESS")


def _english(text: str) -> Iterator[Found]:
    for found in _ENGLISH.finditer(text):
        name, kind = found["name"].split(), found["kind"].lower()
        digits = re.sub(r"\D.*", "", found["number"])
        if any(word.lower().strip(".") in _STOPS for word in name) or int(digits) > 20_000:
            continue
        capitals = all(word[0].isupper() or word.lower() in ("of", "on") for word in name) and found["kind"][0].isupper()
        stop, town = _tail(text, found.end("all"))
        about = _ABOUT.search(text, max(0, found.start() - 60), found.start()) is not None
        if not town:
            if not _GOES_ON.match(text, stop) or (_BOUGHT.search(text, max(0, found.start() - 20), found.start()) and not about):
                continue
            if not (
                about or (capitals and kind in _STRONG_KINDS) or re.match("flat|apt|apartment|unit|suite", found["all"], re.IGNORECASE)
            ):
                continue
        yield Found(found.start("all"), stop, "ADDRESS")


def _tail(text: str, stop: int) -> tuple[int, bool]:
    """Where the town and postcode after a street end, and whether there are any."""
    found = _AFTER_UPPER.match(text, stop)
    if found is None or not found["town"]:
        lower = _AFTER_LOWER.match(text, stop)
        found = lower if lower is not None and (found is None or lower.end() > found.end()) else found
    if found is None:
        return stop, False
    return found.end(), bool(found["town"])


def _lead(street: str) -> int:
    """How many signs before a continental street's name are ordinary words."""
    parts = street.split(" ")
    skip = 0
    while (
        len(parts) > 1
        and (parts[0].lower() in _STOPS or not parts[0][:1].isupper())
        and not re.search(r"\d", " ".join(parts[:1]))
        and len(parts) > 2
    ):
        skip += len(parts[0]) + 1
        parts = parts[1:]
    return skip


def _chinese_start(text: str, anchor: int) -> int:
    """Where the address that has its street at ``anchor`` begins: at a province or town, or after a word such as 送到."""
    found = _HAN_BEFORE.search(text, max(0, anchor - 30), anchor)
    start = found.start() if found else anchor
    place = _PLACE.search(text, start, anchor)
    if place:
        return place.start()
    for lead in _LEADS.finditer(text, start, anchor):
        start = max(start, lead.end())
    return start
