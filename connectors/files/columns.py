"""A column of texts: which form it has, found on a sample and proved on every value, and why, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from base.tables import Column, ColumnType
from connectors.connector import StoredColumn
from connectors.files.declared import declared_forms
from connectors.files.form import Form
from connectors.files.forms import NOTHING, TEXT, by_key, candidates, nothing_as

_SHOWN_CHARS = 40
_PLAIN_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = "[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\\.[0-9]+)?)?"
_AWAY = "[+-](?:(?:0[1-9]|1[0-9])(?::?[0-9]{2})?|00:?(?:0[1-9]|[1-5][0-9]))"
# All that Python and RE2, which do not agree on it, take for a space.
_SPACE = "[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"
_HABITS: tuple[tuple[str, str, str], ...] = (
    # texts that would not read back the same as numbers or dates; what one does, what many do
    (r"-?0[0-9]+(?:\.[0-9]+)?", "starts with 0", "start with 0"),
    (r"-0", "is a zero with a sign", "are zeros with a sign"),
    (r"\+[0-9](?s:.*)", "starts with +", "start with +"),
    (f"{_SPACE}(?s:.*)|(?s:.*){_SPACE}", "has a space at an end", "have spaces at an end"),
    (r"[-+]?[0-9.]+[eE][-+]?[0-9]+", "is written with an exponent", "are written with an exponent"),
    (r"-?[0-9.]*,[0-9,.]*", "is written with a comma", "are written with a comma"),
    (r"-?(?:[0-9]\.?){39,}", "has more than 38 digits", "have more than 38 digits"),
    (r"[-+]?[0-9.,]+ ?%", "is a percentage", "are percentages"),
    (
        r"[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{2,4}(?:[ T,](?s:.*))?",
        "is a date whose day and month can be mistaken",
        "are dates whose day and month can be mistaken",
    ),
    (
        r"[0-9]{4}[/.][0-9]{1,2}[/.][0-9]{1,2}(?:[ T,](?s:.*))?",
        "is a date that is not written as YYYY-MM-DD",
        "are dates that are not written as YYYY-MM-DD",
    ),
    (
        rf"{_DAY}[ T]{_CLOCK} ?{_AWAY}",
        "has an offset from UTC, which TIMESTAMP_TZ would not keep",
        "have offsets from UTC, which TIMESTAMP_TZ would not keep",
    ),
    (
        rf"(?:{_DAY}[ T])?[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}\.[0-9]{{7,}}(?:Z|[+-][0-9:]+)?",
        "has more than 6 decimals of a second",
        "have more than 6 decimals of a second",
    ),
    (
        r"(?:(?s:.*) )?[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})? ?[AaPp]\.?[Mm]\.?",
        "is a time of twelve hours",
        "are times of twelve hours",
    ),
    (
        r"[0-9]{1,2}:[0-9]{2}",
        "is a time without seconds, or minutes and seconds",
        "are times without seconds, or minutes and seconds",
    ),
)


@dataclass(slots=True)
class _Blocker:
    """The first text that a form could not hold; `one` and `many` say what such texts do, `count` of them."""

    line: int
    text: str
    form: Form | None
    one: str = ""
    many: str = ""
    is_such: Callable[[pa.Array], int] | None = None
    count: int = 0

    def words(self, count: int | None) -> str:
        """Why the column is text; without a count while the rows are not all known."""
        if not self.one:
            return f"{_shown(self.text)} in line {self.line} is not a number, date, time, true or false"
        if self.is_such is None:
            return self.one
        first = f"{_shown(self.text)} in line {self.line}"
        if count is None:
            return f"values {self.many}, first {first}"
        return (
            f"1 value {self.one}, {first}"
            if count == 1
            else f"{count:,} values {self.many}, first {first}"
        )


class TextColumn:
    """What is known of one column. Shown texts with `observe`, it keeps the forms that hold all of them."""

    def __init__(self, name: str, declared: ColumnType | None = None) -> None:
        self.name = name
        self._declared = declared
        self._forms: Sequence[Form] | None = declared_forms(declared) if declared else None
        self._is_settled = False  # by values that no declared form holds together
        self._first: tuple[str, int] | None = None
        self._blocker: _Blocker | None = None
        self._nothing = NOTHING

    def keep_as(self, stored: StoredColumn | None) -> None:
        """Without any value, be of the type that is stored."""
        self._nothing = nothing_as(stored.type, stored.arrow) if stored else NOTHING

    @property
    def form(self) -> Form:
        """The best form that holds everything seen."""
        if self._forms is None:
            return self._nothing
        return self._forms[0] if self._forms else TEXT

    def observe(self, texts: pa.Array, line_of: Callable[[int], int]) -> None:
        """Take the next texts of the column; `line_of` gives the line of one by its index."""
        if self._declared:
            self._observe_declared(texts)
            return
        if self._forms is None:
            self._begin(texts, line_of)
        left = [form for form in self._forms or () if form.convert(texts) is not None]
        if self._forms and not left:
            self._block(texts, line_of)
        if self._forms is not None:
            self._forms = left
        if self._blocker and self._blocker.is_such:
            self._blocker.count += self._blocker.is_such(texts)

    @property
    def is_declared(self) -> bool:
        """Whether the user set its type; then a text that is not of it makes its row a bad one."""
        return self._declared is not None

    def misfits(self, texts: pa.Array) -> list[int]:
        """Where the texts are that are not of the declared type, however it may be stored."""
        if self._declared is None:
            return []
        if self._is_settled:
            return self.form.misfits(texts)
        first, *others = declared_forms(self._declared)
        found = first.misfits(texts)
        for form in others:
            left = texts.take(pa.array(found, pa.int64()))
            found = [found[at] for at in form.misfits(left)] if found else []
        return found

    def flaw(self, text: str, place: str) -> str:
        """What is wrong with such a text at that place (`line 7`)."""
        assert self._declared
        return (
            f"Column {_shown(self.name)} in {place} is {_shown(text)}, which is not "
            f"{self._declared.name}."
        )

    def _observe_declared(self, texts: pa.Array) -> None:
        """Keep the forms that hold all texts that any holds; or the one that holds the most."""
        assert self._forms
        left = [form for form in self._forms if form.convert(texts) is not None]
        if not left and not self._is_settled:
            bad = set(self.misfits(texts))
            good = texts.take(
                pa.array([at for at in range(len(texts)) if at not in bad], pa.int64())
            )
            left = [form for form in self._forms if form.convert(good) is not None]
            if not left:
                left = [min(self._forms, key=lambda form: len(form.misfits(good)))]
                self._is_settled = True
        self._forms = left or self._forms

    @property
    def count(self) -> int:
        """How many of the observed texts are such as made the column text; 0 where that is not a count."""
        return self._blocker.count if self._blocker else 0

    def tally(self, texts: pa.Array) -> int:
        """The same of other texts."""
        blocker = self._blocker
        return blocker.is_such(texts) if blocker and blocker.is_such else 0

    def describe(self, scope: str = "", count: int | None = None) -> Column:
        """The column with its `inference`. `scope` says for which rows it holds, `count` is the count in those."""
        form = self.form
        inference = f"{form.type.value}: {self._words(count)}{scope}"
        return Column(self.name, form.type, native_type=form.pattern or "text", inference=inference)

    def _words(self, count: int | None) -> str:
        form = self.form
        if self._declared:
            return "as set in columnTypes"
        if form.key == NOTHING.key:
            return "there is no value"
        if form is not TEXT:
            return f"all values are {form.plural} and read back as the same text"
        if self._blocker is None:
            return "not all values are of another type"
        return self._blocker.words(count)

    def assume(self, key: str) -> None:
        """Go on with the form of an earlier read, which knew more of the file."""
        if key == self.form.key:
            return
        declared = (
            {form.key: form for form in declared_forms(self._declared)} if self._declared else {}
        )
        form = declared.get(key) or by_key(key)
        self._forms = [] if form is TEXT else [form]
        self._blocker = None

    def _begin(self, texts: pa.Array, line_of: Callable[[int], int]) -> None:
        """Look at the first value there is."""
        if texts.null_count == len(texts):
            return
        at = pc.indices_nonzero(pc.is_valid(texts))[0].as_py()
        text = texts[at].as_py()
        self._first = (text, line_of(at))
        self._forms = candidates(text)
        if not self._forms:
            self._blocker = _blocker(*self._first[::-1], None, self._first)

    def _block(self, texts: pa.Array, line_of: Callable[[int], int]) -> None:
        """Note why no form is left: by the one that held the longest, of those the most general."""
        assert self._forms
        misfits = [(form.misfits(texts)[0], place) for place, form in enumerate(self._forms)]
        at, place = max(misfits)
        form = self._forms[place]
        text, line = texts[at].as_py(), line_of(at)
        self._blocker = _blocker(line, text, form, self._first or (text, line))


def _blocker(line: int, text: str, form: Form | None, first: tuple[str, int]) -> _Blocker:
    for shape, one, many in _HABITS:
        if re.fullmatch(shape, text):
            return _Blocker(line, text, form, one, many, _counter(shape))
    if form is None:
        return _Blocker(line, text, form)
    if re.fullmatch(_PLAIN_NUMBER, text) and re.fullmatch(_PLAIN_NUMBER, first[0]):
        words = (
            "numbers are written in more than one way, such as "
            f"{_shown(first[0])} in line {first[1]} and {_shown(text)} in line {line}"
        )
        return _Blocker(line, text, form, words)
    one, many = f"is not {form.noun}", f"are not {form.plural}"
    return _Blocker(line, text, form, one, many, form.count_misfits)


def _counter(shape: str) -> Callable[[pa.Array], int]:
    def count(texts: pa.Array) -> int:
        return pc.sum(pc.match_substring_regex(texts, f"^(?:{shape})$")).as_py() or 0

    return count


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")
