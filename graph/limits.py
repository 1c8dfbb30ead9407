"""What one operation may ask for: one linear rule over a document, with every fragment measured once.

Strawberry's `QueryDepthLimiter` and `MaxAliasesLimiter` walk a fragment once per use: 30 fragments which use each other
twice cost minutes. Here a fragment is a number that is added where it is used. What variables change is in `costs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
)

from base.errors import QueryTooComplex

INTROSPECTION = frozenset({"__schema", "__type"})
SENSITIVE = frozenset(
    {
        "testConnection",
        "introspectDataSource",
        "connectDataSources",
        "syncDataSources",
        "presignDataSource",
        "createApiToken",
        "uploadFile",
        "uploadScript",
        "createJob",
        "createUpload",
        "completeUpload",
    }
)
BIG = (
    10**12
)  # costs stop growing here: a bomb of fragments must not make numbers of a thousand digits


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one operation may have; each message names the one that was passed."""

    document_bytes_max: int = 32 * 1024
    tokens_max: int = 2_000
    depth_max: int = 12
    fields_max: int = 500
    aliases_max: int = 50
    directives_max: int = 50
    root_fields_max: int = 20
    sensitive_fields_max: int = 5
    cost_max: int = 20_000
    page_items_default: int = 20  # what a list without `first` and `last` gives
    list_items_assumed: int = 5  # of a list that has no pages


@dataclass(slots=True)
class Measure:
    """The size of a selection with its fragments spread out."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    sensitive: int = 0
    introspects: bool = False

    def add(self, other: Measure) -> None:
        """Count another selection beside this one."""
        self.depth = max(self.depth, other.depth)
        self.fields = min(self.fields + other.fields, BIG)
        self.aliases = min(self.aliases + other.aliases, BIG)
        self.directives = min(self.directives + other.directives, BIG)
        self.sensitive = min(self.sensitive + other.sensitive, BIG)
        self.introspects = self.introspects or other.introspects


@dataclass(slots=True)
class Shape:
    """The operations and fragments of a document."""

    operations: list[OperationDefinitionNode] = field(default_factory=list)
    fragments: dict[str, FragmentDefinitionNode] = field(default_factory=dict)

    @classmethod
    def of(cls, document: DocumentNode) -> Shape:
        """Sort the definitions; type definitions are left to validation."""
        shape = cls()
        for definition in document.definitions:
            if isinstance(definition, OperationDefinitionNode):
                shape.operations.append(definition)
            elif isinstance(definition, FragmentDefinitionNode):
                shape.fragments.setdefault(definition.name.value, definition)
        return shape


def check_document_size(text: str, limits: Limits) -> None:
    """Refuse a text that is too long to be parsed."""
    if len(text) > limits.document_bytes_max or len(text.encode()) > limits.document_bytes_max:
        raise refused("bytes of the document", limits.document_bytes_max)


def tokens_refused(limits: Limits) -> QueryTooComplex:
    """The refusal of a document whose parsing was stopped at `tokens_max`."""
    return refused("tokens of the document", limits.tokens_max)


def check_shape(shape: Shape, limits: Limits) -> dict[int, bool]:
    """Refuse a document that is too large in itself, before it is validated.

    Gives, by the index of each operation, whether it introspects the schema.
    """
    walk = _Walk(shape)
    introspects = {}
    for index, operation in enumerate(shape.operations):
        measure = walk.selection(operation.selection_set)
        roots = walk.root_fields(operation.selection_set)
        # Variables carry directives too, and a document of nothing else would pass.
        directives = measure.directives + len(operation.directives or ())
        directives += sum(len(v.directives or ()) for v in operation.variable_definitions or ())
        for count, limit, name in (
            (measure.depth, limits.depth_max, "levels of fields"),
            (measure.fields, limits.fields_max, "fields"),
            (measure.aliases, limits.aliases_max, "aliases"),
            (directives, limits.directives_max, "directives"),
            (roots, limits.root_fields_max, "root fields"),
            (measure.sensitive, limits.sensitive_fields_max, _sensitive_name(operation)),
        ):
            if count > limit:
                raise refused(name, limit)
        introspects[index] = measure.introspects
    return introspects


def _sensitive_name(operation: OperationDefinitionNode) -> str:
    kind = "mutations" if operation.operation is OperationType.MUTATION else "fields"
    return f"{kind} that reach outside or give access"


def refused(name: str, limit: int) -> QueryTooComplex:
    """The refusal that names the limit."""
    return QueryTooComplex(
        f"The operation is over the limit of {limit:,} {name}.",
        hint="Ask for less at once, or split it into several operations.",
    )


class _Walk:
    """Measures selections; each fragment once, whatever uses it."""

    def __init__(self, shape: Shape) -> None:
        self._fragments = shape.fragments
        self._measured: dict[str, Measure] = {}
        self._roots: dict[str, int] = {}
        self._open: set[str] = set()

    def selection(self, selection_set: SelectionSetNode) -> Measure:
        total = Measure()
        for node in selection_set.selections:
            total.directives += len(node.directives or ())
            if isinstance(node, FieldNode):
                total.add(self._field(node))
            elif isinstance(node, InlineFragmentNode):
                total.add(self.selection(node.selection_set))
            elif isinstance(node, FragmentSpreadNode):
                total.add(self._fragment(node.name.value))
        return total

    def _field(self, node: FieldNode) -> Measure:
        name = node.name.value
        below = self.selection(node.selection_set) if node.selection_set else Measure()
        # The schema's own types nest deeper than data ever has to, and cost nothing.
        depth = 1 if name in INTROSPECTION else below.depth + 1
        return Measure(
            depth=depth,
            fields=below.fields + 1,
            aliases=below.aliases + (node.alias is not None),
            directives=below.directives,
            sensitive=below.sensitive + (name in SENSITIVE),
            introspects=below.introspects or name in INTROSPECTION,
        )

    def _fragment(self, name: str) -> Measure:
        known = self._measured.get(name)
        if known is not None:
            return known
        definition = self._fragments.get(name)
        if definition is None or name in self._open:  # unknown or a circle: validation says so
            return Measure()
        self._open.add(name)
        measure = self.selection(definition.selection_set)
        measure.directives += len(definition.directives or ())
        self._open.discard(name)
        self._measured[name] = measure
        return measure

    def root_fields(self, selection_set: SelectionSetNode) -> int:
        """How many fields stand at the root, in whatever fragments."""
        total = 0
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                total += 1
            elif isinstance(node, InlineFragmentNode):
                total += self.root_fields(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                total += self._root_fields_of(node.name.value)
        return min(total, BIG)

    def _root_fields_of(self, name: str) -> int:
        if name not in self._roots:
            self._roots[name] = 0  # a circle adds nothing
            definition = self._fragments.get(name)
            if definition is not None:
                self._roots[name] = self.root_fields(definition.selection_set)
        return self._roots[name]
