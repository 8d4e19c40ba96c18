"""What carries its own proof or shape: e-mail, payment card, IBAN, Chinese identity card, telephone.

A number is judged by its check digits, its grouping, and the word that stands right before it: `order`,
`tracking`, `EAN` speak against a person's number, `call me on` for one. Every pattern is bounded, so that
a text of a million signs takes time in proportion to its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shoplm.data.redact.found import Found

_LOCAL = re.compile(r"[A-Za-z0-9À-ɏ.!#$%&'*+/=?^_`{|}~-]{1,64}$")
_DOMAIN = re.compile(r"[A-Za-z0-9À-ɏ-]{1,63}(?:\.[A-Za-z0-9À-ɏ-]{1,63}){0,4}\.[A-Za-zÀ-ɏ]{2,24}")
_SPOKEN = re.compile(
    r"(?<![\w.])[A-Za-z0-9][\w.+-]{0,63}(?: ?[(\[{] ?at ?[)\]}] ?[A-Za-z0-9-]{1,63}(?:\.| ?[(\[{] ?dot ?[)\]}] ?| dot )"
    r"| at [A-Za-z0-9-]{1,63} dot )[A-Za-z0-9-]{2,30}(?:(?:\.| ?[(\[{]dot[)\]}] ?| dot )[A-Za-z]{2,10})?",
    re.IGNORECASE,
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28, "CH": 21, "CR": 22,
    "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MT": 31, "NL": 18, "NO": 15, "PK": 24, "PL": 28,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26, "UA": 29, "VA": 22,
}  # fmt: skip
_IDENTITY = re.compile(r"(?<![\dA-Za-z])[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![\dA-Za-z])")
_CARDS = tuple(
    re.compile(rf"(?<![A-Za-z\d_#/=-]){shape}(?![A-Za-z\d_]|[-./]\d)")
    for shape in (r"\d{4}([ -])\d{4}\1\d{4}\1\d{4}", r"\d{4}([ -])\d{6}\1\d{5}", r"\d{4}([ -])\d{4}\1\d{4}\1\d{4}\1\d{1,3}", r"\d{13,19}")
)
_ISSUERS = re.compile(r"4|5[1-5]|2(?:2[2-9]|[3-6]|7[01])|3[47]|6(?:011|4[4-9]|5|2|7)|35(?:2[89]|[3-8])|5[0678]")

_LINK = r"(?:[\s:#.=：，,'\"(（]|\b(?:numbers?|no|nr|num|id|code|is|was|has|the|reference|ref|my|your|still|reads|says|of|with|for)\b|号码?|是|为|：|编)*$"
_AGAINST = re.compile(
    r"(?:\b(?:orders?|tracking|track|invoice|ticket|case|reference|ref|parcel|package|shipment|consignment|waybill|sku|ean|gtin|upc|isbn|asin|"
    r"barcode|serial|imei|model|article|item|part|product|gift ?card|giftcard|voucher|coupon|code|points|receipt|transaction|return|rma|label|"
    r"dhl|ups|fedex|usps|gls|hermes|dpd|batch|lot)|订单|运单|快递|物流|单号|货号|条码|条形码|序列|型号|商品|礼品卡|积分|流水|编号|票号|款号|批次)"
    + _LINK,
    re.IGNORECASE,
)
_FOR = re.compile(
    r"(?:\b(?:phone|telephone|tel|mobile|cell|mob|fax|whatsapp|wechat|(?:call|ring|text|phone|reach|contact|dial|try)(?: me| us| him| her)?"
    r"(?: back)?(?: on| at| under)?|my number|contact number|landline)|手机|电话|致电|来电|联系|微信|打给我|拨打|座机|打我)" + _LINK,
    re.IGNORECASE,
)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_STRONG_PHONES = tuple(
    re.compile(rf"(?<![A-Za-z\d_+#/=-])(?<!\d[.:]){shape}(?![A-Za-z\d_]|[-./:]\d)")
    for shape in (
        r"\+\d{1,3}(?:[ \-./]{0,2}\(?\d{1,5}\)?){1,6}",
        r"00[1-9]\d{0,2}(?:[ \-./]\(?\d{1,5}\)?){2,6}",
        r"\(0\d{1,4}\)(?:[ \-./]?\d{2,8}){1,4}",
        r"0\d{1,4}(?:[ \-./]\d{2,4}){2,4}",
        r"0\d{2,5}[ \-/]\d{5,8}",
        r"(?:1[ \-.])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[\-. ])[2-9]\d{2}[\-. ]\d{4}",
    )
)
_CHINESE_PHONE = re.compile(
    r"(?<![A-Za-z\d_+#/=-])(?:\+?86[ -]?)?1[3-9]\d([ -]?)\d{4}\1\d{4}(?![A-Za-z\d]|[-./]\d)|(?<=[\u4e00-\u9fff])1[3-9]\d{9}(?![A-Za-z\d])"
)
_PLAIN_PHONE = re.compile(r"(?<![A-Za-z\d_+#/=-])(?<!\d[.:])(?:0(?:7\d|[1-3]\d|6\d)\d{7,8})(?![A-Za-z\d_]|[-./]\d)")
_ANY_NUMBER = re.compile(r"(?<![A-Za-z\d+#/=-])(?<!\d[.:])\+?\(?\d(?:[ \-./()]{0,2}\d){5,14}(?![A-Za-z\d]|[-./]\d)")
_DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-](?:19|20)?\d{2}(?!\d)|(?:19|20)\d{2}[./-]\d{1,2}[./-]\d{1,2}(?!\d)")
_BEFORE = 48


def emails(text: str) -> Iterator[Found]:
    """Addresses with ``@``, and those spelt ``anna (at) example dot com``."""
    at = text.find("@")
    while at >= 0:
        before = _LOCAL.search(text, max(0, at - 64), at)
        after = _DOMAIN.match(text, at + 1)
        if before and after:
            start = before.start() + len(before[0]) - len(before[0].lstrip(".'*=/{|}!?"))
            if start < at:
                yield Found(start, after.end(), "EMAIL")
        at = text.find("@", at + 1)
    if " at " in text or "at)" in text or "at]" in text or "AT" in text or "at}" in text:
        for found in _SPOKEN.finditer(text):
            yield Found(found.start(), found.end(), "EMAIL")


def ibans(text: str) -> Iterator[Found]:
    """International bank account numbers whose length fits the country and whose check digits hold."""
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(found[0][:2].upper())
        signs = [place for place in range(found.start(), found.end()) if text[place].isalnum()]
        if length is None or len(signs) < length:
            continue
        stop = signs[length - 1] + 1
        if stop < len(text) and text[stop].isalnum() and text[stop].isascii():
            continue
        number = "".join(text[place] for place in signs[:length]).upper()
        if int("".join(str(int(sign, 36)) for sign in number[4:] + number[:4])) % 97 == 1:
            yield Found(found.start(), stop, "IBAN")


def identities(text: str) -> Iterator[Found]:
    """Chinese identity card numbers: a date of birth inside, the last sign a check."""
    for found in _IDENTITY.finditer(text):
        weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
        check = "10X98765432"[sum(int(digit) * weight for digit, weight in zip(found[0], weights, strict=False)) % 11]
        if found[0][-1].upper() == check:
            yield Found(found.start(), found.end(), "ID")


def cards(text: str) -> Iterator[Found]:
    """Payment cards: an issuer's beginning, 13 to 19 digits, Luhn's check; not what a word before calls something else."""
    for shape in _CARDS:
        for found in shape.finditer(text):
            digits = "".join(sign for sign in found[0] if sign.isdigit())
            if _ISSUERS.match(digits) and luhn(digits) and not _AGAINST.search(text, max(0, found.start() - _BEFORE), found.start()):
                yield Found(found.start(), found.end(), "CARD")


def luhn(digits: str) -> bool:
    """Does the last digit check the others, as on payment cards?"""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def phones(text: str) -> Iterator[Found]:
    """Telephone numbers by their form, or by the word before; never what `order`, `tracking` and the like stand before."""
    for shape in _STRONG_PHONES:
        for found in shape.finditer(text):
            if 8 <= _digits(found[0]) <= 15 and not _DATE.match(found[0]) and not _against(text, found.start()):
                yield _phone(text, found.start(), found.end())
    for found in _CHINESE_PHONE.finditer(text):
        start = found.start()
        if not _against(text, start) and (_CHINESE.search(text) or found[1] or found[0].startswith("+") or _for(text, start)):
            yield Found(start, found.end(), "PHONE")
    for found in _PLAIN_PHONE.finditer(text):
        if not _against(text, found.start()):
            yield Found(found.start(), found.end(), "PHONE")
    for found in _ANY_NUMBER.finditer(text):
        if _for(text, found.start()) and not _DATE.match(found[0]):
            yield _phone(text, found.start(), found.end())


def _phone(text: str, start: int, stop: int) -> Found:
    # a bracket that closes nothing belongs to the sentence
    if text[stop - 1] == ")" and "(" not in text[start:stop]:
        stop -= 1
    return Found(start, stop, "PHONE")


def _digits(text: str) -> int:
    return sum(sign.isdigit() for sign in text)


def _against(text: str, start: int) -> bool:
    return _AGAINST.search(text, max(0, start - _BEFORE), start) is not None and not _for(text, start)


def _for(text: str, start: int) -> bool:
    return _FOR.search(text, max(0, start - _BEFORE), start) is not None
