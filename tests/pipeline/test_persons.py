"""A person can be seen whole, and goes without a trace; a crash leaves work, never a false proof."""

import json
import os
import signal
import subprocess
import sys

import pyarrow as pa
import pytest
import sqlalchemy as sa

from shoplm.cli import run
from shoplm.data import database, traces
from shoplm.data import drain as draining
from shoplm.data import erase as erasing
from shoplm.data.drain import drain
from shoplm.data.records import Act, Label, Served, Turn
from shoplm.data.shop import Shop
from shoplm.data.store import Audit, Question, Store
from shoplm.errors import DataError
from shoplm.pipeline import persons

MAIL, BODY = "zelda.q@example.org", "the zipper tore on day nine, write to zelda.q@example.org"


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path / "shop", create=True)
    shop.upsert("reviews", pa.table({"review_id": ["r1", "r2"], "item_id": ["i", "i"], "user_id": ["zelda", "bob"], "rating": [2, 5],
                                     "body": ["an older wording that nobody else has", "fine by me, bob"]}))  # fmt: skip
    with shop.transaction() as put:
        put.upsert("users", [pa.table({"user_id": ["zelda", "bob", "zelda2"], "email_hash": ["cd" * 32, "ef" * 32, None]})])
        put.upsert("reviews", [pa.table({"review_id": ["r1"], "item_id": ["i"], "user_id": ["zelda"], "rating": [1], "body": [BODY]})])
        put.upsert("events", [pa.table({"event_time": ["2024-01-01"] * 3, "event_name": ["view_item"] * 3, "user_id": ["zelda", "bob", None],
                                        "user_pseudo_id": [None, None, "dev-77"]})])  # fmt: skip
        put.upsert("chats", [pa.table({"conversation_id": ["c1", "c1", "c2"], "turn": [0, 1, 0], "role": ["user", "assistant", "user"],
                                       "content": ["ring me on 0113 496 0453", "Of course.", "hello there"], "user_id": ["zelda2", None, "bob"]})])  # fmt: skip
        put.upsert("orders", [pa.table({"order_id": ["o1", "o2"], "line": [0, 0], "item_id": ["i", "i"], "user_id": ["zelda", "bob"],
                                        "ordered_at": ["2024-01-01"] * 2})])  # fmt: skip
        put.upsert("labels", [pa.table({"task": ["sentiment", "traits"], "subject": ["r1", "zelda"], "name": ["mood", "age"], "value": ["bad", "30"],
                                        "by": ["person", "model"], "at": ["2024-01-02"] * 2})])  # fmt: skip
        put.upsert("relations", [pa.table({"head": ["zelda", "zelda2", "zelda"], "relation": ["same_as"] * 3, "tail": ["dev-77", "dev-77", "bob"],
                                           "undone": [False, False, True]})])  # fmt: skip
    faulty = shop.path.parent / "more.csv"
    faulty.write_text("review_id,item_id,user_id,rating\nr7,i,bob,zelda\nr8,i,bob,99\n")
    shop.import_files(faulty, table="reviews")
    return shop


def test_export_shows_everything_about_a_person_by_any_id(shop, tmp_path, capsys):
    assert run(["export", "dev-77", "--shop", str(shop.path), "--out", str(tmp_path / "zelda.jsonl")]) == 0
    documents = [json.loads(line) for line in (tmp_path / "zelda.jsonl").read_text().splitlines()]
    tables = {document["table"]: document["rows"] for document in documents if "table" in document}
    assert sorted(documents[0]["person"]["ids"]) == ["dev-77", "zelda", "zelda2"]
    assert {name: len(rows) for name, rows in tables.items()} == {
        "users": 2, "events": 2, "reviews": 1, "chats": 2, "orders": 1, "labels": 2, "relations": 3,
    }  # fmt: skip
    assert tables["reviews"][0]["body"] == BODY
    assert any("quarantine" in document for document in documents)
    with pytest.raises(DataError, match="knows nothing of 'nobody'"):
        persons.export(shop, "nobody")


