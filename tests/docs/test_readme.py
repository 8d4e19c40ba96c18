"""What the README and the other pages say is so: code runs, commands exist, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from docs.commands import check, commands
from docs.pages import ROOT, pages, script
from shoplm.data.shop import Shop
from shoplm.world.sample import SampleConfig, write_csv

blocks = script("blocks")
PAGES = pages()


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_python_of_a_readme_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a demo shop of a dozen shoppers, where it takes seconds."""
    Shop(tmp_path / "demo" / "shop", create=True).import_files(*write_csv(SampleConfig(shoppers=12, products=60), tmp_path / "files"))
    if name != "README.md":  # the same block is run once
        assert _python(ROOT / name) == _python(ROOT / "README.md")
        return
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for block in blocks.blocks(ROOT / name):
        blocks.run(block, ROOT / name, namespace)
    assert (tmp_path / "my-model" / "checksums.json").is_file()


def _python(page: Path) -> list[str]:
    """Its code without comments, which are in the page's language."""
    return [re.sub(r"\s*#.*", "", block.code) for block in blocks.blocks(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_a_page_exists_with_its_options_and_settings(page: Path) -> None:
    for command in commands(page.read_text("utf-8")):
        check(command, page.name)


def test_a_command_that_does_not_exist_is_found() -> None:
    for wrong in ("shoplm fly", "shoplm predict x --fast", "shoplm train sentiment --out x epoch=3"):
        with pytest.raises(Exception, match=r"no verb|no option|unknown key"):
            check(wrong, "page")
    assert commands("a `shoplm demo` b\n```bash\nshoplm check --shop x  # why\n```\n") == ["shoplm check --shop x", "shoplm demo"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", link):
            continue
        place, _, heading = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        if heading and target.suffix == ".md":
            assert heading in _anchors(target.read_text("utf-8")), f"{page.name}: {link}: no such heading"


def _anchors(page: str) -> set[str]:
    """Headings as hubs make anchors of them: lower case, spaces to hyphens, other signs dropped."""
    titles = re.findall(r"^#+ (.+)$", page, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_place_on_one_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(?:work|home|tmp|root|Users)/", page.read_text("utf-8"))


def test_every_verb_has_a_page_in_the_cookbook() -> None:
    from shoplm.cli import main

    assert {path.stem for path in (ROOT / "docs" / "cookbook").glob("*.md")} == {*main.commands, "index"}
