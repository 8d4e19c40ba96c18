"""Every mistake of a user, and every failure of the machine, ends in one line, exit 2 or 1, and nothing half-written."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipeline.worked import Said, reviews, shoplm

import shoplm as library
from shoplm.errors import BackboneError, BundleError, ConfigError, DataError, ResourceError

GOOD = reviews(40)
LABELLED = "text,label,split\n" + "good,a,train\nbad,b,train\n" * 20


@pytest.fixture
def train(bert, tmp_path, monkeypatch):
    """``train(file, *words)`` into ``out``, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(file: str, *words: str, out: str = "out", task: str = "sentiment") -> Said:
        return shoplm("train", task, "--data", file, "--backbone", bert, "--out", out, "epochs=1", *words)

    return run


def write(name: str, data: str | bytes) -> str:
    Path(name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return name


def parquet() -> bytes:
    pq.write_table(pa.table({"text": ["good a", "bad b"] * 200, "rating": [5, 1] * 200}), "whole.parquet")
    return Path("whole.parquet").read_bytes()


FILES = {
    "wrong encoding": ("a.csv", GOOD.encode() + "café,5,1\n".encode("latin1"), f"a.csv, line 42, byte {len(GOOD) + 3}: 0xe9 is not UTF-8"),
    "bytes that are no text": ("a.csv", bytes(range(128, 255)) * 9, "line 1, byte 0: 0x80 is not UTF-8"),
    "every row ragged": ("a.csv", "text,rating\na,b,c\nd,e,f\n", "a.csv, line 2: has 3 cells, the header 2"),
    "every row faulty": ("a.csv", "text,rating\na,eleven\nb,12\n", "column `rating` is not a number, seen 'eleven'"),
    "an open quote": ("a.csv", 'text,rating\n"a,5\nb,1\n', "a.csv"),
    "no text column": ("a.csv", GOOD.replace("text", "txt"), "did you mean --map text=txt?"),
    "no rating column": ("a.csv", GOOD.replace("rating", "ratng"), "did you mean --map rating=ratng?"),
    "no known column": ("a.csv", "foo,bar\n1,2\n2,3\n", "no column with the text of reviews"),
    "one class": ("a.csv", "text,rating\n" + "good,5\nfine,5\n" * 20, "only the value `positive`"),
    "a label in test alone": ("a.csv", LABELLED + "odd,c,test\n", "label `c` stands in test (1 rows) and never in train"),
    "a label in valid alone": ("a.csv", LABELLED + "odd,c,valid\n", "`c` stands in valid"),
    "test rows only": ("a.csv", LABELLED.replace("train", "test"), "none to learn from (0 valid, 40 test)"),
    "an unknown split": ("a.csv", LABELLED + "odd,a,trian\n", "did you mean `train`?"),
    "two rows": ("a.csv", "text,rating\ngood,5\nbad,1\n", "none to learn from"),
    "empty texts only": ("a.csv", "text,rating\n" + ",5\n ,1\n" * 9, "no row can be used"),
    "an empty file": ("a.csv", "", "a.csv: is empty"),
    "a header only": ("a.csv", "text,rating\n", "a.csv: has a header and no rows"),
    "blank lines": ("a.csv", "\n\n\n", "holds only blank lines"),
    "NUL in the header": ("a.csv", "te\0xt,rating\na,5\n", "the header holds NUL bytes"),
    "two columns of one name": ("a.csv", "text,text,rating\na,b,5\n", "two columns are called `text`"),
    "another ending": ("a.xlsx", GOOD, "the ending `.xlsx` is none of .csv"),
    "a csv called parquet": ("a.parquet", GOOD, "is not a readable parquet file"),
    "an array called jsonl": ("a.jsonl", "[1, 2]\n", "is not a JSON object, seen '[1, 2]'"),
    "objects without keys": ("a.jsonl", "{}\n{}\n", "no column with the text"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(train, case):
    name, data, words = FILES[case]
    said = train(write(name, data))
    assert said.code == 2
    assert words in said.line
    assert not Path("out").exists()


@pytest.mark.parametrize("cut", [3, 40, 0.5, -1])
def test_a_truncated_parquet_file_is_refused_in_one_line(train, cut):
    whole = parquet()
    said = train(write("a.parquet", whole[: int(len(whole) * cut) if isinstance(cut, float) else cut]))
    assert said.code == 2
    assert "a.parquet: is not a readable parquet file" in said.line


@pytest.mark.parametrize("name", ["missing.csv", ".", "folder.csv", "folder.jsonl", "folder.parquet"])
def test_a_path_that_is_no_file_is_refused_in_one_line(train, name):
    if name.startswith("folder"):
        Path(name).mkdir()
    said = train(name)
    assert said.code == 2
    assert name in said.line
    assert not Path("out").exists()


def test_odd_texts_are_read_and_answered(train):
    odd = ["😀👩‍👩‍👧 love", "质量很好，快递太慢", "good " * 10_000, "好" * 50_000, "x" * 50_000, "", " ", "go\0od", "\u202eabc", "a\u0301"]
    rows = "".join(f'"{text}",{5 if i % 2 else 1},{i % 2}\n' for i, text in enumerate(odd))
    said = train(write("a.csv", GOOD + rows + "only one cell\n"))
    assert said.code == 0
    assert "2 left out as faulty" in said.err
    assert "51 rows read" in said.err
    answered = shoplm("predict", "out", *(word for text in odd for word in ("--text", text)))
    assert answered.code == 0
    assert len(answered.out.splitlines()) == len(odd)


SETTINGS = {
    "epoch=3": "unknown key `epoch`, did you mean `epochs`?",
    "fit.epoch=3": "unknown key `fit.epoch`, did you mean `epochs`?",
    "task.tarjet=x": "did you mean `target`?",
    "zzz=1": "unknown key `zzz`",
    "epochs=three": "`fit.epochs`: input should be a valid integer",
    "epochs=0": "greater than or equal to 1, seen 0",
    "epochs=1.5": "seen 1.5",
    "epochs=[1]": "seen [1]",
    "batch_size=-1": "seen -1",
    "learning_rate=inf": "finite",
    "learning_rate=nan": "finite",
    "seed=99999999999999999999": "seed",
    "optimizer=adam": "'adamw' or 'sgd', seen 'adam'",
    "schedule=cosin": "seen 'cosin'",
    "method=lorra": "'bottleneck' or 'head', seen 'lorra'",
    "max_length=1": "seen 1",
    "layers=99": "expected 1 to 3, the backbone's depth, seen 99",
    "valid=0.6 test=0.6": "together they stay below 1",
    "fit=3": "expected a group of settings, seen 3",
    "tasks=[intent]": "name the tasks themselves",
    "=3": "expected key=value",
    "a..b=3": "expected key=value",
    "target=recomended": "did you mean `recommended`?",
    "stars=maybe": "boolean",
    "track=[mlflow]": "track",
    "precision=fp16": "seen 'fp16'",
    "r=8": "`r`=8 is an option of method=lora, and method=full ignores it; leave it out or set method=lora",
    "lora_alpha=8 method=head": "`lora_alpha`=8.0 is an option of method=lora, adalora, and method=head ignores it",
    "lora_dropout=0.1": "`lora_dropout`=0.1 is an option of method=lora",
    "target_modules=[query]": "`target_modules`=('query',) is an option of method=lora",
    "layers=2 method=head": "`layers`=2 is an option of method=full, lora, adalora, bottleneck, and method=head ignores it",
    "dropout=0.1 method=head": "`dropout`=0.1 is an option of method=full, lora, adalora, prefix, bottleneck",
    "r=8 lora_alpha=4": "`r`=8 is an option of method=lora, and method=full ignores it; leave it out or set method=lora; `lora_alpha`=4.0",
    "keep=first": "seen 'first'",
}


@pytest.mark.parametrize("words", SETTINGS)
def test_a_wrong_setting_is_refused_in_one_line(train, words):
    said = train(write("a.csv", GOOD), *words.split())
    assert said.code == 2
    assert SETTINGS[words] in said.line
    assert not Path("out").exists()


RECIPES = {
    "epoch: 3": "unknown key `epoch`, did you mean `epochs`?",
    "fit:\n  epoch: 3": "did you mean `epochs`?",
    "epochs: [": "recipe.yaml, line 1, column 10: not YAML",
    "- a": "seen list",
    "1: 2": "expected `key: value`",
    "fit: {1: 2}": "recipe.yaml",
    "task: {1: 2}": "task.1",
    "tasks: [sentimnt]": "did you mean `sentiment`?",
    "tasks: 5": "expected a list of names, seen 5",
    "tasks: [[1]]": "expected a list of names",
    "adapter: null": "expected a group",
    "epochs: !!python/object:os.system x": "not YAML",
    "a: &a [*a]": "unknown key `a`",
    "epochs: 2024-13-45": "not YAML",
    "\0": "not YAML",
    "": "no task named",
}


@pytest.mark.parametrize("text", RECIPES)
def test_a_wrong_recipe_is_refused_in_one_line(bert, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    write("recipe.yaml", text)
    names = [] if "tasks" in text or not text else ["sentiment"]
    said = shoplm("train", *names, "--data", write("a.csv", GOOD), "--backbone", bert, "--recipe", "recipe.yaml", "--out", "out")
    assert said.code == 2
    assert RECIPES[text] in said.line


def test_python_raises_the_same_words(bert, tmp_path, trained):
    rows = pa.table({"text": ["good", "bad"] * 20, "rating": [5, 1] * 20})
    with pytest.raises(ConfigError, match=r"unknown key `epoch`, did you mean `epochs`\?"):
        library.fit("sentiment", rows, backbone=bert, epoch=3)
    with pytest.raises(ConfigError, match="no task `sentimnt`; did you mean `sentiment`"):
        library.fit("sentimnt", rows)
    with pytest.raises(DataError, match="seen int"):
        library.fit("sentiment", 5, backbone=bert)
    with pytest.raises(DataError, match="did you mean --map text=txt"):
        library.fit("sentiment", rows.rename_columns(["txt", "rating"]), backbone=bert)
    with pytest.raises(BundleError, match="no such bundle"):
        library.load(tmp_path / "none")
    with pytest.raises(DataError, match="no column that `reviews` reads"):
        library.load(trained["head"]).predict(pa.table({"foo": [1]}))


WORDS = {
    "rating >": "is not one SQL expression",
    "rating > 3; drop table reviews": "is not one SQL expression",
    "1) or (1": "is not one SQL expression",
    "": "is not one SQL expression",
    "ratin > 3": "did you mean `rating`?",
    "exists(select * from read_csv('/etc/passwd'))": "file system operations are disabled",
    "exists(select * from '/etc/passwd')": "no table `/etc/passwd`",
    "rating in (select 1 from foo)": "no table `foo`",
    "sum(rating) > 1": "aggregates",
    "rating = 'abc'": "Could not convert",
    "false": "no row can be used where false",
}


@pytest.mark.parametrize("where", WORDS)
def test_a_condition_that_is_none_is_refused_in_one_line(train, where):
    said = train(write("a.csv", GOOD), "--where", where)
    assert said.code == 2
    assert WORDS[where] in said.line
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("text=txt", "no column `txt` (--map text=txt); did you mean `text`?"),
        ("txt=text", "`txt` is no field of reviews; did you mean `text`?"),
        ("text", "expected OURS=THEIRS"),
        ("=text", "expected OURS=THEIRS"),
    ],
)
def test_a_map_to_nowhere_is_refused_in_one_line(train, pair, words):
    said = train(write("a.csv", GOOD), "--map", pair)
    assert said.code == 2
    assert words in said.line


def test_one_field_is_mapped_once(train):
    said = train(write("a.csv", GOOD), "--map", "text=text", "--map", "body=rating")
    assert said.code == 2
    assert "map it once" in said.line


def test_one_source_of_rows_is_needed_and_no_more(bert, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("a.csv", GOOD)
    Path("folder").mkdir()
    base = ["train", "sentiment", "--backbone", bert, "--out", "out"]
    for words, expected in [
        ([], "give either --shop DIR or --data FILE"),
        (["--data", "a.csv", "--shop", "s"], "give only one of them"),
        (["--shop", "nowhere"], "nowhere: is no shop"),
        (["--shop", "folder"], "folder: is no shop"),
        (["--shop", "a.csv"], "a.csv: is a file"),
    ]:
        said = shoplm(*base, *words)
        assert said.code == 2
        assert expected in said.line
    assert not Path("out").exists()


def test_a_place_that_is_not_ours_is_left_alone(train):
    Path("thesis").mkdir()
    write("thesis/chapter.txt", "x")
    said = train(write("a.csv", GOOD), out="thesis")
    assert said.code == 2
    assert "is not empty and no bundle" in said.line
    assert os.listdir("thesis") == ["chapter.txt"]
    assert train("a.csv", out="a.csv").code == 2
    below = train("a.csv", out="a.csv/out")
    assert below.code in (1, 2)
    assert "cannot be written" in below.line
    assert Path("a.csv").read_text() == GOOD


@pytest.mark.parametrize("name", ["nobody/nothing", "bert-base-uncasedd", "no such\nname", "/nowhere", "."])
def test_a_backbone_that_is_not_here_is_refused_in_one_line(train, name):
    said = train(write("a.csv", GOOD), "--backbone", name)
    assert said.code == 2
    assert "backbone `" in said.line
    assert not Path("out").exists()


def test_without_a_network_an_unknown_backbone_is_refused_soon(monkeypatch):
    from huggingface_hub import constants

    from shoplm.model import backbone
    from shoplm.text.tokenize import TextConfig

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://model-hub.invalid")
    monkeypatch.setattr(backbone, "HUB_SECONDS", 0.3)
    begin = time.monotonic()
    with pytest.raises(BackboneError, match="no model hub answers"):
        backbone.load_backbone("nobody/nothing", TextConfig())
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_backbone_folder_is_refused_in_one_line(train, bert, file):
    shutil.copytree(bert, "bert")
    raw = Path("bert", file).read_bytes()
    Path("bert", file).write_bytes(raw[: len(raw) // 2])
    said = train(write("a.csv", GOOD), "--backbone", "bert")
    assert said.code == 2
    assert "backbone `bert`" in said.line


@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_a_bundle_with_any_file_altered_truncated_or_missing_is_refused_by_name(trained, tmp_path, method):
    bundle = tmp_path / "bundle"
    shutil.copytree(trained[method], bundle, ignore=shutil.ignore_patterns("run"))
    assert shoplm("verify", bundle).code == 0
    for file in sorted(path for path in bundle.rglob("*") if path.is_file()):
        raw = file.read_bytes()
        middle = len(raw) // 2
        for altered in (raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :], raw[:-5], b""):
            file.write_bytes(altered)
            said = shoplm("verify", bundle)
            assert said.code == 2, file
            assert file.name in said.line or file.name == "checksums.json"
        file.unlink()
        assert file.name in shoplm("predict", bundle, "--text", "x").line
        file.write_bytes(raw)
    (bundle / "stray.txt").write_text("x")
    assert "stray.txt: not in checksums.json" in shoplm("verify", bundle).line


@contextlib.contextmanager
def no_file_larger_than(size: int):
    """A disk that is full: writing beyond ``size`` bytes of a file fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_during_an_import_leaves_the_shop_as_it_was(tmp_path):
    file, shop = tmp_path / "reviews.csv", tmp_path / "shop"
    file.write_text("item_id," + reviews(40).replace("\n", "\nx,")[:-2])
    assert shoplm("import", "table", file, "--shop", shop, "--map", "body=text").code == 0
    before = library.Shop(shop).data_version
    file.write_text("item_id," + reviews(3000).replace("\n", "\nx,")[:-2])
    with no_file_larger_than(16_000):
        said = shoplm("import", "table", file, "--shop", shop, "--map", "body=text")
        other = shoplm("import", "table", file, "--shop", tmp_path / "fresh", "--map", "body=text")
    assert said.code == other.code == 1
    assert "cannot be written" in said.line
    assert library.Shop(shop).data_version == before
    assert not (tmp_path / "fresh").exists()
    assert shoplm("import", "table", file, "--shop", shop, "--map", "body=text", "--json").json["read"] == 3000


@pytest.mark.parametrize("size", [10_000, 60_000])
def test_a_full_disk_during_training_leaves_no_bundle(train, size):
    write("a.csv", GOOD)
    assert train("a.csv").code == 0
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file() and "run" not in path.parts}
    with no_file_larger_than(size):
        again, fresh = train("a.csv", "seed=1"), train("a.csv", out="fresh")
    assert again.code == fresh.code == 1
    assert "cannot be written" in fresh.line
    assert not Path("fresh").exists() or not (Path("fresh") / "checksums.json").exists()
    assert not [name for name in os.listdir() if name.startswith(".")]
    assert all(path.read_bytes() == data for path, data in before.items())
    assert shoplm("verify", "out").code == 0


@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_a_full_disk_at_any_file_of_a_bundle_leaves_none_of_them(trained, tmp_path, method):
    bundle = library.load(trained[method])
    sizes = sorted({path.stat().st_size for path in trained[method].rglob("*") if path.is_file() and "run" not in path.parts})
    for size in sizes:
        with no_file_larger_than(size - 1), pytest.raises(ResourceError, match="the bundle cannot be written"):
            bundle.save(tmp_path / "out")
        assert os.listdir(tmp_path) == []
    bundle.save(tmp_path / "out")


def test_a_full_disk_while_a_bundle_is_written_leaves_the_old_one_and_the_run_to_resume(train, monkeypatch):
    from shoplm.model import bundle

    write("a.csv", GOOD)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(bundle, "save_file", full)
        said = train("a.csv")
    assert said.code == 1
    assert "the bundle cannot be written (No space left on device)" in said.line
    assert sorted(os.listdir()) == ["a.csv", "out"]
    assert os.listdir("out") == ["run"]
    assert "its training has not ended" in shoplm("verify", "out").line
    assert train("a.csv", "--resume").code == 0
    assert shoplm("verify", "out").code == 0


@pytest.fixture
def locked(tmp_path):
    """A folder in which nothing can be made, for root too."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    bare = os.access(folder, os.W_OK)  # root writes whatever the mode says
    if bare and (shutil.which("chattr") is None or subprocess.run(["chattr", "+i", folder], capture_output=True).returncode):
        pytest.skip("root, and no chattr here: nothing is read-only")
    yield folder
    if bare:
        subprocess.run(["chattr", "-i", folder], check=True)
    folder.chmod(0o700)


def test_a_read_only_folder_is_said_before_the_work(train, locked, trained):
    write("a.csv", GOOD)
    write("i.csv", "item_id,body,rating\nx,good,5\n")
    for said in (
        train("a.csv", out=str(locked / "out")),
        train("a.csv", out=str(locked)),
        shoplm("predict", trained["head"], "--data", "a.csv", "--out", locked / "answers.csv"),
        shoplm("import", "table", "i.csv", "--table", "reviews", "--shop", locked / "shop"),
        shoplm("import", "table", "i.csv", "--table", "reviews", "--shop", locked),
        shoplm("new", locked / "shop"),
        shoplm("new", locked / "shop", "--sample"),
    ):
        assert said.code == 1
        assert "cannot be written" in said.line
        assert "Epoch" not in said.err
    assert os.listdir(locked) == []


def test_ctrl_c_ends_in_one_line_and_the_run_can_be_resumed(bert, tmp_path):
    (tmp_path / "a.csv").write_text(GOOD)
    words = ["train", "sentiment", "--data", "a.csv", "--backbone", bert, "--out", "out", "epochs=60", "checkpoint_seconds=0"]
    command = [sys.executable, "-c", "from shoplm.cli import main; main()"]
    child = subprocess.Popen([*command, *words], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    saved = tmp_path / "out" / "run" / "checkpoints" / "latest.safetensors"
    deadline = time.monotonic() + 60
    while not saved.exists() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 1, err
    assert "Traceback" not in err
    assert "--resume" in err.rstrip().splitlines()[-1]
    assert out == ""
    assert os.listdir(tmp_path / "out") == ["run"]
    with contextlib.chdir(tmp_path):
        other = shoplm(*words[:-1], "checkpoint_seconds=0", "seed=1", "--resume")
        assert other.code == 2
        assert "other settings than out/run began with: fit.seed" in other.line
        (tmp_path / "b.csv").write_text(reviews(44))
        data = shoplm(*["b.csv" if word == "a.csv" else word for word in words], "--resume")
        assert data.code == 2
        assert "the data is not what out/run was trained on" in data.line
        said = shoplm(*words, "--resume")
        assert said.code == 0
        assert "resumed after step" in said.err
        assert shoplm("verify", "out").code == 0
        assert "has ended already" in shoplm(*words, "--resume").err


def unfinished(train, monkeypatch, *words: str) -> bytes:
    """A run stopped after its first checkpoint; that checkpoint."""
    from shoplm.pipeline import learning

    write("a.csv", GOOD)
    kept = learning.resuming.save

    def save_and_stop(*given: object) -> None:
        kept(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(learning.resuming, "save", save_and_stop)
        assert train("a.csv", *words).code == 1
    return Path("out/run/checkpoints/latest.safetensors").read_bytes()


def test_a_run_that_has_not_ended_is_not_lost_unasked(train, monkeypatch):
    saved = unfinished(train, monkeypatch)
    for words in ((), ("seed=1",), ("--method", "head")):
        said = train("a.csv", *words)
        assert said.code == 2
        assert "--out out: holds a run that has not ended" in said.line
        assert "--resume" in said.line
        assert "--restart" in said.line
        assert Path("out/run/checkpoints/latest.safetensors").read_bytes() == saved
    assert train("a.csv", "--restart", "seed=1").code == 0
    assert library.load("out").contents.facts["sentiment"]["recipe"]["fit"]["seed"] == 1
    assert train("a.csv").code == 0  # a run that has ended stands in nobody's way


def test_python_does_not_lose_an_unfinished_run_either(train, bert, monkeypatch):
    unfinished(train, monkeypatch)
    with pytest.raises(ConfigError, match="holds a run that has not ended"):
        library.fit("sentiment", Path("a.csv"), "out", backbone=bert)


def test_ctrl_c_during_an_import_leaves_the_shop_as_it_was(tmp_path):
    """A process of its own gets the signal when it makes its first bytes durable, before the shop's next version is written."""
    first, shop = tmp_path / "reviews.csv", tmp_path / "shop"
    first.write_text("item_id," + reviews(40).replace("\n", "\nx,")[:-2])
    assert shoplm("import", "table", first, "--shop", shop, "--map", "body=text").code == 0
    before = library.Shop(shop).data_version
    second = tmp_path / "more" / "reviews.csv"
    second.parent.mkdir()
    second.write_text("item_id," + reviews(3000).replace("\n", "\nx,")[:-2])
    code = (
        "import os, signal\n"
        "kept = os.fsync\n"
        "def fsync(handle):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    kept(handle)\n"
        "os.fsync = fsync\n"
        "from shoplm.cli import main\n"
        "main()\n"
    )
    words = ["import", "table", second, "--shop", shop, "--map", "body=text"]
    child = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert child.returncode == 1, child.stderr
    assert "Traceback" not in child.stderr
    assert child.stderr.rstrip().splitlines()[-1] == "stopped; nothing was half-written"
    assert child.stdout == ""
    assert library.Shop(shop).data_version == before
    assert library.Shop(shop).view().rows("reviews") == 40
    assert shoplm(*words).code == 0
    assert library.Shop(shop).view().rows("reviews") > 40


def test_a_loss_that_explodes_is_said_in_one_line(train):
    said = train(write("a.csv", GOOD), "learning_rate=1e30")
    assert said.code == 1
    assert "learning_rate" in said.line
    assert not Path("out").exists()