def test_erase_leaves_no_byte_and_says_so_truly(shop, capsys):
    derived = shop.path / "derived" / "x"
    derived.mkdir(parents=True)
    (derived / "vectors.bin").write_bytes(b"zelda")
    also = shop.path.parent / "runs"
    also.mkdir()
    (also / "report.html").write_text(f"<p>{BODY}</p>")
    (also / "predictions.jsonl").write_text(f'{{"text": {json.dumps(BODY)}}}\n{{"text": "kept"}}\n')
    before = shop.counts()
    assert run(["erase", "zelda", "--shop", str(shop.path), "--also", str(also), "--json"]) == 0
    proof = json.loads(capsys.readouterr().out)
    assert proof["nothing_found"]
    assert proof["rows"] == {"users": 2, "events": 2, "reviews": 1, "chats": 2, "orders": 1, "labels": 2, "relations": 3}
    assert {name: before[name] - shop.counts().get(name, 0) for name in before if before[name] != shop.counts().get(name, 0)} == proof[
        "rows"
    ]
    assert len(proof["unreadable_versions"]) == 3
    needles = [b"zelda", b"dev-77", b"496 0453", b"older wording", b"zipper", b"cd" * 32]
    for folder in (shop.path, also):
        for file in folder.rglob("*"):
            if file.is_file():
                assert not any(needle in file.read_bytes() for needle in needles), file
    sought = traces.Traces(("zelda", "zelda2", "dev-77"), (MAIL, "0113 496 0453", "older wording that", "zipper tore"))
    assert traces.search(traces.files_under(shop.path, also), sought) == []
    assert (also / "predictions.jsonl").read_text() == '{"text": "kept"}\n'
    assert shop.view().sql("select body from reviews")["body"].to_pylist() == ["fine by me, bob"]
    assert len(list((shop.path / "quarantine").rglob("*.jsonl"))) == 1
    assert run(["erase", "zelda", "--shop", str(shop.path)]) == 2


def test_the_search_sees_through_parquet_sqlite_and_gzip(tmp_path):
    import gzip
    import sqlite3

    import pyarrow.parquet as pq

    pq.write_table(pa.table({"t": ["nothing", "the needle is here"] * 500}), tmp_path / "a.parquet", compression="zstd")
    with gzip.open(tmp_path / "b.gz", "wb") as file:
        file.write(b"x" * 100_000 + b"needle is")
    with sqlite3.connect(tmp_path / "c.db") as con:
        con.execute("create table t (v text)")
        con.execute("insert into t values (?)", ("y" * 9000 + "needle is" + "z" * 9000,))
    (tmp_path / "d.txt").write_text("u12 and xu1")
    (tmp_path / "e.json").write_text(json.dumps({"a": "客户needle"}))
    found = traces.search(traces.files_under(tmp_path), traces.Traces(("u1",), ("needle is", "客户needle")))
    assert {name.split("/")[-1].split(" ")[0] for name in found} == {"a.parquet", "b.gz", "c.db", "e.json"}
    assert any("column t" in name for name in found)


def test_what_cannot_be_mended_is_reported_and_the_exit_code_says_so(shop, capsys):
    bundle = shop.path.parent / "bundle"
    bundle.mkdir()
    (bundle / "words.json").write_text('["zelda"]')
    (bundle / "config.json").write_text(
        json.dumps({"facts": {"sentiment": {"data_version": shop.data_version}, "intent": {"data_version": "v1-00000000"}}})
    )
    (bundle / "checksums.json").write_text('{"words.json": "", "config.json": ""}')
    assert run(["erase", "zelda", "--shop", str(shop.path), "--also", str(bundle), "--json"]) == 1
    proof = json.loads(capsys.readouterr().out)
    assert [name.split("/")[-1] for name in proof["found"]] == ["words.json"]
    assert {one["task"]: one["trained_on_person"] for one in proof["bundles"]} == {"sentiment": True, "intent": None}


KILLED = """
import os, signal, sys
from pathlib import Path
from shoplm.data import erase, manifest, traces
from shoplm.data.shop import Shop
from shoplm.pipeline import persons
moment, place = sys.argv[1], Path(sys.argv[2])
def dies(module, name, after):
    real = getattr(module, name)
    def wrapped(*a, **k):
        if not after: os.kill(os.getpid(), signal.SIGKILL)
        found = real(*a, **k)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(module, name, wrapped)
if moment == "begun": dies(erase, "begin", True)
if moment == "before the manifest": dies(manifest, "put", False)
if moment == "after the manifest": dies(manifest, "put", True)
if moment == "after the rows": dies(Shop, "delete_rows", True)
if moment == "while cleaning": dies(erase, "clean", True)
if moment == "before the proof": dies(erase, "_prove", False)
persons.erase(Shop(place), "zelda")
"""


