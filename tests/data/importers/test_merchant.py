"""A product feed in XML is read with true lines, and an unsafe one is refused before anything in it is expanded."""

import pytest

from shoplm.data.importers.merchant import read
from shoplm.data.shop import Shop
from shoplm.errors import DataError

HEAD = '<?xml version="1.0"?>\n'
RSS = '<rss xmlns:g="http://base.google.com/ns/1.0"><channel>{}</channel></rss>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            HEAD + '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]><rss><item><id>&c;</id></item></rss>',
            "line 2: holds a document type",
        ),
        (HEAD + '<!DOCTYPE a SYSTEM "file:///etc/passwd"><rss/>', "holds a document type"),
        (RSS.format("<item><g:id>1</g:id>"), "not well-formed"),
        ("<rss><item><g:id>1</g:id></item></rss>", "unbound prefix"),
        (RSS.format("<title>x</title>"), "no <item>"),
        (RSS.format("<item>" + "<a>" * 30 + "</a>" * 30 + "</item>"), "nested over"),
        ('<?xml version="1.0" encoding="klingon"?><rss/>', "cannot be read as XML|not well-formed"),
    ],
)
def test_a_feed_that_is_broken_or_unsafe_is_one_line(tmp_path, text, words):
    file = tmp_path / "feed.xml"
    file.write_text(text)
    with pytest.raises(DataError, match=words) as error:
        list(read([file]))
    assert "\n" not in str(error.value)


def test_atom_entries_with_plain_names_are_read(tmp_path):
    file = tmp_path / "feed.xml"
    file.write_text(
        '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">\n\n'
        '<entry><g:id>1</g:id><title>Mug</title><link href="https://x.test/1"/><g:price>3 EUR</g:price></entry></feed>'
    )
    shop = Shop(tmp_path / "shop", create=True)
    shop.import_files(file, format="merchant")
    row = shop.view().sql("select * from products").to_pylist()[0]
    assert (row["title"], row["link"], float(row["price"]), row["currency"]) == ("Mug", "https://x.test/1", 3.0, "EUR")


def test_memory_does_not_hold_the_feed(tmp_path):
    file = tmp_path / "feed.xml"
    file.write_text(RSS.format("".join(f"<item><g:id>{n}</g:id><title>Mug {n}</title></item>\n" for n in range(45_000))))
    chunks = list(read([file]))
    assert len(chunks) > 1
    assert sum(chunk.rows.num_rows for chunk in chunks) == 45_000
    assert int(chunks[-1].lines[-1]) == 45_000


def test_prices_in_two_currencies_are_a_fault(tmp_path):
    file = tmp_path / "feed.tsv"
    file.write_text("id\ttitle\tprice\tsale_price\n1\tMug\t3 EUR\t2 USD\n")
    assert "not in the currency" in str(Shop(tmp_path / "shop", create=True).import_files(file, format="merchant"))
