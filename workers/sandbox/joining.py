"""Arrow IPC files one after the other as one table: what partitions left, each without knowledge of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from base.errors import InvalidInput

_DECIMAL_DIGITS = 38
_INTEGER_DIGITS = 19  # of an int64
_HINT = "Give the column one type in every partition, as by .astype."


@dataclass(frozen=True, slots=True)
class _Found:
    """The type of a column in a partition, which is counted from 1."""

    partition: int
    type: pa.DataType


class Joined:
    """The files' rows in the files' order, with the columns of the first. One file is as it is.

    A column has the type that holds every partition's values exactly. Raises InvalidInput where there is none, naming
    column, partitions and types.
    """

    def __init__(self, sources: Sequence[pa.NativeFile]) -> None:
        self._readers = [pa.ipc.open_file(source) for source in sources]
        self.schema: pa.Schema = self._readers[0].schema
        if all(reader.schema.equals(self.schema) for reader in self._readers[1:]):
            return
        names = self.schema.names
        for partition, reader in enumerate(self._readers, 1):
            other = reader.schema.names
            if len({*names}) < len(names) or sorted(other) != sorted(names):
                raise InvalidInput(
                    f"The columns of partition {partition} are not those of partition 1."
                )
        self.schema = pa.schema([(name, self._type(name)) for name in names])

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All batches as they are in their files, each with the number of its partition, for `fitted`."""
        for partition, reader in enumerate(self._readers, 1):
            for at in range(reader.num_record_batches):
                yield partition, reader.get_batch(at)

    def fitted(self, partition: int, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch of a partition with the columns of all."""
        if batch.schema.equals(self.schema):
            return batch
        columns = [self._fitted(partition, batch.column(each.name), each) for each in self.schema]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _fitted(self, partition: int, values: pa.Array, field: pa.Field) -> pa.Array:
        if values.type == field.type:
            return values
        if values.null_count == len(values):
            return pa.nulls(len(values), field.type)
        try:
            return values.cast(field.type)
        except pa.ArrowInvalid as error:  # a number with too many digits
            raise InvalidInput(
                f"The column {field.name!r} is {values.type} in partition {partition}, with values that {field.type},"
                " which it is in another, does not hold.",
                hint=_HINT,
            ) from error

    def _type(self, name: str) -> pa.DataType:
        """The type of a column in all partitions."""
        found = [
            _Found(partition, reader.schema.field(name).type)
            for partition, reader in enumerate(self._readers, 1)
        ]
        if any(each.type != found[0].type for each in found):
            full = [each for each in found if self._has_values(each.partition, name)]
            found = full or found[:1]
        so_far = found[0]
        for each in found[1:]:
            common = _common(so_far.type, each.type)
            if common is None:
                raise InvalidInput(
                    f"The column {name!r} is {so_far.type} in partition {so_far.partition}, and {each.type} in"
                    f" partition {each.partition}.",
                    hint=_HINT,
                )
            so_far = so_far if common == so_far.type else _Found(each.partition, common)
        return so_far.type

    def _has_values(self, partition: int, name: str) -> bool:
        """Whether any value of a column is not null; nothing else of such files was looked at yet."""
        reader = self._readers[partition - 1]
        for at in range(reader.num_record_batches):
            column = reader.get_batch(at).column(name)
            column.validate(full=True)
            if column.null_count < len(column):
                return True
        return False


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type whose values may be those of both, as far as they fit; None where they are of another kind."""
    if one == other:
        return one
    both = (one, other)
    if all(map(pa.types.is_integer, both)):
        return pa.uint64() if all(map(pa.types.is_unsigned_integer, both)) else pa.int64()
    if all(pa.types.is_integer(each) or pa.types.is_floating(each) for each in both):
        return pa.float64()
    if all(pa.types.is_integer(each) or pa.types.is_decimal(each) for each in both):
        return _decimal(both)
    return None


def _decimal(types: Sequence[pa.DataType]) -> pa.DataType:
    decimals = [each for each in types if pa.types.is_decimal(each)]
    scale = max(each.scale for each in decimals)
    before = max(each.precision - each.scale for each in decimals)
    if len(decimals) < len(types):
        before = max(before, _INTEGER_DIGITS)
    return pa.decimal128(min(before + scale, _DECIMAL_DIGITS), scale)
