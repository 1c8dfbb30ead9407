"""Documents, parsed, limited and validated once for each text, and what is kept of them."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, field

from graphql import (
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    parse,
    validate,
)

from base.errors import InvalidInput
from graph.coercion import PROBLEMS_MAX, RULES
from graph.costs import CostRule
from graph.executor import Plans
from graph.limits import (
    Limits,
    Shape,
    check_document_size,
    check_shape,
    tokens_refused,
)

DOCUMENTS_MAX = 1_000
DOCUMENT_BYTES_TOTAL_MAX = 512 * 1024  # of text; the tree of a text takes about 200 times its size
_NUL = re.compile(r"\x00|\\u0000|\\u\{0+\}")


class DocumentRefused(Exception):
    """A document that does not parse or is not valid; `errors` say where and why."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__()
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Operation:
    """A valid operation with everything that does not change from one request to the next."""

    node: OperationDefinitionNode
    introspects: bool
    cost: CostRule
    plans: Plans


@dataclass(frozen=True, slots=True)
class Prepared:
    """A valid document."""

    operations: dict[str | None, Operation]
    text_bytes: int = field(repr=False)

    def operation(self, name: str | None) -> Operation:
        """The operation of this name, or the only one; raises InvalidInput."""
        if name is None:
            if len(self.operations) == 1:
                return next(iter(self.operations.values()))
            raise InvalidInput(
                "The document has several operations.", hint="Name one in `operationName`."
            )
        found = self.operations.get(name)
        if found is None:
            raise InvalidInput(
                "The document has no operation of the name in `operationName`.",
                field="operationName",
            )
        return found


class Documents:
    """The documents of one schema by their text: the most recently used, bounded in number and in bytes."""

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self._schema = schema
        self._limits = limits
        self._kept: OrderedDict[str, Prepared] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def prepare(self, text: str, *, suggest: bool) -> Prepared:
        """The valid document of this text.

        Raises QueryTooComplex for a document over its limits, before it is validated, and `DocumentRefused` for one
        that is not valid; `suggest` lets the errors name what may have been meant. Only valid documents are kept.
        """
        known = self._kept.get(text)
        if known is not None:
            self._kept.move_to_end(text)
            return known
        prepared = self._prepare(text, suggest=suggest)
        self._kept[text] = prepared
        self._bytes += prepared.text_bytes
        while len(self._kept) > DOCUMENTS_MAX or self._bytes > DOCUMENT_BYTES_TOTAL_MAX:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.text_bytes
        return prepared

    def _prepare(self, text: str, *, suggest: bool) -> Prepared:
        limits = self._limits
        check_document_size(text, limits)
        if _NUL.search(text):
            raise InvalidInput("A NUL character (U+0000) is not allowed in the document.")
        try:
            document = parse(text, max_tokens=limits.tokens_max)
        except GraphQLSyntaxError as error:
            if "tokens. Parsing aborted" in error.message:
                raise tokens_refused(limits) from None
            raise DocumentRefused([error]) from None
        shape = Shape.of(document)
        introspects = check_shape(shape, limits)
        errors = validate(
            self._schema, document, RULES, max_errors=PROBLEMS_MAX, hide_suggestions=not suggest
        )
        if errors:
            raise DocumentRefused(errors)
        return Prepared(
            {
                node.name.value if node.name else None: Operation(
                    node,
                    introspects[index],
                    CostRule(self._schema, shape, node, limits),
                    Plans(shape.fragments, node),
                )
                for index, node in enumerate(shape.operations)
            },
            len(text.encode()),
        )
