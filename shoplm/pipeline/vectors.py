"""A frozen backbone's vectors of texts, each computed once: what was encoded before is read from a file beside it.

The file's name is made of the backbone's digest and the length policy; in it a vector is found by the digest of its text, so that
a changed or new text alone is encoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shoplm.files import whole
from shoplm.model.backbone import Backbone, load_backbone
from shoplm.model.network import pool
from shoplm.model.precision import autocast, faster
from shoplm.pipeline.progress import Progress, Silent
from shoplm.text.render import Prompt, Segment
from shoplm.text.tokenize import TextConfig
from shoplm.train.plan import cut

LENGTH = 64
"""Tokens of a text that are read: a title and the beginning of what follows."""
TOKENS = 8_192
"""Padded tokens of one pass."""

Float32 = npt.NDArray[np.float32]


def encoded(texts: Sequence[str], backbone: str = "default", folder: Path | None = None, progress: Progress | None = None) -> Float32:
    """(N, D) the pooled vector of each text, known to float16.

    Args:
        texts: N of them.
        backbone: its name, as ``train`` takes it.
        folder: where vectors are kept; None = they are not.
        progress: who waits.

    Raises:
        BackboneError: the backbone cannot be loaded.
        ResourceError: the disk is full or the place cannot be written.
    """
    network = load_backbone(backbone, TextConfig(max_length=LENGTH))
    keys = np.array([hashlib.sha256(text.encode()).hexdigest()[:32] for text in texts], "U32")
    file = None if folder is None else folder / f"{network.digest[:32]}-{network.tokenizer.digest[:16]}.safetensors"
    known, vectors = _read(file, network.width)
    fresh, first = np.unique(keys, return_index=True)
    missing = first[~np.isin(fresh, known)]
    if len(missing):
        made = _computed([texts[at] for at in missing], network, progress or Silent())
        known, vectors = np.concatenate([known, keys[missing]]), np.concatenate([vectors, made])
        if file is not None:
            said = np.frombuffer("".join(known).encode("ascii"), np.uint8)
            with whole(file) as partial:
                save_file({"keys": said, "vectors": vectors}, partial)
    order = np.argsort(known)
    found: Float32 = vectors[order[np.searchsorted(known, keys, sorter=order)]].astype(np.float32)
    return found


def _read(file: Path | None, width: int) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float16]]:
    """What a file knows; one that is missing or broken knows nothing."""
    try:
        held = load_file(file) if file is not None and file.is_file() else {}
        if held and held["vectors"].shape[1] == width:
            return np.frombuffer(held["keys"].tobytes(), "S32").astype("U32"), held["vectors"]
    except (SafetensorError, KeyError, OSError):
        pass
    return np.zeros(0, "U32"), np.zeros((0, width), np.float16)


@torch.no_grad()
def _computed(texts: Sequence[str], network: Backbone, progress: Progress) -> npt.NDArray[np.float16]:
    """(M, D), texts of similar length together."""
    tokens = network.tokenizer.encode([Prompt((Segment(text),)) for text in texts])
    order = np.argsort(tokens.lengths, kind="stable").astype(np.int64)
    found, precision = np.zeros((len(texts), network.width), np.float16), faster()
    network.eval()
    with progress.bar("reading items", len(texts)) as moved:
        for rows in cut(order, tokens.lengths, 1_024, TOKENS):
            batch = tokens.batch(rows, network.tokenizer.pad)
            ids, mask, part = map(torch.from_numpy, (batch.ids, batch.mask, batch.part))
            with autocast(precision):
                hidden = network(ids, mask, part)
            found[rows] = pool(hidden.float(), mask, network.pooling).numpy()
            moved(len(rows))
    return found
