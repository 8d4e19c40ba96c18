"""Settings are closed to unknown names, and say all faults at once."""

import math

import pydantic
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.config import Config, override, read_yaml
from shoplm.errors import ConfigError


class Inner(Config):
    rate: float | None = None
    steps: int = pydantic.Field(10, ge=1)


class Outer(Config):
    name: str = "a"
    fit: Inner = Inner()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.dictionaries(st.text(max_size=5), inner)
)


def test_an_unknown_key_is_answered_with_the_closest_of_its_own_group():
    with pytest.raises(ConfigError, match=r"recipe: unknown key `fit\.step`, did you mean `steps`\?"):
        Outer.of({"fit": {"step": 3}}, "recipe")


def test_all_faults_stand_in_one_line():
    with pytest.raises(ConfigError) as caught:
        Outer.of({"nam": "b", "fit": {"steps": 0, "rate": "fast"}})
    said = str(caught.value)
    assert "`nam`" in said
    assert "`fit.steps`" in said
    assert "seen 0" in said
    assert "`fit.rate`" in said
    assert "\n" not in said


def test_settings_cannot_be_changed_and_survive_being_written():
    config = Outer.of({"fit": {"rate": 2e-5}})
    with pytest.raises(pydantic.ValidationError):
        config.name = "b"
    assert Outer.of(yaml.safe_load(yaml.safe_dump(config.plain()))) == config


def test_assignments_are_read_as_yaml_and_reach_into_groups():
    start = {"fit": {"steps": 5}}
    found = override(start, ["fit.rate=2e-5", "name=b", "flags=[1, 2]", "deep.er=true", "empty="])
    assert found == {"fit": {"steps": 5, "rate": 2e-5}, "name": "b", "flags": [1, 2], "deep": {"er": True}, "empty": None}
    assert start == {"fit": {"steps": 5}}


@pytest.mark.parametrize("bad", ["epochs", "=3", ".a=3", "a..b=1", "fit.steps.x=1"])
def test_an_assignment_without_a_name_or_into_a_value_is_refused(bad):
    with pytest.raises(ConfigError, match="setting `"):
        override({"fit": {"steps": 5}}, [bad])


@given(text=st.text())
def test_any_right_side_gives_a_value_or_is_kept_as_text(text):
    found = override({}, [f"a={text}"])["a"]
    assert found is None or found == found or math.isnan(found)  # NaN may be asked for; nothing raises


@settings(max_examples=50, deadline=None)
@given(values=st.dictionaries(st.text(min_size=1, max_size=5), PLAIN, max_size=4))
def test_whatever_values_come_in_the_fault_is_a_config_error(values):
    try:
        Outer.of(values)
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [", r"line \d+, column \d+: not YAML"),
        (b"\xff\xfe\x00", "byte 0 is not UTF-8"),
        (b"- 1\n", "seen list"),
        (b"1: 2\n", "seen dict"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_by_place(tmp_path, content, said):
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_yaml(path)


def test_a_missing_file_is_named_and_an_empty_one_sets_nothing(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "empty.yaml") == {}


def test_a_flat_name_goes_into_the_first_group_that_knows_it_and_groups_are_laid_over_groups():
    from shoplm.config import lay

    nested = {"fit": {"epochs": 1, "seed": 4}}
    lay(
        nested, {"epochs": 3, "where": "x", "text": {"max_length": 8}}, {"where"}, {"text": {"max_length"}, "fit": {"epochs", "max_length"}}
    )
    assert nested == {"fit": {"epochs": 3, "seed": 4}, "where": "x", "text": {"max_length": 8}}
    for values, words in ({"epoch": 3}, "did you mean `epochs`"), ({"fit": 3}, "expected a group of settings, seen 3"):
        with pytest.raises(ConfigError, match=words):
            lay({}, values, {"where"}, {"fit": {"epochs"}})
