"""Type fidelity of PostgreSQL: every awkward type, one value a line, and what is stored of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import psycopg
import pyarrow as pa
import pytest

from base.tables import ColumnType
from connectors import postgres
from tests import databases
from tests.connectors.fidelity import Flagged, Kept, check_flagged, check_kept, statements
from tests.connectors.peers import connect, read_all

UTC = dt.UTC
NAN, INFINITY = float("nan"), float("inf")
POSTGRES_KEPT: Kept = {
    "a_bool": ("bool", "true", ColumnType.BOOLEAN, pa.bool_(), True),
    "a_int2": ("int2", "-32768", ColumnType.INTEGER, pa.int16(), -32768),
    "a_int4": ("int4", "2147483647", ColumnType.INTEGER, pa.int32(), 2147483647),
    "a_int8": ("int8", "9223372036854775807", ColumnType.INTEGER, pa.int64(), 2**63 - 1),
    "a_oid": ("oid", "4294967295", ColumnType.INTEGER, pa.int64(), 4294967295),
    "a_float4": ("float4", "'-Infinity'", ColumnType.FLOAT, pa.float32(), float("-inf")),
    "a_float8": ("float8", "5e-324", ColumnType.FLOAT, pa.float64(), 5e-324),
    "a_numeric": ("numeric(38,10)", "1234567890123456789012345678.0123456789", ColumnType.DECIMAL,
                  pa.decimal128(38, 10), Decimal("1234567890123456789012345678.0123456789")),
    "a_money_like": ("numeric(12,2)", "-0.10", ColumnType.DECIMAL, pa.decimal128(12, 2), Decimal("-0.10")),
    "a_wide": ("numeric(60,5)", "1234567890123456789012345678901234567890.12345", ColumnType.DECIMAL,
               pa.string(), "1234567890123456789012345678901234567890.12345"),
    "a_free": ("numeric", "1.2300", ColumnType.DECIMAL, pa.string(), "1.2300"),
    "a_nan": ("numeric", "'NaN'", ColumnType.DECIMAL, pa.string(), "NaN"),
    "a_infinite": ("numeric", "'-Infinity'", ColumnType.DECIMAL, pa.string(), "-Infinity"),
    "a_tens": ("numeric(3,-2)", "12300", ColumnType.DECIMAL, pa.string(), "12300"),
    "a_text": ("text", "E'quote \" comma, \\nline 😀'", ColumnType.TEXT, pa.string(), 'quote " comma, \nline 😀'),
    "a_empty": ("text", "''", ColumnType.TEXT, pa.string(), ""),
    "a_varchar": ("varchar(5)", "'00123'", ColumnType.TEXT, pa.string(), "00123"),
    "a_char": ("char(5)", "'ab'", ColumnType.TEXT, pa.string(), "ab   "),
    "a_name": ("name", "'n'", ColumnType.TEXT, pa.string(), "n"),
    "a_byte": ('"char"', "'c'", ColumnType.TEXT, pa.string(), "c"),
    "a_bytea": ("bytea", r"'\x00ff27'", ColumnType.BINARY, pa.binary(), b"\x00\xff'"),
    "a_date": ("date", "'9999-12-31'", ColumnType.DATE, pa.date32(), dt.date(9999, 12, 31)),
    "a_time": ("time", "'23:59:59.999999'", ColumnType.TIME, pa.time64("us"), dt.time(23, 59, 59, 999999)),
    "a_timetz": ("timetz", "'10:00:00.5+02'", ColumnType.TIME, pa.string(), "10:00:00.5+02"),
    "a_timestamp": ("timestamp", "'0001-01-01 00:00:00.000001'", ColumnType.TIMESTAMP, pa.timestamp("us"),
                    dt.datetime(1, 1, 1, 0, 0, 0, 1)),  # noqa: DTZ001 - without a zone
    "a_timestamptz": ("timestamptz", "'2020-06-01 12:00:00.123456+02'", ColumnType.TIMESTAMP_TZ,
                      pa.timestamp("us", "UTC"), dt.datetime(2020, 6, 1, 10, 0, 0, 123456, UTC)),
    "a_interval": ("interval", "'1 mon -2 days 00:00:01.5'", ColumnType.DURATION, pa.string(), "P1M-2DT1.5S"),
    "a_json": ("json", """'{"b": 1, "a":  [1.0, 12345678901234567890]}'""", ColumnType.JSON, pa.string(),
               '{"b": 1, "a":  [1.0, 12345678901234567890]}'),
    "a_jsonb": ("jsonb", """'{"n": 12345678901234567890.10}'""", ColumnType.JSON, pa.string(),
                '{"n": 12345678901234567890.10}'),
    "a_uuid": ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", ColumnType.UUID, pa.string(),
               "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "a_enum": ("mood", "'très content'", ColumnType.TEXT, pa.string(), "très content"),
    "a_domain": ("price", "12.50", ColumnType.DECIMAL, pa.decimal128(8, 2), Decimal("12.50")),
    "a_composite": ("pair", "(1, 'x')", ColumnType.JSON, pa.string(), '{"left":1,"right":"x"}'),
    "a_inet": ("inet", "'192.168.0.1/24'", ColumnType.TEXT, pa.string(), "192.168.0.1/24"),
    "a_macaddr": ("macaddr", "'08:00:2b:01:02:03'", ColumnType.TEXT, pa.string(), "08:00:2b:01:02:03"),
    "a_bit": ("bit(5)", "B'00101'", ColumnType.TEXT, pa.string(), "00101"),
    "a_xml": ("xml", "'<a>1</a>'", ColumnType.TEXT, pa.string(), "<a>1</a>"),
    "a_range": ("int4range", "'[1,5)'", ColumnType.TEXT, pa.string(), "[1,5)"),
    "a_multirange": ("datemultirange", "'{[2020-01-01,infinity)}'", ColumnType.TEXT, pa.string(),
                     "{[2020-01-01,infinity)}"),
    "a_point": ("point", "'(0.1,-2)'", ColumnType.UNKNOWN, pa.string(), "(0.1,-2)"),
    "a_tsvector": ("tsvector", "'a b'", ColumnType.UNKNOWN, pa.string(), "'a' 'b'"),
    "a_texts": ("text[]", "ARRAY['a', NULL, '']", ColumnType.LIST, pa.list_(pa.string()), ["a", None, ""]),
    "a_ints": ("int8[]", "ARRAY[9223372036854775807]", ColumnType.LIST, pa.list_(pa.int64()), [2**63 - 1]),
    "a_padded": ("char(3)[]", "ARRAY['a']", ColumnType.LIST, pa.list_(pa.string()), ["a  "]),
    "a_nothing": ("int4[]", "'{}'", ColumnType.LIST, pa.list_(pa.int32()), []),
    "a_days": ("date[]", "ARRAY[date '2020-01-01']", ColumnType.LIST, pa.list_(pa.date32()), [dt.date(2020, 1, 1)]),
    "a_numerics": ("numeric[]", "ARRAY[1.10, 'NaN']", ColumnType.LIST, pa.list_(pa.string()), ["1.10", "NaN"]),
    "a_uuids": ("uuid[]", "ARRAY['A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid]", ColumnType.LIST,
                pa.list_(pa.string()), ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    "a_moods": ("mood[]", "ARRAY['très content'::mood]", ColumnType.LIST, pa.list_(pa.string()), ["très content"]),
    "a_blobs": ("bytea[]", r"ARRAY['\x00'::bytea]", ColumnType.LIST, pa.list_(pa.binary()), [b"\0"]),
    "b_nan": ("float8", "'NaN'", ColumnType.FLOAT, pa.float64(), NAN),
    "b_nan4": ("float4", "'NaN'", ColumnType.FLOAT, pa.float32(), NAN),
    "b_minus_zero": ("float8", "'-0'", ColumnType.FLOAT, pa.float64(), -0.0),
    "b_forever": ("float8", "'Infinity'", ColumnType.FLOAT, pa.float64(), INFINITY),
    "b_tiny": ("numeric", "1e-100", ColumnType.DECIMAL, pa.string(), "0." + "0" * 99 + "1"),
    "b_inf": ("numeric", "'Infinity'", ColumnType.DECIMAL, pa.string(), "Infinity"),
    "b_money": ("money", "'-1234.56'", ColumnType.TEXT, pa.string(), "-$1,234.56"),
    "b_varbit": ("varbit", "B''", ColumnType.TEXT, pa.string(), ""),
    "b_bits": ("varbit(9)", "B'010'", ColumnType.TEXT, pa.string(), "010"),
    "b_bytea": ("bytea", "''", ColumnType.BINARY, pa.binary(), b""),
    "b_timetz": ("timetz", "'24:00:00-15:59'", ColumnType.TIME, pa.string(), "24:00:00-15:59"),
    "b_interval": ("interval", "'-1 year -2 mons +3 days -04:05:06.000001'", ColumnType.DURATION, pa.string(),
                   "P-1Y-2M3DT-4H-5M-6.000001S"),
    "b_long_interval": ("interval", "'178000000 years'", ColumnType.DURATION, pa.string(), "P178000000Y"),
    "b_first": ("date", "'0001-01-01'", ColumnType.DATE, pa.date32(), dt.date(1, 1, 1)),
    "b_last": ("timestamptz", "'9999-12-31 23:59:59.999999Z'", ColumnType.TIMESTAMP_TZ, pa.timestamp("us", "UTC"),
               dt.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
    "b_twice": ("json", """'{"a": 1, "a": 2.50, "b":1e400}'""", ColumnType.JSON, pa.string(), '{"a": 1, "a": 2.50, "b":1e400}'),
    "b_jsonb": ("jsonb", """'{"n": 123456789012345678901234567890.12345678901234567890}'""", ColumnType.JSON, pa.string(),
                '{"n": 123456789012345678901234567890.12345678901234567890}'),
    "b_null_json": ("jsonb", "'null'", ColumnType.JSON, pa.string(), "null"),
    "b_hstore": ("hstore", """'"a b"=>"1", c=>NULL'""", ColumnType.UNKNOWN, pa.string(), '"c"=>NULL, "a b"=>"1"'),
    "b_citext": ("citext", "'MiXed'", ColumnType.TEXT, pa.string(), "MiXed"),
    "b_ltree": ("ltree", "'a.b_c'", ColumnType.UNKNOWN, pa.string(), "a.b_c"),
    "b_domain_list": ("moods", "'{sad,NULL}'", ColumnType.LIST, pa.list_(pa.string()), ["sad", None]),
    "b_nested": ("nest", r"""ROW(ROW(1, 'x,"'), '{1,NULL}', 'NaN', '2024-01-01 00:00Z', '\x00ff')""", ColumnType.JSON,
                 pa.string(), (r'{"pair":{"left":1,"right":"x,\""},"list":[1,null],"free":"NaN",'
                 r'"at":"2024-01-01T00:00:00+00:00","raw":"\\x00ff"}')),
    "b_inet6": ("inet", "'::ffff:1.2.3.4/128'", ColumnType.TEXT, pa.string(), "::ffff:1.2.3.4"),
    "b_host": ("inet", "'10.0.0.1'", ColumnType.TEXT, pa.string(), "10.0.0.1"),
    "b_cidr": ("cidr", "'10.0.0.0/8'", ColumnType.TEXT, pa.string(), "10.0.0.0/8"),
    "b_macaddr8": ("macaddr8", "'08:00:2b:01:02:03:04:05'", ColumnType.TEXT, pa.string(), "08:00:2b:01:02:03:04:05"),
    "b_xml": ("xml", "'<a b=\"1\">ü</a><!-- c -->'", ColumnType.TEXT, pa.string(), '<a b="1">ü</a><!-- c -->'),
    "b_numrange": ("numrange", "'(1.50,]'", ColumnType.TEXT, pa.string(), "(1.50,)"),
    "b_tstzrange": ("tstzrange", "'[2024-01-01 00:00+02,infinity]'", ColumnType.TEXT, pa.string(),
                    '["2023-12-31 22:00:00+00",infinity]'),
    "b_no_range": ("int8range", "'empty'", ColumnType.TEXT, pa.string(), "empty"),
    "b_no_ranges": ("nummultirange", "'{}'", ColumnType.TEXT, pa.string(), "{}"),
    "b_own_range": ("floats", "'[5e-324,0.1]'", ColumnType.TEXT, pa.string(),
                    "[5e-324,0.1]"),
    "b_point": ("point", "'(5e-324,NaN)'", ColumnType.UNKNOWN, pa.string(), "(5e-324,NaN)"),
    "b_box": ("box", "'(1,2),(0.1,0)'", ColumnType.UNKNOWN, pa.string(), "(1,2),(0.1,0)"),
    "b_polygon": ("polygon", "'((0,0),(1,1e300))'", ColumnType.UNKNOWN, pa.string(), "((0,0),(1,1e+300))"),
    "b_circle": ("circle", "'<(1,2),3>'", ColumnType.UNKNOWN, pa.string(), "<(1,2),3>"),
    "b_tsquery": ("tsquery", "'a & !b:*'", ColumnType.UNKNOWN, pa.string(), "'a' & !'b':*"),
    "b_lsn": ("pg_lsn", "'16/B374D848'", ColumnType.UNKNOWN, pa.string(), "16/B374D848"),
    "b_xid8": ("xid8", "'18446744073709551615'", ColumnType.UNKNOWN, pa.string(), "18446744073709551615"),
    "b_jsonpath": ("jsonpath", "'$.a[*] ? (@ > 1)'", ColumnType.UNKNOWN, pa.string(), '$."a"[*]?(@ > 1)'),
    "b_vector": ("int2vector", "'1 2'", ColumnType.UNKNOWN, pa.string(), "1 2"),
    "b_bools": ("bool[]", "'{t,NULL,f}'", ColumnType.LIST, pa.list_(pa.bool_()), [True, None, False]),
    "b_floats": ("float8[]", "'{NaN,-Infinity,-0}'", ColumnType.LIST, pa.list_(pa.float64()), [NAN, -INFINITY, -0.0]),
    "b_instants": ("timestamptz[]", "ARRAY['2024-01-01 00:00:00.000001+02'::timestamptz]", ColumnType.LIST,
                   pa.list_(pa.timestamp("us", "UTC")), [dt.datetime(2023, 12, 31, 22, 0, 0, 1, UTC)]),
    "b_jsons": ("json[]", """ARRAY['{"a": 1.0}'::json]""", ColumnType.LIST, pa.list_(pa.string()), ['{"a": 1.0}']),
    "b_pairs": ("pair[]", "ARRAY[ROW(1, 'x y')::pair]", ColumnType.LIST, pa.list_(pa.string()), ['(1,"x y")']),
    "b_ranges": ("int4range[]", "ARRAY['[1,3)'::int4range]", ColumnType.LIST, pa.list_(pa.string()), ["[1,3)"]),
    "b_prices": ("price[]", "ARRAY[1.50, NULL]::price[]", ColumnType.LIST, pa.list_(pa.string()), ["1.50", None]),
    "b_names": ("text[]", """'{"NULL",NULL,"a,b","{}"}'""", ColumnType.LIST, pa.list_(pa.string()), ["NULL", None, "a,b", "{}"]),
}  # fmt: skip

# name: (the source's type, a value that it cannot hold as stored, our type then, the text)
POSTGRES_FLAGGED: Flagged = {
    "forever": ("date", "'infinity'", ColumnType.TEXT, "infinity"),
    "ides": ("date", "'0044-03-15 BC'", ColumnType.TEXT, "0044-03-15 BC"),
    "last date": ("date", "'5874897-12-31'", ColumnType.TEXT, "5874897-12-31"),
    "beyond": ("timestamp", "'10000-01-01 00:00:00.5'", ColumnType.TEXT, "10000-01-01 00:00:00.5"),
    "last timestamp": ("timestamp", "'294276-12-31 23:59:59.999999'", ColumnType.TEXT, "294276-12-31 23:59:59.999999"),
    "first timestamp": ("timestamp", "'4713-01-01 00:00:00 BC'", ColumnType.TEXT, "4713-01-01 00:00:00 BC"),
    "ever": ("timestamp", "'infinity'", ColumnType.TEXT, "infinity"),
    "never": ("timestamptz", "'-infinity'", ColumnType.TEXT, "-infinity"),
    "instant before Christ": ("timestamptz", "'0044-03-15 12:00:00+02 BC'", ColumnType.TEXT, "0044-03-15 10:00:00+00 BC"),
    "last instant": ("timestamptz", "'294276-12-31 23:59:59.999999Z'", ColumnType.TEXT, "294276-12-31 23:59:59.999999+00"),
    "midnight": ("time", "'24:00'", ColumnType.TIME, "24:00:00"),
    "nothing": ("numeric(5,2)", "'NaN'", ColumnType.DECIMAL, "NaN"),
    "priceless": ("price", "'NaN'", ColumnType.DECIMAL, "NaN"),
    "matrix": ("int[]", "'{{1,2},{3,4}}'", ColumnType.JSON, "[[1,2],[3,4]]"),
    "cube": ("text[]", r"""'{{{a,NULL},{"NULL","x,\"y"}}}'""", ColumnType.JSON, r'[[["a",null],["NULL","x,\"y"]]]'),
    "exact matrix": ("numeric[]", "'{{1.10},{NaN}}'", ColumnType.JSON, '[[1.10],["NaN"]]'),
    "raw matrix": ("bytea[]", r"""ARRAY[ARRAY['\x00ff'::bytea]]""", ColumnType.JSON, r'[["\\x00ff"]]'),
    "shifted": ("text[]", "'[0:1]={a,b}'", ColumnType.JSON, '"[0:1]={a,b}"'),
    "shifted_on": ("int[]", "'[2:3]={7,8}'", ColumnType.JSON, '"[2:3]={7,8}"'),
    "shifted_back": ("uuid[]", "'[-1:-1]={00000000-0000-0000-0000-000000000005}'", ColumnType.JSON, '"[-1:-1]={00000000-0000-0000-0000-000000000005}"'),
    "far": ("date[]", "'{infinity}'", ColumnType.JSON, '["infinity"]'),
    "midnights": ("time[]", "'{24:00,NULL}'", ColumnType.JSON, '["24:00:00",null]'),
}  # fmt: skip


@pytest.fixture(scope="module")
def postgres_source(postgres_url: str) -> Iterator[str]:
    """A database with types of its own."""
    assert postgres_url
    with databases.postgres_database() as url:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("""CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree;
                CREATE TYPE mood AS ENUM ('sad', 'très content'); CREATE DOMAIN amount AS numeric(8,2);
                CREATE DOMAIN price AS amount CHECK (VALUE >= 0); CREATE TYPE pair AS ("left" int, "right" text);
                CREATE DOMAIN moods AS mood[]; CREATE TYPE floats AS RANGE (subtype = float8);
                CREATE TYPE nest AS (pair pair, list int[], free numeric, at timestamptz, raw bytea)""")
        yield url


@pytest.fixture
def postgres_session(postgres_source: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_source, autocommit=True) as session:
        session.execute("DROP TABLE IF EXISTS awkward")
        yield session


def test_postgresql_values_are_kept(
    postgres_source: str, postgres_session: psycopg.Connection
) -> None:
    for statement in statements(POSTGRES_KEPT):
        postgres_session.execute(statement.encode())
    postgres_session.execute("INSERT INTO awkward (a_bool) VALUES (NULL)")

    with closing(connect(postgres.KIND, {"url": postgres_source})) as source:
        table, data = read_all(source, "awkward")

    check_kept(table, data, POSTGRES_KEPT)


@pytest.mark.parametrize("name", POSTGRES_FLAGGED)
def test_a_postgresql_value_beyond_its_type_makes_its_column_text_and_no_other(
    name: str, postgres_source: str, postgres_session: psycopg.Connection
) -> None:
    native, odd, kind, text = POSTGRES_FLAGGED[name]
    postgres_session.execute(f"CREATE TABLE awkward (id int, value {native}, at date)".encode())
    postgres_session.execute(
        f"INSERT INTO awkward VALUES (1, {odd}, '2020-01-01'), (2, NULL, NULL)".encode()
    )

    with closing(connect(postgres.KIND, {"url": postgres_source})) as source:
        table, data = read_all(source, "awkward")

    check_flagged(table, data, kind, text)
