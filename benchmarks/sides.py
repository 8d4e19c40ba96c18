"""The sides of ``finetune``, each as a job for a child process: ours, ``transformers.Trainer``, the article's textbook loop.

All start from the same token ids, targets and split, which the public pipeline made. The clock of each excludes
model load and validation.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.side_by_side import Json, data

SETS: Mapping[str, Mapping[str, Any]] = {
    "clinc": {"task": "intent", "file": ("clinc150_oos", "queries.parquet"), "target": "intent", "where": "not extra_oos_train", "score": "accuracy"},
    "clothing": {
        "task": "sentiment", "file": ("womens_clothing_reviews", "reviews.parquet"), "target": "label", "where": "body is not null", "score": "macro_f1",
    },
}  # fmt: skip
"""Which task and rows each data set is for, and by which validation score it is judged."""


@dataclass(frozen=True)
class Rows:
    """Token ids and classes of train and validation, the same for every side."""

    train: list[list[int]]
    train_class: npt.NDArray[np.int64]
    valid: list[list[int]]
    valid_class: npt.NDArray[np.int64]
    classes: int
    pad: int


def write_file(settings: Mapping[str, Any], folder: Path) -> Path:
    """The rows of a run as a parquet file: without the test rows, and with ``rows`` train rows where that is given.

    clinc: the first of every intent; clothing: drawn with a fixed seed, rows with text only.
    """
    import pandas as pd

    of = SETS[settings["data"]]
    frame = pd.read_parquet(data(*of["file"]))
    frame = frame[frame["split"] != "test"]
    train, valid = frame[frame["split"] == "train"], frame[frame["split"] != "train"]
    if settings["data"] == "clothing":
        train, valid = train[train["text"].notna()], valid[valid["text"].notna()]
        drawn = [(part.sample(min(size, len(part)), random_state=0) if size else part) for part, size in _sized(train, valid, settings)]
    else:
        train = train[~train["extra_oos_train"]]
        drawn = [(part.groupby("intent").head(max(1, size // 150)) if size else part) for part, size in _sized(train, valid, settings)]
    path = folder / "rows.parquet"
    pd.concat(drawn).sort_index().to_parquet(path, index=False)
    return path


def _sized(train: Any, valid: Any, settings: Mapping[str, Any]) -> list[tuple[Any, int | None]]:
    return [(train, settings.get("rows")), (valid, settings.get("valid_rows"))]


def rows_for(settings: Mapping[str, Any], max_length: int | None = None) -> Rows:
    """Train and validation rows that have a class, as the public pipeline tokenises them."""
    from benchmarks.watch import rows_of

    of = SETS[settings["data"]]
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        found, pad = rows_of(of["task"], write_file(settings, Path(folder)), of["where"], max_length)
    tokens, classes, count = found.tokens, found.targets[of["target"]], found.train
    ids = [tokens.ids[tokens.start[at] : tokens.start[at + 1]].tolist() for at in range(len(tokens))]
    kept = [at for at in range(count, len(ids)) if classes[at] >= 0]
    return Rows(
        ids[:count],
        classes[:count],
        [ids[at] for at in kept],
        classes[kept],
        len(found.fitted.labels[of["target"]]),
        pad,
    )


def ours(settings: Mapping[str, Any]) -> Json:
    """One run of the public pipeline with its defaults: ``data``, ``rows``, ``seed``, ``budget``, ``profile``, ``overrides``."""
    from benchmarks.watch import Enough, watched
    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.training import train

    of = SETS[settings["data"]]
    config = RunConfig.read([of["task"]], where=of["where"], seed=settings["seed"], **settings.get("overrides", {}))
    found: Json = {}
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        file = write_file(settings, Path(folder))
        with watched(points=2, profile=bool(settings.get("profile")), budget=settings["budget"], leave=True) as watch:
            with contextlib.suppress(Enough):
                train(config, data=file, out=Path(folder) / "bundle")
            found = {**watch.plain(), "recipe": watch.study.config.plain(), "train_rows": watch.study.lesson.train}
    return found


def scored(truth: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64]) -> Json:
    """The validation scores, as the pipeline computes its own."""
    from sklearn.metrics import f1_score

    return {
        "accuracy": round(float((truth == chosen).mean()), 6),
        "macro_f1": round(float(f1_score(truth, chosen, average="macro", zero_division=0)), 6),
    }


def padded(ids: Sequence[Sequence[int]], pad: int, length: int | None = None) -> tuple[Any, Any]:
    """(B, L) ids and mask as tensors, padded on the right to the longest, or to ``length``."""
    import torch

    longest = length or max(len(row) for row in ids)
    cut = [list(row) if len(row) <= longest else [*row[: longest - 1], row[-1]] for row in ids]
    full = torch.tensor([row + [pad] * (longest - len(row)) for row in cut])
    sizes = torch.tensor([len(row) for row in cut])
    return full, (torch.arange(longest)[None, :] < sizes[:, None]).long()


def judge(model: Any, rows: Rows, bf16: bool) -> Json:
    """Validation scores of a classifier that takes ids and a mask; rows of similar length share a pass."""
    import torch

    order = np.argsort([len(row) for row in rows.valid], kind="stable")
    chosen = np.zeros(len(order), np.int64)
    training = model.training
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        for begin in range(0, len(order), 128):
            at = order[begin : begin + 128]
            ids, mask = padded([rows.valid[i] for i in at], rows.pad)
            logits = model(input_ids=ids, attention_mask=mask)
            chosen[at] = (logits["logits"] if isinstance(logits, dict) else logits.logits).float().argmax(1).numpy()
    model.train(training)
    return scored(rows.valid_class, chosen)


def classifier(classes: int, pooling: str, attention: str) -> Any:
    """The default backbone with ``transformers``' classification head: its own (first token, pooler), or on the mean of all tokens."""
    import torch
    import transformers

    from shoplm.model.backbone import default_folder

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    place = str(default_folder())
    if pooling == "first":
        return transformers.AutoModelForSequenceClassification.from_pretrained(
            place, num_labels=classes, dtype=torch.float32, attn_implementation=attention
        )

    class MeanPooled(torch.nn.Module):
        """BertForSequenceClassification with the mean of the tokens in the pooler's place."""

        def __init__(self) -> None:
            super().__init__()
            self.bert = transformers.AutoModel.from_pretrained(
                place, dtype=torch.float32, attn_implementation=attention, add_pooling_layer=False
            )
            self.config = self.bert.config
            self.dropout = torch.nn.Dropout(self.config.hidden_dropout_prob)
            self.classifier = torch.nn.Linear(self.config.hidden_size, classes)
            torch.nn.init.normal_(self.classifier.weight, std=self.config.initializer_range)
            torch.nn.init.zeros_(self.classifier.bias)

        def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None) -> dict[str, Any]:
            hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            kept = attention_mask.unsqueeze(-1).to(hidden.dtype)
            logits = self.classifier(self.dropout((hidden * kept).sum(1) / kept.sum(1)))
            found = {"logits": logits}
            return found if labels is None else {"loss": torch.nn.functional.cross_entropy(logits.float(), labels), **found}

    return MeanPooled()


