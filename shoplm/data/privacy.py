"""Pseudonyms and redaction at the door: the guard that an import may be given.

A pseudonym is HMAC-SHA256 of an id under a key that never lies in the shop: whoever has the key and an id finds the
person's rows, nobody else does. One person has one pseudonym in all tables and all imports. The shop remembers a
fingerprint of the key and refuses another one, because two keys would make two persons of everybody.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from shoplm.config import Config
from shoplm.data import contract
from shoplm.data.redact import redact, redact_column
from shoplm.data.shop import Shop
from shoplm.errors import DataError, ResourceError
from shoplm.files import write_text

KEY, KEY_FILE = "SHOPLM_PSEUDONYM_KEY", "SHOPLM_PSEUDONYM_KEY_FILE"
"""The environment's names for a key and for the path of a file that holds one."""
SHORTEST_KEY = 16
"""Bytes of a key; 32 random ones are right: ``openssl rand -hex 32``."""

PERSON_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "users": ("user_id",),
    "events": ("user_id", "user_pseudo_id", "session_id"),
    "reviews": ("user_id",),
    "ads": ("user_id",),
    "chats": ("user_id",),
    "orders": ("user_id",),
}
"""The columns whose values are a shopper, a device or a visit. Heads and tails of ``same_as`` relations are, too."""
TEXT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "users": ("attributes",),
    "events": ("search_term", "attributes"),
    "reviews": ("title", "body", "attributes"),
    "ads": ("attributes",),
    "chats": ("content", "attributes"),
    "orders": ("attributes",),
    "labels": ("value", "attributes"),
    "relations": ("reason", "attributes"),
}
"""The columns in which people write. Products, articles, spend and the words of ads are the shop's own and stay."""

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_NO_LETTERS = re.compile(r"[^a-z0-9]")
_ID_NAMES = frozenset(
    ("userid", "userpseudoid", "customerid", "clientid", "visitorid", "anonymousid", "anonid", "sessionid", "gasessionid", "deviceid", "cookieid", "memberid",
     "accountid", "buyerid", "shopperid", "contactid", "personid", "advertisingid", "ipaddress", "ip")
)  # fmt: skip
_CONTACT_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("email", "emailaddress", "mail", "customeremail", "contactemail", "billingemail", "useremail", "buyeremail", "邮箱"), "EMAIL"),
    **dict.fromkeys(("phone", "phonenumber", "mobile", "mobilephone", "telephone", "tel", "customerphone", "contactphone", "手机", "手机号", "电话"), "PHONE"),
    **dict.fromkeys(("firstname", "lastname", "fullname", "surname", "givenname", "familyname", "customername", "username", "buyername", "recipient",
                     "recipientname", "receiver", "receivername", "shippingname", "billingname", "contactname", "author", "reviewername", "姓名", "收件人",
                     "收货人", "联系人"), "NAME"),
    **dict.fromkeys(("address", "address1", "address2", "addressline1", "addressline2", "street", "streetaddress", "shippingaddress", "billingaddress",
                     "deliveryaddress", "shipto", "zip", "zipcode", "postcode", "postalcode", "地址", "收货地址"), "ADDRESS"),
    **dict.fromkeys(("cardnumber", "creditcard", "pan"), "CARD"),
    **dict.fromkeys(("iban", "bankaccount"), "IBAN"),
}  # fmt: skip


class PrivacyConfig(Config):
    """What a shop has settled about its people; ``_shop/privacy.json``."""

    unknown_consent: Literal["granted", "denied"] = "granted"
    """What holds for a shopper who has neither given nor refused consent. Without this a shop that has no ``users`` table could learn nothing."""
    key_fingerprint: str | None = None
    """Which key the pseudonyms were made with; None: ids are stored as they come."""


def settings(shop: Shop) -> PrivacyConfig:
    """What ``shop`` has settled.

    Raises:
        DataError: the file is damaged.
    """
    file = _file(shop)
    try:
        return PrivacyConfig.of(json.loads(file.read_text("utf-8")), str(file))
    except FileNotFoundError:
        return PrivacyConfig()
    except OSError as error:
        raise ResourceError(f"{file}: cannot be read ({error.strerror}); check the file's permissions") from None
    except (ValueError, TypeError, RecursionError):
        raise DataError(f"{file}: is not one JSON object; restore it, or settle it again with shoplm new --unknown-consent") from None


def settle(shop: Shop, settled: PrivacyConfig) -> None:
    """Write what a shop has settled.

    Raises:
        ResourceError: it cannot be written.
    """
    write_text(_file(shop), json.dumps(settled.plain(), indent=1) + "\n")


