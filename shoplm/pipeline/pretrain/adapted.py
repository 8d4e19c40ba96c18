"""What a pre-training says about itself: its figures, the card of the backbone, the report, what to type next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shoplm.data.health.finding import Finding
from shoplm.data.shop import Shop
from shoplm.evaluate.report import Report, write_report
from shoplm.model.backbone import Backbone
from shoplm.pipeline import describe
from shoplm.train.journal import Journal, machine

_NAMES = {
    "loss": "loss (nats a word)",
    "perplexity": "perplexity",
    "accuracy": "right at the first guess",
    "cosine": "pooled vectors: cosine to before",
}


def table(before: Mapping[str, float], after: Mapping[str, float], texts: int) -> str:
    """The figures before and after, for a terminal."""
    if not after:
        return "no held-out texts, so nothing is judged"
    wide = max(map(len, _NAMES.values()))
    lines = [f"{f'masked words of {texts:,} held-out texts':<{wide + 4}}  before   after"]
    lines += [f"  {_NAMES[name]:<{wide + 2}}{before[name]:>8.3f}{value:>8.3f}" for name, value in after.items()]
    return "\n".join(lines)


def commands(out: Path, shop: Path | Shop | None, files: Sequence[Path]) -> tuple[str, ...]:
    """Commands to type next, quoted for a shell; the first tells whether it helped."""
    if shop is not None:
        place = shop.path if isinstance(shop, Shop) else shop
        return (shlex.join(["shoplm", "train", "sentiment", "--shop", str(place), "--backbone", str(out), "--out", "sentiment"]),)
    data = next((str(file) for file in files if file.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")), "messages.csv")
    return (shlex.join(["shoplm", "train", "intent", "--data", data, "--backbone", str(out), "--out", "intent"]),)


def card(
    name: str,
    backbone: Backbone,
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    before: Mapping[str, float],
    after: Mapping[str, float],
) -> str:
    """The model card: front matter that hubs read, then what a person wants to know."""
    fit, mask = config["fit"], config["mask"]
    read = ", ".join(f"{count:,} of `{origin}`" for origin, count in facts["read"].items())
    lines = [
        "---", f"base_model: {json.dumps(backbone.name)}", "library_name: transformers", "pipeline_tag: fill-mask", "tags: [e-commerce, shoplm]", "---", "",
        f"# {name if name != 'default' else backbone.name}, adapted", "",
        f"`{backbone.name}` (weights {backbone.digest[:12]}…) after further masked-language-model training on a shop's own texts.", "",
        "## What it read", "",
        f"{facts['train_texts']:,} different texts, {facts['train_tokens']:,} tokens, out of {read} (data version `{facts['data_version']}`).",
        f"Left out: {facts['copies']:,} copies and near copies; {facts['valid_texts']:,} texts held out to judge by; {facts['test_texts_unread']:,} texts of the",
        "test split or nearly like one, which it has never seen; rows of people who withhold their consent.",
        "E-mails, numbers, addresses and names in what people wrote were replaced by placeholders first; rules can miss." if facts["redacted"]
        else "Nothing in the texts was redacted: it may repeat what people wrote.", "",
        "## How", "",
        f"{100 * mask['mlm_probability']:g} % of the {'words' if mask['whole_word_mask'] else 'tokens'} had to be filled in ({mask['mask_replace_prob']:g} mask, "
        f"{mask['random_replace_prob']:g} random, the rest as they were); {fit['epochs']} epochs, batches of up to {fit['batch_size']} texts and "
        f"{fit['token_budget']} tokens, rate {fit['learning_rate']:g}, {fit['precision']}, seed {fit['seed']}.",
        f"Masked head: {facts['masked_head']}; it shares the input embeddings. Pooled vectors were drawn to where they were with weight {config['anchor']:g}.", "",
    ]  # fmt: skip
    if after:
        lines += ["## Held-out texts", "", "| masked words | before | after |", "|---|---|---|"]
        lines += [f"| {_NAMES[key]} | {before[key]:.4f} | {value:.4f} |" for key, value in after.items()]
        lines += ["", "A lower perplexity does not prove that a task gains: compare `shoplm train` with and without this backbone.", ""]
    lines += [
        "## Use", "", "```", "shoplm train intent --data messages.csv --backbone FOLDER --out intent", "```", "",
        "In `transformers`: `AutoModel.from_pretrained(FOLDER)`, or `AutoModelForMaskedLM.from_pretrained(FOLDER)` for the masked words. "
        f"A text's vector is {describe.POOLED[backbone.pooling]}.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def report(
    folder: Path,
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    before: Mapping[str, float],
    after: Mapping[str, float],
    history: Sequence[Mapping[str, Any]],
    after_that: Sequence[str],
) -> None:
    """``report.html`` of a run that has just ended."""
    said = "No held-out texts, so nothing is judged."
    if after:
        said = (
            f"Perplexity of masked words in {facts['valid_texts']:,} held-out texts: {before['perplexity']:.1f} before, {after['perplexity']:.1f} after; "
            f"right at the first guess: {before['accuracy']:.3f} before, {after['accuracy']:.3f} after. Pooled vectors point where they pointed: cosine "
            f"{after['cosine']:.3f}. Whether a task gains by it, only a task can tell."
        )
    findings = [
        Finding("note", "split", "", "", f"{facts['test_texts_unread']:,} texts of the test split, or nearly like one, were not read", ""),
        Finding("note", "copies", "", "", f"{facts['copies']:,} copies and near copies were left out", ""),
    ]
    if not facts["redacted"]:
        findings.append(
            Finding("warning", "redaction", "", "", "Nothing was redacted: the backbone may repeat what people wrote", "set redact=true")
        )
    fit, here = config["fit"], machine()
    shown = {
        "data version": str(facts["data_version"] or ", ".join(facts["files"])), "texts": f"{facts['train_texts']:,}", "tokens": f"{facts['train_tokens']:,}",
        "backbone": f"{facts['backbone']['name']} {facts['backbone']['digest'][:12]}…", "masked head": facts["masked_head"],
        "recipe": f"{fit['epochs']} epochs, rate {fit['learning_rate']:g}, anchor {config['anchor']:g}, seed {fit['seed']}, {fit['precision']}",
        "machine": f"{here['processor']}, {here['cores']} cores, {here['memory_gb']} GB",
    }  # fmt: skip
    write_report(
        Report(
            title="pretrain: a backbone that has read the shop",
            verdict=said,
            findings=tuple(findings),
            curves=describe.curves(Journal(folder), history),
            facts=shown,
            commands=tuple(after_that),
        ),
        folder / "report.html",
    )
