"""Problems as they are shown: the line, cut to what fits, and a caret under the place."""

import pytest

from lingbot_cli.timeline.diagnostics import Problem, Problems, SourceLocation, SourceText, TimelineError


def show(text, line, column, width=1):
    error = TimelineError(
        SourceText("t.yaml", text), [Problem(SourceLocation(line, column, width), "wrong; expected right")]
    )
    return error.rendered[0].split("\n")


def test_the_line_and_a_caret_under_the_place():
    assert show("one\n  two: x\nthree", 2, 8) == [
        "t.yaml:2:8: wrong; expected right",
        "  2 |   two: x",
        "    |        ^",
    ]
    assert show("x\n" * 11 + "key: value", 12, 6, 5)[1:] == ["  12 | key: value", "     |      ^^^^^"]


def test_a_place_is_one_character_wide_unless_it_says_more():
    assert tuple(SourceLocation()) == (1, 1, 1)


def test_carets_end_with_the_line():
    assert show("key: value", 1, 6, 99)[2] == "    |      ^^^^^"
    assert show("key: value   ", 1, 13, 9)[2] == "    |             ^"
    assert show("a\tb", 1, 3)[1] == "  1 | a b"


def test_a_place_after_the_text_has_no_line():
    assert show("one", 2, 1) == ["t.yaml:2:1: wrong; expected right"]
    assert len(show("one", 1, 1)) == 3


@pytest.mark.parametrize(
    ("length", "column", "start"), [(110, 100, 0), (111, 100, 40), (300, 60, 0), (300, 61, 1)]
)
def test_a_long_line_is_cut_around_the_place(length, column, start):
    text = "".join(chr(ord("a") + index % 26) for index in range(length))
    _, shown, caret = show(text, 1, column)
    assert shown == "  1 | " + text[start : start + 110]
    assert caret == "    | " + " " * (column - 1 - start) + "^"


def test_problems_are_sorted_and_each_is_shown_once():
    problem = Problem(SourceLocation(2, 1), "b; expected c")
    error = TimelineError(
        SourceText("t.yaml", "x\ny"), [problem, Problem(SourceLocation(1, 1), "a; expected b"), problem]
    )
    assert [each.message for each in error.problems] == ["a; expected b", "b; expected c"]
    assert str(error).startswith("2 errors in t.yaml\nt.yaml:1:1: a")
    assert str(TimelineError(SourceText("t.yaml", "x"), [problem])).startswith("1 error in t.yaml\n")
    many = Problems(Problem(SourceLocation(1, column), "a; expected b") for column in range(Problems.LIMIT))
    assert str(TimelineError(SourceText("t.yaml", "x"), many)).startswith("1000 errors or more in t.yaml\n")
    assert problem.as_dict(SourceText("t.yaml", "x")) == {
        "file": "t.yaml",
        "line": 2,
        "column": 1,
        "message": "b; expected c",
    }