@pytest.mark.parametrize(
    "moment", ["begun", "before the manifest", "after the manifest", "after the rows", "while cleaning", "before the proof"]
)
def test_a_kill_in_the_middle_leaves_work_that_the_next_call_ends(shop, moment):
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, moment, str(shop.path)], env=os.environ, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr[-2000:]
    assert not (shop.path / "erased").exists()
    assert len(erasing.unfinished(shop)) == 1
    assert shop.counts()["reviews"] in (1, 2)
    proof = persons.erase(shop, "zelda2")
    assert proof.clean
    assert proof.rows["users"] == 2
    assert erasing.unfinished(shop) == []
    assert len(list((shop.path / "erased").glob("*.json"))) == 1
    assert shop.counts()["reviews"] == 1


def test_the_live_store_and_rows_that_came_in_meanwhile_go_too(shop):
    class Live:
        seen: tuple[str, ...] = ()

        def texts(self, ids):
            return 0, []

        def others(self, ids):
            return []

        def erase(self, ids, subjects):
            self.seen, self.about = tuple(ids), tuple(subjects)
            return 3

    plan = erasing.plan(shop, "zelda")
    erasing.begin(shop, plan)
    shop.upsert("reviews", pa.table({"review_id": ["r9"], "item_id": ["i"], "user_id": ["zelda2"], "rating": [1]}))
    live = Live()
    proof = erasing.carry_out(shop, plan, live)
    assert (proof.live_rows, shop.counts()["reviews"]) == (3, 1)
    assert set(live.seen) == {"zelda", "zelda2", "dev-77", "c1"}
    assert {"zelda", "r1", "o1/0", "c1/0"} <= set(live.about)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_live_store_in_use_holds_nothing_of_theirs_afterwards(kind, shop, request, monkeypatch):
    """Acts that wait and acts that stay, lists, talks, labels, questions, the audit; a second process has it open and goes on writing."""
    if kind == "postgres":
        monkeypatch.setenv(database.URL_NAME, request.getfixturevalue("postgres_database"))
    server, at = Store(shop.path), 1_750_000_000_000_000
    server.put(*(Act(f"live-{n}", at + n, "view_item", user_id=("zelda", "zelda2", "bob", None)[n % 4],
                     user_pseudo_id="dev-77" if n % 4 == 3 else None) for n in range(80)))  # fmt: skip
    drain(server, shop)
    with server.alone("drain", "somebody who died"):
        pass
    server.put(
        Served("rec-1", at, ["i"], user_id="zelda"),
        Served("rec-2", at, ["i"], user_id="bob"),
        Act("late", at + 99, "view_item", user_id="zelda2"),
    )
    server.put(Turn("c9", 0, "user", "my second name is quuxley and I live there", at, user_id="zelda"), Turn("c9", 1, "assistant", "hello quuxley", at + 1),
               Turn("c8", 0, "user", "Thank you", at, user_id="bob"), Turn("c7", 0, "user", "Thank you", at, user_id="zelda"))  # fmt: skip
    server.put(*(Label("traits", subject, "age", "30", "model", at) for subject in ("zelda", "r1", "zelda/i", "bob", "r2")))
    server.ask(Question("q1", at, "sentiment", "r1", "mood", "bad", "unsure"))
    server.ask(Question("q2", at, "sentiment", "r2", "mood", "bad", "unsure"))
    server.note(
        Audit("a1", at, "staff", "looked at", "zelda"),
        Audit("a2", at, "staff", "merged", "u", "zelda2 into u"),
        Audit("a3", at, "staff", "looked at", "bob"),
    )
    # waits in the store; a batch that a dead drainer claimed and brought into the shop without letting it go
    claimed = draining.claim(server)
    draining.append(server, shop, claimed)
    server.put(Act("later", at + 100, "view_item", user_id="zelda"), Act("later-bob", at + 100, "view_item", user_id="bob"))
    for name, words in {
        "search-cache/x.jsonl": '{"user_id": "zelda"}\n{"user_id": "bob"}\n',
        "compare/study/report.html": "<p>zelda</p>",
    }.items():
        (shop.path / name).parent.mkdir(parents=True)
        (shop.path / name).write_text(words)
    proof = persons.erase(shop, "zelda")
    assert proof.found == ()
    # 40 acts by user and 2 later ones, a list, three turns, three labels, a question, two lines of the audit
    assert proof.live_rows == 40 + 2 + 1 + 3 + 3 + 1 + 2
    server.put(Act("after", at + 101, "view_item", user_id="bob"))  # its connections were not cut
    needles = [b"zelda", b"dev-77", b"quuxley"]
    for file in shop.path.rglob("*"):
        assert not file.is_file() or not any(needle in file.read_bytes() for needle in needles), file
    drain(server, shop)
    view = shop.view()
    for table in ("events", "chats", "labels"):
        assert not any(word in str(view.sql(f"select * from {table}").to_pylist()) for word in ("zelda", "dev-77", "quuxley"))
    assert view.sql("select count(*) as n from events where user_id = 'bob'")["n"][0].as_py() == 1 + 20 + 1 + 2
    assert [question.subject for question in server.questions()] == ["r2"]
    assert [audit.audit_id for audit in server.audits()] == ["a3"]
    assert sorted(view.sql("select subject from labels")["subject"].to_pylist()) == ["bob", "r2"]
    if kind == "postgres":
        with server.engine.connect() as con:
            said = "".join(str(con.execute(sa.select(table)).all()) for table in database.META.sorted_tables)
        assert not any(word in said for word in ("zelda", "dev-77", "quuxley"))
    server.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_person_whom_only_the_live_store_knows_can_be_erased(kind, shop, request, monkeypatch):
    if kind == "postgres":
        monkeypatch.setenv(database.URL_NAME, request.getfixturevalue("postgres_database"))
    server = Store(shop.path)
    server.put(Act("live", 1_750_000_000_000_000, "view_item", user_id="newcomer"))
    proof = persons.erase(shop, "newcomer")
    assert (proof.clean, proof.live_rows) == (True, 1)
    with pytest.raises(DataError, match="knows nothing of 'newcomer'"):
        persons.erase(shop, "newcomer")
    server.close()


