"""Pages that do not end well: circles, the same again and again, next ones that are elsewhere or empty."""

from __future__ import annotations

import json

from tests.http_answers import EMPTIED, PAGE_ROWS, ROWS, Answers, record


class Circles(Answers):
    """Part of the handler of `tests.http_server`."""

    def give_cursor_loop(self) -> None:
        other = "b" if self.query.get("cursor") == "a" else "a"
        self.answer_json({"data": [record(self.number)], "next": other})

    def give_url_loop(self) -> None:
        self.answer_json({"data": [record(self.number)], "next": self.link()})

    def give_same_page(self) -> None:
        self.answer_json([record(1)])

    def give_clamped(self) -> None:
        """Behind its last page the last page, for ever; its pages go by `page`, or by `offset`."""
        size = int(self.query.get("per_page", PAGE_ROWS))
        last = (ROWS - 1) // size
        if "offset" in self.query:
            start = min(int(self.query["offset"]), last * size)
        else:
            start = min(int(self.query["page"]) - 1, last) * size
        self.answer_json({"data": self.rows(start, size)})

    def give_zero_cursor(self) -> None:
        """Behind its last page cursor 0, which is that of the first."""
        start = int(self.query.get("cursor", "0"))
        after = start + PAGE_ROWS
        more = {"next": after if after < ROWS else 0}
        self.answer_json({"data": self.rows(start), "meta": more})

    def give_said_end(self) -> None:
        """Two pages, the second of which names `end` as the next, or nothing."""
        is_last = "cursor" in self.query
        said = json.loads(self.query["end"]) if "end" in self.query else None
        more = {"next": said if is_last else "c1"}
        more = {} if is_last and "end" not in self.query else more
        self.answer_json({"data": self.rows(PAGE_ROWS if is_last else 0), **more})

    def give_next_elsewhere(self) -> None:
        self.answer_json(
            {
                "data": [record(0)],
                "next": f"http://127.0.0.2:{self.headers['host'].rpartition(':')[2]}/all/{self.run}",
            }
        )

    def give_same_records(self) -> None:
        self.answer_json({"made": self.number, "data": self.rows(0, 3)})

    def give_sparse_pages(self) -> None:
        place = int(self.query.get("cursor", "0"))
        has_any = place in {0, 29} and self.run not in EMPTIED
        found = self.rows(place and 1, 1) if has_any else []
        self.answer_json({"data": found, "next": place + 1 if place < 29 else None})

    def give_empty_pages(self) -> None:
        self.answer_json({"data": [], "next": f"c{self.number}"})
