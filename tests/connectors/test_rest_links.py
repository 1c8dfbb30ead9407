"""The header `Link` as servers write it."""

from __future__ import annotations

import pytest

from connectors.rest.links import next_link

A = "https://api.example.com/items?page=2"


@pytest.mark.parametrize(
    "header",
    [
        f'<{A}>; rel="next"',
        f"<{A}>; rel=next",
        f"<{A}>; rel='next'",
        f'<{A}> ; rel = "next"',
        f'<{A}>;rel="Next"',
        f'<{A}>; REL="next"',
        f'<{A}>; rel="next last"',
        f'<{A}>; rel="https://example.com/rels/more next"',
        f'<{A}>; results="true"; title="a=b"; rel="next"',
        f'<{A}>; title="a; b, <c>"; rel="next"',
        f'<{A}>; title="say \\"rel=prev\\", then go"; rel="next"',
        f'<{A}>; crossorigin; rel="next"',
        f'<https://api.example.com/1>; rel="first", <{A}>; rel="next", </9>; rel="last"',
        f"<https://api.example.com/1>; rel=prev,<{A}>; rel=next",
        f'<https://api.example.com/1>; rel="prev"; rel="next", <{A}>; rel="next"',
    ],
)
def test_the_next_page_is_found_however_it_is_written(header: str) -> None:
    assert next_link(header) == A


@pytest.mark.parametrize("target", ["/x?a=1;b=2&page=2", "/x?in=1,<2&page=2", "?page=2", ""])
def test_a_target_is_all_that_its_brackets_hold(target: str) -> None:
    assert next_link(f'</a>; rel="prev", <{target}>; rel="next"') == target


@pytest.mark.parametrize(
    "header",
    [
        "",
        "next",
        f"<{A}>",
        f'<{A}>; rel="prev"',
        f'<{A}>; rel="nextish"',
        f'<{A}>; title="next"',
        f'<{A}; rel="next"',
    ],
)
def test_what_is_no_next_page_is_none(header: str) -> None:
    assert next_link(header) is None