def test_a_recommending_bundle_says_whether_it_counted_their_acts(shop):
    for name, where in (("all", None), ("without", "user_id = 'bob'")):
        bundle = shop.path.parent / "bundles" / name
        bundle.mkdir(parents=True)
        facts = {"recommend": {"subject": "events", "data_version": shop.data_version, "recipe": {"where": where}}}
        (bundle / "config.json").write_text(json.dumps({"facts": facts}))
        (bundle / "checksums.json").write_text('{"config.json": ""}')
    proof = persons.erase(shop, "zelda", also=[shop.path.parent / "bundles"])
    assert proof.clean
    assert {one["bundle"].split("/")[-1]: one["trained_on_person"] for one in proof.bundles} == {"all": True, "without": False}


def test_training_never_reads_who_withholds_consent(tmp_path, backbone_folders):
    """The whole way: import, train, and the run's own count of rows; who refuses changes nothing at all about the model."""
    words = ["lovely warm dress", "broke after a day", "cheap and poor", "perfect present", "too small for me", "great value shoes"]
    table = pa.table(
        {"review_id": [f"r{i}" for i in range(120)], "item_id": ["i"] * 120, "user_id": [f"u{i % 12}" for i in range(120)],
         "rating": [5 if i % 2 == 0 else 1 for i in range(120)], "body": [f"{words[i % 6]} {i}" for i in range(120)]}
    )  # fmt: skip
    texts = {}
    for name, refuses in (("all", []), ("some", ["u3", "u4"])):
        shop = Shop(tmp_path / name, create=True)
        shop.upsert("reviews", table)
        shop.upsert(
            "users",
            pa.table({"user_id": [f"u{i}" for i in range(12)], "consent_personalization": [f"u{i}" not in refuses for i in range(12)]}),
        )
        out = tmp_path / f"bundle-{name}"
        words_ = [
            "train",
            "sentiment",
            "--shop",
            str(shop.path),
            "--out",
            str(out),
            "--backbone",
            str(backbone_folders["bert"]),
            "--method",
            "head",
            "epochs=1",
        ]
        assert run(words_) == 0
        facts = json.loads((out / "config.json").read_text())["facts"]["sentiment"]
        texts[name] = facts["train_rows"] + facts["valid_rows"]
    assert texts["some"] < texts["all"]
    from shoplm.data.consent import learnable

    assert learnable(Shop(tmp_path / "some")).sql("select count(*) n from reviews")["n"].to_pylist() == [100]
