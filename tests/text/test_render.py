"""Records into words."""

from hypothesis import given
from hypothesis import strategies as st

from shoplm.text.render import Prompt, Segment, clean, titled


@given(st.one_of(st.none(), st.text(), st.integers(), st.floats()))
def test_clean_text_is_one_line_without_nuls(value):
    found = clean(value)
    assert "\x00" not in found
    assert found == " ".join(found.split())


def test_a_title_is_kept_before_its_body_and_ends_a_sentence():
    assert titled("Lovely", "soft \n and warm") == (Segment("Lovely.", 9), Segment("soft and warm", 1))
    assert titled("好！", None) == (Segment("好！", 9),)
    assert titled(None, "soft") == (Segment("soft", 1),)
    assert titled(None, " ") == ()


def test_a_prompt_reads_as_its_parts_read():
    prompt = Prompt((Segment("a"), Segment("c", part=1), Segment("b")))
    assert prompt.text() == "a b"
    assert prompt.text(1) == "c"


def test_habits_tell_each_thing_once_with_how_often_the_newest_first():
    from shoplm.text.render import acts_of, habits

    assert habits(["grocery > milk", "pan", " ", None, "dairy > milk", "grocery > tea"]) == "tea, milk ×2, pan."
    assert habits([]) == ""
    assert acts_of("milk| tea |") == acts_of('["milk", "tea", ""]') == acts_of(["milk", "tea", None]) == ["milk", "tea"]
    assert acts_of("[sic") == ["[sic"]
    assert acts_of(None) == []
