"""One tree of errors, two exit codes, and a hint for an unknown word."""

import pytest

from shoplm import errors
from shoplm.errors import InputError, RunError, ShopLMError, did_you_mean

EVERY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ShopLMError)]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_the_user_s_mistakes_exit_with_2_and_failures_with_1(kind):
    assert kind.exit_code == (2 if issubclass(kind, InputError) else 1)
    assert kind in (ShopLMError, InputError, RunError) or issubclass(kind, InputError) != issubclass(kind, RunError)


def test_every_error_stands_in_the_tree_of_the_module_s_docstring():
    assert all(kind.__name__ in errors.__doc__ for kind in EVERY)


def test_an_unknown_word_is_answered_with_the_closest_or_with_all():
    assert did_you_mean("epoch", ["epochs", "seed"]) == "did you mean `epochs`?"
    assert did_you_mean("zzz", ["b", "a"]) == "there is a, b"
    assert did_you_mean("zzz", []) == "there is none"
