"""Type fidelity: every awkward type of each database, one value a line, and what is stored of it.

KEPT values arrive as they are: the column keeps its type, and flags nothing. FLAGGED ones are values that their column's
type cannot hold: that column alone becomes exact text and says so in `inference`. Nothing is changed, rounded or dropped.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pyarrow as pa
import pymysql
import pytest

from base.tables import ColumnType, TableSchema
from connectors import mysql, postgres
from tests import databases
from tests.connectors.peers import connect, read_all

UTC = dt.UTC
NAN, INFINITY = float("nan"), float("inf")
Kept = dict[str, tuple[str, str, ColumnType, pa.DataType, Any]]
Flagged = dict[str, tuple[str, str, ColumnType, str]]

# name: (the source's type, a value in its SQL, our type, Arrow's, the stored value)
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
    "far": ("date[]", "'{infinity}'", ColumnType.JSON, '["infinity"]'),
    "midnights": ("time[]", "'{24:00,NULL}'", ColumnType.JSON, '["24:00:00",null]'),
}  # fmt: skip

MARIADB_KEPT: Kept = {
    "a_tiny": ("tinyint(1)", "-128", ColumnType.INTEGER, pa.int8(), -128),
    "a_utiny": ("tinyint unsigned", "255", ColumnType.INTEGER, pa.uint8(), 255),
    "a_small": ("smallint", "-32768", ColumnType.INTEGER, pa.int16(), -32768),
    "a_medium": ("mediumint", "-8388608", ColumnType.INTEGER, pa.int32(), -8388608),
    "a_int": ("int unsigned", "4294967295", ColumnType.INTEGER, pa.uint32(), 4294967295),
    "a_big": ("bigint", "-9223372036854775808", ColumnType.INTEGER, pa.int64(), -(2**63)),
    "a_ubig": ("bigint unsigned", "18446744073709551615", ColumnType.INTEGER, pa.uint64(), 2**64 - 1),
    "a_filled": ("int(8) zerofill", "123", ColumnType.INTEGER, pa.uint32(), 123),
    "a_float": ("float", "16777217", ColumnType.FLOAT, pa.float32(), 16777216.0),
    "a_tenth": ("float", "0.1", ColumnType.FLOAT, pa.float32(), 0.10000000149011612),
    "a_double": ("double", "0.1e0 + 0.2e0", ColumnType.FLOAT, pa.float64(), 0.30000000000000004),
    "a_decimal": ("decimal(38,20)", "123456789012345678.12345678901234567890", ColumnType.DECIMAL,
                  pa.decimal128(38, 20), Decimal("123456789012345678.12345678901234567890")),
    "a_negative": ("decimal(12,2)", "-0.10", ColumnType.DECIMAL, pa.decimal128(12, 2), Decimal("-0.10")),
    "a_wide": ("decimal(65,30)", "-12345678901234567890123456789012345.000000000000000000000000000001", ColumnType.DECIMAL,
               pa.string(), "-12345678901234567890123456789012345.000000000000000000000000000001"),
    "a_bit": ("bit", "b'1'", ColumnType.BOOLEAN, pa.bool_(), True),
    "a_bits": ("bit(64)", "0xFFFFFFFFFFFFFFFF", ColumnType.INTEGER, pa.uint64(), 2**64 - 1),
    "a_year": ("year", "1901", ColumnType.INTEGER, pa.int16(), 1901),
    "a_date": ("date", "'9999-12-31'", ColumnType.DATE, pa.date32(), dt.date(9999, 12, 31)),
    "a_time": ("time(6)", "'23:59:59.999999'", ColumnType.TIME, pa.time64("us"), dt.time(23, 59, 59, 999999)),
    "a_datetime": ("datetime(6)", "'1000-01-01 00:00:00.000001'", ColumnType.TIMESTAMP, pa.timestamp("us"),
                   dt.datetime(1000, 1, 1, 0, 0, 0, 1)),  # noqa: DTZ001 - without a zone
    "a_timestamp": ("timestamp(3) null", "'2020-06-01 12:00:00.123'", ColumnType.TIMESTAMP_TZ, pa.timestamp("us", "UTC"),
                    dt.datetime(2020, 6, 1, 10, 0, 0, 123000, UTC)),
    "a_char": ("char(5)", "'ab'", ColumnType.TEXT, pa.string(), "ab"),
    "a_varchar": ("varchar(9)", "'00123'", ColumnType.TEXT, pa.string(), "00123"),
    "a_latin": ("varchar(9) character set latin1", "'é€'", ColumnType.TEXT, pa.string(), "é€"),
    "a_text": ("text", r"'quote \' \" back\\slash, \nline 😀'", ColumnType.TEXT, pa.string(), "quote ' \" back\\slash, \nline 😀"),
    "a_empty": ("longtext", "''", ColumnType.TEXT, pa.string(), ""),
    "a_long": ("mediumtext", "repeat('ü', 40000)", ColumnType.TEXT, pa.string(), "ü" * 40000),
    "a_300": ("text", "repeat('x', 300)", ColumnType.TEXT, pa.string(), "x" * 300),
    "a_250": ("text", "repeat('x', 250)", ColumnType.TEXT, pa.string(), "x" * 250),
    "a_251": ("text", "repeat('x', 251)", ColumnType.TEXT, pa.string(), "x" * 251),
    "a_enum": ("enum('a','b c')", "'b c'", ColumnType.TEXT, pa.string(), "b c"),
    "a_set": ("set('a','b','c')", "'c,a'", ColumnType.TEXT, pa.string(), "a,c"),
    "a_json": ("json", """'{"n": 12345678901234567890.10, "a":  []}'""", ColumnType.JSON, pa.string(),
               '{"n": 12345678901234567890.10, "a":  []}'),
    "a_binary": ("binary(4)", "0x00FF27", ColumnType.BINARY, pa.binary(), b"\x00\xff'\x00"),
    "a_blob": ("blob", "0x00FFFE", ColumnType.BINARY, pa.binary(), b"\x00\xff\xfe"),
    "a_point": ("point", "point(0.30000000000000004, -2)", ColumnType.UNKNOWN, pa.string(), "POINT(0.30000000000000004 -2)"),
    "a_uuid": ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", ColumnType.UUID, pa.string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "a_inet": ("inet6", "'::1'", ColumnType.TEXT, pa.string(), "::1"),
    "b_true": ("boolean", "true", ColumnType.INTEGER, pa.int8(), 1),
    "b_bit_off": ("bit(1)", "b'0'", ColumnType.BOOLEAN, pa.bool_(), False),
    "b_bits": ("bit(9)", "b'100000001'", ColumnType.INTEGER, pa.uint64(), 257),
    "b_whole": ("decimal(65,0)", "-" + "9" * 65, ColumnType.DECIMAL, pa.string(), "-" + "9" * 65),
    "b_scale": ("decimal(38,38)", "0." + "0" * 37 + "1", ColumnType.DECIMAL, pa.decimal128(38, 38), Decimal("0." + "0" * 37 + "1")),
    "b_largest": ("double", "1.7976931348623157e308", ColumnType.FLOAT, pa.float64(), 1.7976931348623157e308),
    "b_least": ("double", "2.2250738585072014e-308", ColumnType.FLOAT, pa.float64(), 2.2250738585072014e-308),
    "b_minus_zero": ("double", "-0e0", ColumnType.FLOAT, pa.float64(), 0.0),  # which is what the server keeps
    "b_single": ("float", "-3.4028234663852886e38", ColumnType.FLOAT, pa.float32(), -3.4028234663852886e38),
    "b_fixed": ("double(10,3)", "1234.567", ColumnType.FLOAT, pa.float64(), 1234.567),
    "b_year": ("year", "0", ColumnType.INTEGER, pa.int16(), 0),
    "b_day": ("date", "'0001-01-01'", ColumnType.DATE, pa.date32(), dt.date(1, 1, 1)),
    "b_midnight": ("time", "'00:00:00'", ColumnType.TIME, pa.time64("us"), dt.time(0)),
    "b_last": ("datetime(6)", "'9999-12-31 23:59:59.999999'", ColumnType.TIMESTAMP, pa.timestamp("us"),
               dt.datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001 - without a zone
    "b_first_instant": ("timestamp(6) null", "'1970-01-01 02:00:00.000001'", ColumnType.TIMESTAMP_TZ,
                        pa.timestamp("us", "UTC"), dt.datetime(1970, 1, 1, 0, 0, 0, 1, UTC)),
    "b_last_instant": ("timestamp(6) null", "'2038-01-19 05:14:07.999999'", ColumnType.TIMESTAMP_TZ,
                       pa.timestamp("us", "UTC"), dt.datetime(2038, 1, 19, 3, 14, 7, 999999, UTC)),
    "b_trailing": ("varchar(9)", "'a  '", ColumnType.TEXT, pa.string(), "a  "),
    "b_wide_text": ("varchar(9) character set utf16", "'a€😀'", ColumnType.TEXT, pa.string(), "a€😀"),
    "b_not_an_enum": ("enum('a')", "'no such'", ColumnType.TEXT, pa.string(), ""),
    "b_no_set": ("set('a','b')", "''", ColumnType.TEXT, pa.string(), ""),
    "b_varbinary": ("varbinary(4)", "0x0020", ColumnType.BINARY, pa.binary(), b"\0 "),
    "b_no_bytes": ("varbinary(4)", "''", ColumnType.BINARY, pa.binary(), b""),
    "b_twice": ("json", """'{"a": 1, "a": 2.50}'""", ColumnType.JSON, pa.string(), '{"a": 1, "a": 2.50}'),
    "b_polygon": ("geometry", "st_geomfromtext('POLYGON((0 0,0.1 0,0 1e-9,0 0))')", ColumnType.UNKNOWN, pa.string(),
                  "POLYGON((0 0,0.1 0,0 0.000000001,0 0))"),
    "b_placed": ("point", "st_geomfromtext('POINT(1 2)', 4326)", ColumnType.UNKNOWN, pa.string(), "SRID=4326;POINT(1 2)"),
    "b_inet4": ("inet4", "'1.2.3.4'", ColumnType.TEXT, pa.string(), "1.2.3.4"),
    "b_generated": ("int as (1 + 1) virtual", "DEFAULT", ColumnType.INTEGER, pa.int32(), 2),
}  # fmt: skip

MARIADB_FLAGGED: Flagged = {
    "none": ("date", "'0000-00-00'", ColumnType.TEXT, "0000-00-00"),
    "no day": ("date", "'2020-05-00'", ColumnType.TEXT, "2020-05-00"),
    "no month": ("date", "'2020-00-00'", ColumnType.TEXT, "2020-00-00"),
    "no year": ("date", "'0000-05-06'", ColumnType.TEXT, "0000-05-06"),
    "no such day": ("date", "'2023-02-30'", ColumnType.TEXT, "2023-02-30"),
    "no moment": ("datetime(3)", "'0000-00-00'", ColumnType.TEXT, "0000-00-00 00:00:00.000"),
    "no day of a moment": ("datetime", "'2020-05-00 10:11:12'", ColumnType.TEXT, "2020-05-00 10:11:12"),
    "no instant": ("timestamp", "'0000-00-00'", ColumnType.TEXT, "0000-00-00 00:00:00"),
    "longest": ("time(2)", "'838:59:59'", ColumnType.TEXT, "838:59:59.00"),
    "before": ("time", "'-00:00:01'", ColumnType.TEXT, "-00:00:01"),
    "least": ("time(6)", "'-838:59:59'", ColumnType.TEXT, "-838:59:59.000000"),
    "midnight": ("time", "'24:00:00'", ColumnType.TEXT, "24:00:00"),
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


@pytest.fixture(scope="module")
def mariadb_source(mariadb_url: str) -> Iterator[str]:
    assert mariadb_url
    with databases.mariadb_database() as url:
        yield url


@pytest.fixture
def mariadb_session(mariadb_source: str) -> Iterator[pymysql.cursors.Cursor]:
    """A session two hours from UTC that takes dates which are none."""
    name = urlsplit(mariadb_source).path[1:]
    with (
        closing(
            pymysql.connect(host="127.0.0.1", user="root", database=name, autocommit=True)
        ) as session,
        session.cursor() as cursor,
    ):
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+02:00'")
        cursor.execute("DROP TABLE IF EXISTS awkward")
        yield cursor


def exactly(value: Any) -> str:
    """A value so that NaN is itself, and -0.0, 1.0 and 1.10 are not 0.0, 1 and 1.1."""
    if isinstance(value, list):
        return str([exactly(each) for each in value])
    return value.isoformat() if isinstance(value, dt.datetime) else repr(value)


def statements(kept: Kept) -> tuple[str, str]:
    columns = ", ".join(f"{name} {native}" for name, (native, *_) in kept.items())
    values = ", ".join(value for _, value, *_ in kept.values())
    return f"CREATE TABLE awkward ({columns})", f"INSERT INTO awkward VALUES ({values})"


def check_kept(table: TableSchema, data: pa.Table, kept: Kept) -> None:
    assert {c.name: c.type for c in table.columns} == {
        n: kind for n, (_, _, kind, *_) in kept.items()
    }
    assert {c.name: c.inference for c in table.columns if c.inference} == {}
    assert {f.name: f.type for f in data.schema} == {
        n: storage for n, (_, _, _, storage, _) in kept.items()
    }
    first, *nulls = data.to_pylist()
    found = {name: exactly(value) for name, value in first.items()}
    assert found == {name: exactly(value) for name, (*_, value) in kept.items()}
    assert {name for row in nulls for name, value in row.items() if value is not None} <= {
        "b_generated"
    }


def test_postgresql_values_are_kept(
    postgres_source: str, postgres_session: psycopg.Connection
) -> None:
    for statement in statements(POSTGRES_KEPT):
        postgres_session.execute(statement.encode())
    postgres_session.execute("INSERT INTO awkward (a_bool) VALUES (NULL)")

    with closing(connect(postgres.KIND, {"url": postgres_source})) as source:
        table, data = read_all(source, "awkward")

    check_kept(table, data, POSTGRES_KEPT)


def test_mariadb_values_are_kept(
    mariadb_source: str, mariadb_session: pymysql.cursors.Cursor
) -> None:
    for statement in statements(MARIADB_KEPT):
        mariadb_session.execute(statement)
    mariadb_session.execute("INSERT INTO awkward (a_tiny) VALUES (NULL)")

    with closing(connect(mysql.KIND, {"url": mariadb_source})) as source:
        table, data = read_all(source, "awkward")

    check_kept(table, data, MARIADB_KEPT)


def check_flagged(table: TableSchema, data: pa.Table, kind: ColumnType, text: str) -> None:
    assert [c.type for c in table.columns] == [ColumnType.INTEGER, kind, ColumnType.DATE]
    assert [c.inference is None for c in table.columns] == [True, False, True]
    assert data.to_pylist() == [
        {"id": 1, "value": text, "at": dt.date(2020, 1, 1)},
        {"id": 2, "value": None, "at": None},
    ]


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


@pytest.mark.parametrize("name", MARIADB_FLAGGED)
def test_a_mariadb_value_beyond_its_type_makes_its_column_text_and_no_other(
    name: str, mariadb_source: str, mariadb_session: pymysql.cursors.Cursor
) -> None:
    native, odd, kind, text = MARIADB_FLAGGED[name]
    mariadb_session.execute(f"CREATE TABLE awkward (id int, value {native} NULL, at date)")
    mariadb_session.execute(f"INSERT INTO awkward VALUES (1, {odd}, '2020-01-01'), (2, NULL, NULL)")

    with closing(connect(mysql.KIND, {"url": mariadb_source})) as source:
        table, data = read_all(source, "awkward")

    check_flagged(table, data, kind, text)
