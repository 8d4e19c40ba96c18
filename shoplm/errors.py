"""Every error that a user of ShopLM can meet, as one tree.

    ShopLMError
    ├── InputError            the user's input is wrong: the command line prints one line and exits with 2
    │   ├── ConfigError       a setting: unknown key, wrong type, value out of range
    │   ├── DataError         a file, a table, a row, a column, a shop
    │   ├── BundleError       a saved model: missing, truncated, altered, or of another kind
    │   └── BackboneError     a pre-trained model that is unknown, unreachable or altered
    └── RunError              the input was right and the work still failed: exit code 1
        ├── DivergedError     the loss became NaN, infinite or exploded
        └── ResourceError     memory or disk ran out, or a place cannot be written

A message is one line: what is wrong, where (file, line, column or key), what was seen, what was
expected, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ShopLMError(Exception):
    """Anything that ShopLM refuses or fails at, said in one line."""

    exit_code = 1


class InputError(ShopLMError):
    """The user's input is wrong."""

    exit_code = 2


class ConfigError(InputError):
    """A setting is wrong."""


class DataError(InputError):
    """A file, table, row or column is wrong."""


class BundleError(InputError):
    """A saved model is missing, truncated, altered or of another kind."""


class BackboneError(InputError):
    """A pre-trained model is unknown, unreachable or altered."""


class RunError(ShopLMError):
    """The input was right and the work still failed."""


class DivergedError(RunError):
    """The loss became NaN, infinite or exploded."""


class ResourceError(RunError):
    """Memory or disk ran out, or a place cannot be written."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the closest known words, or all of them.

    Returns:
        ``did you mean `a` or `b`?``, or ``there is a, b, c`` when nothing is close.
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=2, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(f"`{name}`" for name in close) + "?"
    return "there is " + ", ".join(names) if names else "there is none"