def tuned_by(model: Any, method: str) -> Any:
    """What learns: ``full``, ``lora`` (factors of rank 16 in all linear layers, and the head), or ``top`` (two layers and the head)."""
    heads = ("classifier.", "bert.pooler.")
    if method == "lora":
        from peft import LoraConfig, inject_adapter_in_model

        names = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
        model = inject_adapter_in_model(LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=names), model)
        for name, parameter in model.named_parameters():
            if name.startswith(heads):
                parameter.requires_grad_(True)
    elif method == "top":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith((*heads, "bert.encoder.layer.4.", "bert.encoder.layer.5.")))
    return model


def trainer(settings: Mapping[str, Any]) -> Json:
    """One ``transformers.Trainer`` run: ``method``, ``learning_rate``, ``pooling``, ``attention``, ``epochs``, ``seed``, ``budget``, ``steps``."""
    import torch
    import transformers

    from benchmarks.watch import judged_at
    from shoplm.model.precision import faster

    rows = rows_for(settings)
    bf16 = faster() == "bf16"  # where bf16 is emulated it would slow the Trainer down a hundred times
    transformers.set_seed(settings["seed"])
    model = tuned_by(classifier(rows.classes, settings["pooling"], settings["attention"]), settings["method"])

    class Examples(torch.utils.data.Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return len(rows.train)

        def __getitem__(self, at: int) -> dict[str, Any]:
            return {"input_ids": rows.train[at], "labels": int(rows.train_class[at])}

    def collate(examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        ids, mask = padded([example["input_ids"] for example in examples], rows.pad)
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([example["labels"] for example in examples])}

    per_epoch = -(-len(rows.train) // 64)
    places = judged_at([per_epoch * epoch for epoch in range(settings["epochs"] + 1)], 2)

    class Clock(transformers.TrainerCallback):
        """Seconds of training alone: it stands still while validation runs."""

        def __init__(self) -> None:
            self.seconds, self.begin, self.curve, self.steps = 0.0, 0.0, [], 0
            self.after_first = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.begin = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002
            self.seconds += time.perf_counter() - self.begin
            self.steps = state.global_step
            if self.steps == 4:
                self.after_first = self.seconds
            if self.steps in places and not settings.get("steps"):
                self.curve.append(
                    {"epoch": places[self.steps], "step": self.steps, "seconds": round(self.seconds, 3), **judge(more["model"], rows, bf16)}
                )
            if self.seconds > settings["budget"] or self.steps >= (settings.get("steps") or 1 << 30):
                control.should_training_stop = True
            self.begin = time.perf_counter()

    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder, use_cpu=True, bf16=bf16, seed=settings["seed"], per_device_train_batch_size=64,
            num_train_epochs=settings["epochs"], learning_rate=settings["learning_rate"], lr_scheduler_type="linear", warmup_steps=0.06,
            weight_decay=0.01, optim="adamw_torch_fused", train_sampling_strategy="group_by_length", dataloader_num_workers=0,
            dataloader_pin_memory=False, save_strategy="no", eval_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
        )  # fmt: skip
        transformers.Trainer(model=model, args=arguments, train_dataset=Examples(), data_collator=collate, callbacks=[clock]).train()
    learning = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {
        "seconds": round(clock.seconds, 3), "steps": clock.steps, "curve": clock.curve, "learning_parameters": learning,
        "precision": "bf16" if bf16 else "fp32",
        "step_seconds": round((clock.seconds - clock.after_first) / max(1, clock.steps - 4), 5), "train_rows": len(rows.train),
        "examples_per_second": round(min(clock.steps * 64, clock.steps * len(rows.train) / per_epoch) / max(clock.seconds, 1e-9), 2),
    }  # fmt: skip


def textbook(settings: Mapping[str, Any]) -> Json:
    """The way of the article's loop, judged twice an epoch: ``epochs``, ``seed``. No clock: ``textbook_step`` has it.

    Rows are padded to the longest of their batch where the article pads to 128: padding is masked, so the
    descent is the same but for the dropout draws, at a fraction of the cost.
    """
    import torch

    from benchmarks.watch import judged_at
    from shoplm.model.precision import faster

    rows, bf16 = rows_for(settings, max_length=128), faster() == "bf16"  # judging alone: outside every clock
    torch.manual_seed(settings["seed"])
    model = classifier(rows.classes, "first", "sdpa")
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
    per_epoch = -(-len(rows.train) // 16)
    places = judged_at([per_epoch * epoch for epoch in range(settings["epochs"] + 1)], 2)
    curve: list[Json] = []
    for step, batch in enumerate(_shuffled(len(rows.train), settings["epochs"], settings["seed"]), 1):
        _textbook_step(model, optimizer, rows, batch, None)
        if step in places:
            curve.append({"epoch": places[step], "step": step, **judge(model, rows, bf16)})
    return {"curve": curve, "steps": step, "train_rows": len(rows.train)}


def _shuffled(count: int, epochs: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(count)
        for begin in range(0, count, 16):
            yield order[begin : begin + 16]


def _textbook_step(model: Any, optimizer: Any, rows: Rows, batch: npt.NDArray[np.int64], length: int | None) -> None:
    import torch

    model.train()
    ids, mask = padded([rows.train[at] for at in batch], rows.pad, length)
    optimizer.zero_grad()
    model(input_ids=ids, attention_mask=mask, labels=torch.from_numpy(rows.train_class[batch])).loss.backward()
    optimizer.step()


def textbook_step(settings: Mapping[str, Any]) -> Json:
    """Seconds of a step as the article runs it, every row padded to 128, after three that warm up: ``padded_steps``."""
    import torch

    rows = rows_for(settings, max_length=128)
    torch.manual_seed(0)
    model = classifier(rows.classes, "first", "sdpa")
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
    taken: list[float] = []
    for number, batch in enumerate(_shuffled(len(rows.train), 1 + 16 * settings["padded_steps"] // len(rows.train), 0)):
        if number == settings["padded_steps"] + 3:
            break
        begin = time.perf_counter()
        _textbook_step(model, optimizer, rows, batch, 128)
        taken.append(time.perf_counter() - begin)
    steady = sorted(taken[3:]) or taken
    return {"median": round(float(np.median(steady)), 5), "low": round(steady[0], 5), "high": round(steady[-1], 5), "steps": len(steady)}
