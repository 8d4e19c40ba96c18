"""ShopLM: one pre-trained language model, fine-tuned on a shop's own tables, for every language task of the shop.

The floors, each importing only those below it:

    cli                     the command line
    pipeline                the story in a few functions: train, evaluate, compare; the Bundle that users hold
    apps                    what a shop does with answers: recommend, search, profile
    tasks                   the questions, one file each
    train | evaluate        learning | judging
    task                    the form that one task fills in
    retrieve                which items could be the answer
    model                   backbone + adapters + heads: batch -> answer, loss
    text                    record -> words -> ids -> batch
    world                   a simulated shop
    data                    the contract, the tables, what was known when
    config tally files errors
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Bundle", "Shop", "__version__", "compare", "fit", "load", "profile", "recommend", "search"]

if TYPE_CHECKING:
    from shoplm.data.shop import Shop
    from shoplm.pipeline.bundle import Bundle, load
    from shoplm.pipeline.compare.comparing import compare
    from shoplm.pipeline.listing import recommend
    from shoplm.pipeline.profiling import profile
    from shoplm.pipeline.searching import search
    from shoplm.pipeline.training import fit

_HOMES = {
    "Shop": "shoplm.data.shop",
    "Bundle": "shoplm.pipeline.bundle",
    "load": "shoplm.pipeline.bundle",
    "fit": "shoplm.pipeline.training",
    "compare": "shoplm.pipeline.compare.comparing",
    "profile": "shoplm.pipeline.profiling",
    "recommend": "shoplm.pipeline.listing",
    "search": "shoplm.pipeline.searching",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first asked for: torch alone takes seconds (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'shoplm' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
