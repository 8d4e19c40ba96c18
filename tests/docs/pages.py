"""Where the pages are, and the code that lies among them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def script(name: str) -> Any:
    """The module ``docs/<name>.py``; docs is a folder of pages, not a package."""
    full = f"shoplm_docs_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, DOCS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


def pages() -> list[Path]:
    """Every page that a reader may open."""
    return sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
