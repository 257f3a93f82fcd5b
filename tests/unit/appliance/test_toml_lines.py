"""Lines of keys, held against tomllib."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.toml_lines import KeyPath, key_lines, line_of

EVERYTHING = '''\
# a comment with = and [brackets]
name = "x"
"quoted # key" = 'lit # "eral' # [not.a.table]
a.b . "c" = 1
multi = """
fake = 1
[fake]
quotes at the end: \\""""""
literal = \'\'\'
more = 2\'\'\'
list = [ # comment ]
  1, "two]", # three
  [3,
   4],
  { x = 5, y.z = "}" },
]
inline = { p = [1, 2], "q r" = { s = 1979-05-27 07:32:00 } }
[[records]]
title = "one"
[records.deep.er]
k = true
[[records]]
title = "two" # ]]
[[records.sub]]
v = 1
[[records.sub]]
v = 2
[ spaced . "out" ]
end = 0'''


def paths(data: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(data, dict):
        for key, value in data.items():
            yield from paths(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from paths(value, (*path, index))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_key_of_a_text_with_every_construct(newline: str) -> None:
    text = EVERYTHING.replace("\n", newline)
    lines = key_lines(text)
    assert set(lines) == set(paths(tomllib.loads(text)))
    at = EVERYTHING.split("\n")
    for path, start in {
        ("name",): "name",
        ("quoted # key",): '"quoted',
        ("a",): "a.b",
        ("a", "b", "c"): "a.b",
        ("literal",): "literal",
        ("list", 1): "  1, ",
        ("list", 2, 1): "   4]",
        ("list", 3, "y", "z"): "  { x",
        ("inline", "q r", "s"): "inline",
        ("records",): "[[records]]",
        ("records", 0, "title"): 'title = "one"',
        ("records", 0, "deep", "er", "k"): "k = true",
        ("records", 1, "title"): 'title = "two"',
        ("records", 1, "sub", 1, "v"): "v = 2",
        ("spaced", "out", "end"): "end",
    }.items():
        assert at[lines[path] - 1].startswith(start), path
    assert lines["records", 1] == lines["records", 1, "title"] - 1


def test_a_key_that_the_text_lacks_is_placed_at_what_holds_it() -> None:
    lines = key_lines('name = "x"\n\n[[records]]\ntitle = "one"\n')
    assert line_of(lines, ("records", 0, "vault")) == 3
    assert line_of(lines, ("vaults", 0)) == 1


KEY_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=6)
STRINGS = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=12)
SCALARS = st.one_of(
    st.integers(-9, 99).map(str),
    st.booleans().map(lambda b: str(b).lower()),
    STRINGS.map(lambda s: json.dumps(s, ensure_ascii=False)),
    st.sampled_from(["'#'", '"""\na = 1\n"""', "'''\n[b]'''", '"""x""""', "1.5e3", "07:32:00"]),
)


def quoted(key: str) -> str:
    return json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(pairs: dict[str, str]) -> str:
    return "{ " + ", ".join(f"{quoted(k)} = {v}" for k, v in pairs.items()) + " }"


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[ # ]\n" + "".join(f"  {i}, # ,\n" for i in items) + "]"),
        st.dictionaries(KEY_TEXT, inner, max_size=2).map(_inline),
    ),
    max_leaves=6,
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Tables and arrays of tables of distinct names, with distinct keys, in every spelling of key and value."""
    names = draw(st.lists(KEY_TEXT, unique=True, max_size=4))
    text = ""
    for name in names:
        header = draw(st.sampled_from(["[{}]", "[[{}]]", "[ {} . sub ]"]))
        for _ in range(draw(st.integers(1, 3)) if header == "[[{}]]" else 1):
            text += header.format(quoted(name)) + draw(st.sampled_from(["\n", " # x\n", "\n\n"]))
            for key, value in draw(st.dictionaries(KEY_TEXT, VALUES, max_size=3)).items():
                text += f"{quoted(key)}{draw(st.sampled_from(['', ' . dot']))} = {value}\n"
    return text


@given(documents())
def test_the_paths_are_tomllibs_and_each_stands_on_a_line_that_has_its_key(text: str) -> None:
    lines = key_lines(text)
    assert set(lines) == set(paths(tomllib.loads(text)))
    written = text.split("\n")
    for path, line in lines.items():
        key = path[-1]
        if isinstance(key, str):
            assert quoted(key) in written[line - 1] or f". {key}" in written[line - 1]
        else:
            assert written[line - 1].strip()
