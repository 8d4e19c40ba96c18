"""Commands as the pages write them, held against the real command line."""

from __future__ import annotations

import re
import shlex

from shoplm import task as tasks
from shoplm.cli import main
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.pretrain.config import PretrainConfig

_SPAN = re.compile(r"`(shoplm [^`\n]+)`")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def commands(page: str) -> list[str]:
    """Every ``shoplm …`` command on a page, in fences (also after ``next:``) and in code spans."""
    found = []
    for _, code in _FENCE.findall(page):
        for line in code.replace("\\\n", " ").splitlines():
            start = re.search(r"(?:^|next:)\s*(shoplm .*)", line)
            if start:
                found.append(start[1].partition("  #")[0].strip())
    return found + [" ".join(span.split()) for span in _SPAN.findall(_FENCE.sub("", page))]


def check(command: str, where: str) -> None:
    """The verb and every option of a command exist, and so does every setting.

    Raises:
        AssertionError: one does not.
    """
    words = shlex.split(command.replace("…", "x"))
    if words[1].startswith("-"):
        known = {option for parameter in main.params for option in (*parameter.opts, "--help", "-h")}
        assert words[1] in known, f"{where}: `{command}`: no option {words[1]}"
        return
    assert words[1] in main.commands, f"{where}: `{command}`: no verb `{words[1]}`"
    verb = main.commands[words[1]]
    known = {option for parameter in verb.params for option in parameter.opts} | {"--help", "-h"}
    settings = []
    for at, word in enumerate(words[2:], 2):
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in known, f"{where}: `{command}`: `{words[1]}` has no option {word}"
        elif "=" in word and words[at - 1] not in ("--map", "--where", "--text"):
            settings.append(word)
    if words[1] in ("train", "compare") and settings:
        named = [word for word in words[2:] if word in tasks.names()]
        RunConfig.read(named or ["sentiment"], None, ["method=lora", *settings] if len(named) > 1 else settings)
    if words[1] == "pretrain" and settings:
        PretrainConfig.read("mlm", settings)