def _file(shop: Shop) -> Path:
    return shop.path / "_shop" / "privacy.json"


@dataclass(frozen=True)
class Pseudonyms:
    """Ids -> pseudonyms under one key."""

    key: bytes

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell keys apart and say nothing about them."""
        return hmac.digest(self.key, b"shoplm: which key is this", "sha256").hex()[:16]

    def of(self, name: str) -> str:
        """The pseudonym of one id: ``p`` and 32 hex digits, 128 bits of HMAC-SHA256."""
        return "p" + hmac.digest(self.key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:32]

    def column(self, values: pa.Array | pa.ChunkedArray, keep_hashes: bool = False) -> pa.ChunkedArray:
        """A column of ids; nulls stay, and, if asked, so do SHA-256 hashes."""
        return _each(values, lambda value: value if keep_hashes and _HASH.fullmatch(value) else self.of(value))


def key_from(environment: Mapping[str, str], shop: Path) -> Pseudonyms | None:
    """The key that the environment names, None if it names none.

    Raises:
        DataError: the file lies inside the shop, cannot be read, or the key is too short.
    """
    key, file = environment.get(KEY), environment.get(KEY_FILE)
    if key is None and file is None:
        return None
    if key is not None and file is not None:
        raise DataError(f"both {KEY} and {KEY_FILE} are set; keep one of them")
    where, raw = KEY, (key or "").strip().encode("utf-8", "surrogateescape")
    if file is not None:
        where, path = KEY_FILE, Path(file)
        if path.resolve().is_relative_to(shop.resolve()):
            raise DataError(f"{KEY_FILE}={file}: the key lies inside the shop {shop}, where everybody who has the rows has it; move it out")
        try:
            raw = path.read_bytes().strip()
        except OSError as error:
            raise DataError(f"{KEY_FILE}={file}: cannot be read ({error.strerror}); give the path of a file that holds the key") from None
    if len(raw) < SHORTEST_KEY:
        raise DataError(f"{where}: a key of {len(raw)} bytes, expected at least {SHORTEST_KEY}; make one with: openssl rand -hex 32")
    return Pseudonyms(raw)


class Doorkeeper:
    """The guard of ``Shop.import_files``: hides ids, words, or both."""

    def __init__(self, pseudonyms: Pseudonyms | None, redacting: bool) -> None:
        self.pseudonyms, self.redacting = pseudonyms, redacting

    def rows(self, table: contract.Table, rows: pa.Table) -> pa.Table:
        """Rows of the contract as they may be stored: same columns, same types, same order."""
        if self.pseudonyms is not None:
            rows = self._named(table, rows, self.pseudonyms)
        if self.redacting:
            for name in TEXT_COLUMNS.get(table.name, ()):
                hidden = _each(rows[name], self._attributes) if name == "attributes" else redact_column(rows[name])
                rows = _with(rows, name, hidden)
        return rows

    def words(self, text: str) -> str:
        """What quarantine and reports may show of a faulty row.

        Under pseudonyms only what can hardly be anybody's id is shown: a short number, a date, a plain word.
        """
        if self.redacting:
            text = redact(text)
        if self.pseudonyms is not None and not _HARMLESS.fullmatch(text):
            return "[HIDDEN]"
        return text

    def _named(self, table: contract.Table, rows: pa.Table, pseudonyms: Pseudonyms) -> pa.Table:
        for name in PERSON_COLUMNS.get(table.name, ()):
            rows = _with(rows, name, pseudonyms.column(rows[name]))
        if table.name == "users":
            for name in ("email_hash", "phone_hash"):
                rows = _with(rows, name, pseudonyms.column(rows[name], keep_hashes=True))
        if table.name == "relations":
            same = pc.fill_null(pc.equal(rows["relation"], "same_as"), False)
            for name in ("head", "tail"):
                rows = _with(rows, name, pc.if_else(same, pseudonyms.column(rows[name], keep_hashes=True), rows[name]))
        if table.name == "labels":  # a label on a person, or on a person and an item
            about = pc.is_in(rows["task"], pa.array(PERSON_TASKS))
            rows = _with(rows, "subject", pc.if_else(about, _each(rows["subject"], lambda s: _first_part(s, pseudonyms)), rows["subject"]))
        if "attributes" in rows.column_names and table.name in TEXT_COLUMNS:
            rows = _with(rows, "attributes", _each(rows["attributes"], lambda text: _walked(text, self._pseudonymous)))
        return rows

    def _pseudonymous(self, name: str, value: Any) -> Any:
        assert self.pseudonyms is not None
        if (
            isinstance(value, str | int)
            and not isinstance(value, bool)
            and (name in _ID_NAMES or _CONTACT_NAMES.get(name) in ("EMAIL", "PHONE"))
        ):
            return self.pseudonyms.of(str(value).strip())
        return value

    def _attributes(self, text: str) -> str:
        return _walked(text, _redacted)


PERSON_TASKS = ("traits", "profile", "interest", "recommend", "nextitem", "segment", "churn")
"""Tasks whose labels have a shopper as (the first part of) their subject."""
_HARMLESS = re.compile(
    r"|-?\d{1,5}(?:\.\d{1,6})?|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?|[a-z_]{1,20}|\[[A-Z]{2,7}\]"
)


def _first_part(subject: str, pseudonyms: Pseudonyms) -> str:
    who, slash, rest = subject.partition("/")
    return pseudonyms.of(who) + slash + rest


def _redacted(name: str, value: Any) -> Any:
    kind = _CONTACT_NAMES.get(name)
    if kind and isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        return value if isinstance(value, str) and _PSEUDONYM.fullmatch(value) else f"[{kind}]"
    return redact(value) if isinstance(value, str) else value


_PSEUDONYM = re.compile(r"p[0-9a-f]{32}")


def _walked(text: str, change: Callable[[str, Any], Any]) -> str:
    """A JSON object with every named value changed; the very same text where nothing changes."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return text

    def walk(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(_NO_LETTERS.sub("", key.lower()) or key, inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(name, inner) for inner in value]
        return change(name, value)

    with contextlib.suppress(RecursionError):
        changed = walk("", whole)
        return text if changed == whole else json.dumps(changed, ensure_ascii=False, separators=(",", ":"))
    return text


def _each(values: pa.Array | pa.ChunkedArray, change: Callable[[str], str]) -> pa.ChunkedArray:
    """A text column with every different value changed once."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    coded = pc.dictionary_encode(whole)
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    return pa.chunked_array([pa.array([change(value) for value in coded.dictionary.to_pylist()], pa.string()).take(coded.indices)])


def _with(rows: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(place), values)


def guard_for(shop: Shop, *, pseudonymise: bool, redacting: bool, environment: Mapping[str, str]) -> Doorkeeper | None:
    """The guard of one import, None where nothing is to be hidden; the first import under a key settles the key.

    Raises:
        DataError: no key, a key inside the shop, another key than before, or a shop in which plain ids and pseudonyms would mix.
    """
    settled = settings(shop)
    if not pseudonymise:
        if settled.key_fingerprint is not None:
            raise DataError(
                f"{shop.path}: its people have pseudonyms; import with --pseudonymise and the key {settled.key_fingerprint}, or they would be two persons"
            )
        return Doorkeeper(None, True) if redacting else None
    pseudonyms = key_from(environment, shop.path)
    if pseudonyms is None:
        raise DataError(
            f"--pseudonymise needs a key; set {KEY_FILE} to a file outside the shop (make it with: openssl rand -hex 32 > FILE), or {KEY}"
        )
    if settled.key_fingerprint is None:
        plain = [name for name in shop.counts() if name in PERSON_COLUMNS]
        if plain:
            raise DataError(
                f"{shop.path}: {', '.join(plain)} already hold plain ids; pseudonyms begin with an empty shop, so import everything into a new one"
            )
        settle(shop, settled.model_copy(update={"key_fingerprint": pseudonyms.fingerprint}))
    elif settled.key_fingerprint != pseudonyms.fingerprint:
        raise DataError(
            f"{shop.path}: the key is {pseudonyms.fingerprint}, and the shop's people have pseudonyms under {settled.key_fingerprint}; use that one"
        )
    return Doorkeeper(pseudonyms, redacting)


def stored_name(shop: Shop, user: str, environment: Mapping[str, str]) -> str:
    """The id under which the shop knows ``user``: a pseudonym where it has pseudonyms.

    Raises:
        DataError: the shop has pseudonyms, ``user`` is none, and the key is absent or another.
    """
    settled = settings(shop)
    if settled.key_fingerprint is None or _PSEUDONYM.fullmatch(user):
        return user
    pseudonyms = key_from(environment, shop.path)
    if pseudonyms is None or pseudonyms.fingerprint != settled.key_fingerprint:
        raise DataError(
            f"{shop.path}: its people have pseudonyms; set {KEY} or {KEY_FILE} to the key {settled.key_fingerprint}, or give the pseudonym"
        )
    return pseudonyms.of(user)
