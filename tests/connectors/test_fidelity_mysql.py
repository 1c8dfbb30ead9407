"""Type fidelity of MariaDB and MySQL: every awkward type, one value a line, and what is stored of it."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import pyarrow as pa
import pymysql
import pytest

from base.tables import ColumnType
from connectors.mysql import KIND
from tests import databases
from tests.connectors.fidelity import Flagged, Kept, check_flagged, check_kept, statements
from tests.connectors.peers import connect, read_all
from tests.databases import MysqlServer

UTC = dt.UTC

BOTH_KEPT: Kept = {
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
    "a_binary": ("binary(4)", "0x00FF27", ColumnType.BINARY, pa.binary(), b"\x00\xff'\x00"),
    "a_blob": ("blob", "0x00FFFE", ColumnType.BINARY, pa.binary(), b"\x00\xff\xfe"),
    "a_point": ("point", "point(0.30000000000000004, -2)", ColumnType.UNKNOWN, pa.string(), "POINT(0.30000000000000004 -2)"),
    "b_true": ("boolean", "true", ColumnType.INTEGER, pa.int8(), 1),
    "b_bit_off": ("bit(1)", "b'0'", ColumnType.BOOLEAN, pa.bool_(), False),
    "b_bits": ("bit(9)", "b'100000001'", ColumnType.INTEGER, pa.uint64(), 257),
    "b_whole": ("decimal(65,0)", "-" + "9" * 65, ColumnType.DECIMAL, pa.string(), "-" + "9" * 65),
    "b_largest": ("double", "1.7976931348623157e308", ColumnType.FLOAT, pa.float64(), 1.7976931348623157e308),
    "b_least": ("double", "2.2250738585072014e-308", ColumnType.FLOAT, pa.float64(), 2.2250738585072014e-308),
    "b_single": ("float", "-3.4028234663852886e38", ColumnType.FLOAT, pa.float32(), -3.4028234663852886e38),
    "b_fixed": ("double(10,3)", "1234.567", ColumnType.FLOAT, pa.float64(), 1234.567),
    "b_year": ("year", "0", ColumnType.INTEGER, pa.int16(), 0),
    "b_day": ("date", "'0001-01-01'", ColumnType.DATE, pa.date32(), dt.date(1, 1, 1)),
    "b_midnight": ("time", "'00:00:00'", ColumnType.TIME, pa.time64("us"), dt.time(0)),
    "b_last": ("datetime(6)", "'9999-12-31 23:59:59.999999'", ColumnType.TIMESTAMP, pa.timestamp("us"),
               dt.datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001 - without a zone
    "b_first_instant": ("timestamp(6) null", "'1970-01-01 02:00:01.000001'", ColumnType.TIMESTAMP_TZ,
                        pa.timestamp("us", "UTC"), dt.datetime(1970, 1, 1, 0, 0, 1, 1, UTC)),
    "b_last_instant": ("timestamp(6) null", "'2038-01-19 05:14:07.999999'", ColumnType.TIMESTAMP_TZ,
                       pa.timestamp("us", "UTC"), dt.datetime(2038, 1, 19, 3, 14, 7, 999999, UTC)),
    "b_trailing": ("varchar(9)", "'a  '", ColumnType.TEXT, pa.string(), "a  "),
    "b_wide_text": ("varchar(9) character set utf16", "'a€😀'", ColumnType.TEXT, pa.string(), "a€😀"),
    "b_not_an_enum": ("enum('a')", "'no such'", ColumnType.TEXT, pa.string(), ""),
    "b_no_set": ("set('a','b')", "''", ColumnType.TEXT, pa.string(), ""),
    "b_varbinary": ("varbinary(4)", "0x0020", ColumnType.BINARY, pa.binary(), b"\0 "),
    "b_no_bytes": ("varbinary(4)", "''", ColumnType.BINARY, pa.binary(), b""),
    "b_polygon": ("geometry", "st_geomfromtext('POLYGON((0 0,0.1 0,0 1e-9,0 0))')", ColumnType.UNKNOWN, pa.string(),
                  "POLYGON((0 0,0.1 0,0 0.000000001,0 0))"),
    "b_generated": ("int as (1 + 1) virtual", "DEFAULT", ColumnType.INTEGER, pa.int32(), 2),
}  # fmt: skip

MARIADB_KEPT: Kept = BOTH_KEPT | {
    "b_epoch": ("timestamp(6) null", "'1970-01-01 02:00:00.000001'", ColumnType.TIMESTAMP_TZ,
                        pa.timestamp("us", "UTC"), dt.datetime(1970, 1, 1, 0, 0, 0, 1, UTC)),
    "b_minus_zero": ("double", "-0e0", ColumnType.FLOAT, pa.float64(), 0.0),  # which is what the server keeps
    "b_scale": ("decimal(38,38)", "0." + "0" * 37 + "1", ColumnType.DECIMAL, pa.decimal128(38, 38), Decimal("0." + "0" * 37 + "1")),
    "a_json": ("json", """'{"n": 12345678901234567890.10, "a":  []}'""", ColumnType.JSON, pa.string(),
               '{"n": 12345678901234567890.10, "a":  []}'),
    "a_uuid": ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", ColumnType.UUID, pa.string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "a_inet": ("inet6", "'::1'", ColumnType.TEXT, pa.string(), "::1"),
    "b_twice": ("json", """'{"a": 1, "a": 2.50}'""", ColumnType.JSON, pa.string(), '{"a": 1, "a": 2.50}'),
    "b_placed": ("point", "st_geomfromtext('POINT(1 2)', 4326)", ColumnType.UNKNOWN, pa.string(), "SRID=4326;POINT(1 2)"),
    "b_inet4": ("inet4", "'1.2.3.4'", ColumnType.TEXT, pa.string(), "1.2.3.4"),
}  # fmt: skip

# What each JSON is here the server made of it: it sorts keys by length, keeps the last of two, and what has a dot or is
# larger than a bigint unsigned becomes a double, unless it comes from a DECIMAL.
MYSQL_KEPT: Kept = BOTH_KEPT | {
    "m_json": ("json", """'{"n": 12345678901234567890.10, "a":  [], "bb": 1, "c": 2, "c": null}'""", ColumnType.JSON, pa.string(),
               '{"a": [], "c": null, "n": 1.2345678901234567e19, "bb": 1}'),
    "m_json_big": ("json", "'[18446744073709551615, -9223372036854775808, 1.0, 1e2, -0.0, 5e-324]'", ColumnType.JSON, pa.string(),
                   "[18446744073709551615, -9223372036854775808, 1.0, 100.0, -0.0, 5e-324]"),
    "m_json_exact": ("json", f"json_array({'9' * 65}, 1.10, -0.{'0' * 29}1)", ColumnType.JSON, pa.string(),
                     f"[{'9' * 65}, 1.10, -0.{'0' * 29}1]"),
    "m_json_text": ("json", r"""'{"ü 😀": "\\u00e9\\u0000\\ud83d\\ude00 \\"q\\" \\\\ \\n /"}'""", ColumnType.JSON, pa.string(),
                    r'{"ü 😀": "é\u0000😀 \"q\" \\ \n /"}'),
    "m_json_scalar": ("json", "'\"x\"'", ColumnType.JSON, pa.string(), '"x"'),
    "m_json_null": ("json", "'null'", ColumnType.JSON, pa.string(), "null"),
    "m_json_typed": ("json", "json_array(date '2020-01-01', time '-30:00:00', true, cast(x'00ff' as json))", ColumnType.JSON,
                     pa.string(), '["2020-01-01", "-30:00:00.000000", true, "base64:type15:AP8="]'),
    "m_scale": ("decimal(30,30)", "0." + "0" * 29 + "1", ColumnType.DECIMAL, pa.decimal128(30, 30), Decimal("0." + "0" * 29 + "1")),
    "m_38": ("decimal(38,0)", "-" + "9" * 38, ColumnType.DECIMAL, pa.decimal128(38, 0), Decimal("-" + "9" * 38)),
    "m_39": ("decimal(39,0)", "9" * 39, ColumnType.DECIMAL, pa.string(), "9" * 39),
    "m_padded": ("decimal(10,2) unsigned zerofill", "1.1", ColumnType.DECIMAL, pa.decimal128(10, 2), Decimal("1.10")),
    "m_double_padded": ("double(10,3) unsigned zerofill", "1.5", ColumnType.FLOAT, pa.float64(), 1.5),
    "m_float_padded": ("float zerofill", "0.1", ColumnType.FLOAT, pa.float32(), 0.10000000149011612),
    "m_float_fixed": ("float(7,3)", "1234.567", ColumnType.FLOAT, pa.float32(), 1234.5670166015625),
    "m_float_53": ("float(53)", "0.1e0 + 0.2e0", ColumnType.FLOAT, pa.float64(), 0.30000000000000004),
    "m_minus_zero": ("double", "-0e0", ColumnType.FLOAT, pa.float64(), -0.0),
    "m_unsigned": ("double unsigned", "1e308", ColumnType.FLOAT, pa.float64(), 1e308),
    "m_umedium": ("mediumint unsigned", "16777215", ColumnType.INTEGER, pa.uint32(), 16777215),
    "m_usmall": ("smallint(3) unsigned zerofill", "65535", ColumnType.INTEGER, pa.uint16(), 65535),
    "m_bits": ("bit(63)", "0x7FFFFFFFFFFFFFFF", ColumnType.INTEGER, pa.uint64(), 2**63 - 1),
    "m_year": ("year", "2155", ColumnType.INTEGER, pa.int16(), 2155),
    "m_leap": ("date", "'2024-02-29'", ColumnType.DATE, pa.date32(), dt.date(2024, 2, 29)),
    "m_time": ("time", "'08:00:00'", ColumnType.TIME, pa.time64("us"), dt.time(8)),
    "m_fraction": ("datetime(2)", "'2020-01-01 10:00:00.99'", ColumnType.TIMESTAMP, pa.timestamp("us"),
                   dt.datetime(2020, 1, 1, 10, 0, 0, 990000)),  # noqa: DTZ001 - without a zone
    # The hour that comes twice in Berlin.
    "m_summer": ("timestamp null", "'2024-10-27 02:30:00+02:00'", ColumnType.TIMESTAMP_TZ, pa.timestamp("us", "UTC"),
                 dt.datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),
    "m_winter": ("timestamp null", "'2024-10-27 02:30:00+01:00'", ColumnType.TIMESTAMP_TZ, pa.timestamp("us", "UTC"),
                 dt.datetime(2024, 10, 27, 1, 30, tzinfo=UTC)),
    "m_no_pad": ("varchar(9) collate utf8mb4_0900_ai_ci", "'ä  '", ColumnType.TEXT, pa.string(), "ä  "),
    "m_char": ("char(9) collate utf8mb4_0900_bin", "'ä  '", ColumnType.TEXT, pa.string(), "ä"),
    "m_sjis": ("varchar(9) character set sjis", "'表ソ'", ColumnType.TEXT, pa.string(), "表ソ"),
    "m_gb18030": ("varchar(9) character set gb18030", "'汉€😀'", ColumnType.TEXT, pa.string(), "汉€😀"),
    "m_utf32": ("text character set utf32", "'a😀'", ColumnType.TEXT, pa.string(), "a😀"),
    "m_national": ("national varchar(9)", "'é€'", ColumnType.TEXT, pa.string(), "é€"),
    "m_bytes": ("char(3) character set binary", "'a'", ColumnType.BINARY, pa.binary(), b"a\0\0"),
    "m_enum": ("enum('a,b','it''s','ü')", "'it''s'", ColumnType.TEXT, pa.string(), "it's"),
    "m_set": ("set('x','ü')", "'ü'", ColumnType.TEXT, pa.string(), "ü"),
    "m_stored": ("int as (2 + 1) stored", "DEFAULT", ColumnType.INTEGER, pa.int32(), 3),
    # EWKT has the longitude first, whatever the order of a reference system's axes.
    "m_placed": ("point srid 4326", "st_geomfromtext('POINT(52.5 13.4)', 4326)", ColumnType.UNKNOWN, pa.string(),
                 "SRID=4326;POINT(13.4 52.5)"),
    "m_placed_line": ("geometry", "st_geomfromtext('LINESTRING(1 2,3 4)', 4326, 'axis-order=long-lat')", ColumnType.UNKNOWN,
                      pa.string(), "SRID=4326;LINESTRING(1 2,3 4)"),
    "m_flat": ("geometry", "st_geomfromtext('POINT(1 2)', 3857)", ColumnType.UNKNOWN, pa.string(), "SRID=3857;POINT(1 2)"),
    "m_nowhere": ("geometry", "0x4F420F000101000000000000000000F03F0000000000000040", ColumnType.UNKNOWN, pa.string(),
                  "SRID=1000015;POINT(1 2)"),  # a reference system that the server does not know
    "m_collection": ("geomcollection", "st_geomfromtext('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))')", ColumnType.UNKNOWN,
                     pa.string(), "GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))"),
    "m_multi": ("multipoint", "st_geomfromtext('MULTIPOINT(1 2,3 4)')", ColumnType.UNKNOWN, pa.string(), "MULTIPOINT((1 2),(3 4))"),
}  # fmt: skip

MYSQL_9_KEPT: Kept = MYSQL_KEPT | {
    "n_vector": ("vector(3)", "to_vector('[1,-2.5,0.1]')", ColumnType.BINARY, pa.binary(), struct.pack("<3f", 1, -2.5, 0.1)),
}  # fmt: skip

FLAGGED: Flagged = {
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
def url(mysql_server: MysqlServer) -> Iterator[str]:
    with databases.mysql_database(mysql_server.url) as made:
        yield made


@pytest.fixture
def session(url: str) -> Iterator[pymysql.cursors.Cursor]:
    """A session two hours from UTC that takes dates which are none."""
    with databases.mysql_session(url) as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+02:00'")
        cursor.execute("DROP TABLE IF EXISTS awkward")
        yield cursor


def kept_by(server: MysqlServer) -> Kept:
    """What this product and version keep."""
    if server.is_mariadb:
        return MARIADB_KEPT
    return MYSQL_KEPT if server.version < (9, 0) else MYSQL_9_KEPT


def test_values_are_kept(
    mysql_server: MysqlServer, url: str, session: pymysql.cursors.Cursor
) -> None:
    kept = kept_by(mysql_server)
    for statement in statements(kept):
        session.execute(statement)
    session.execute("INSERT INTO awkward (a_tiny) VALUES (NULL)")

    with closing(connect(KIND, {"url": url})) as source:
        table, data = read_all(source, "awkward")

    check_kept(table, data, kept)


@pytest.mark.parametrize("name", FLAGGED)
def test_a_value_beyond_its_type_makes_its_column_text_and_no_other(
    name: str, url: str, session: pymysql.cursors.Cursor
) -> None:
    native, odd, kind, text = FLAGGED[name]
    session.execute(f"CREATE TABLE awkward (id int, value {native} NULL, at date)")
    session.execute(f"INSERT INTO awkward VALUES (1, {odd}, '2020-01-01'), (2, NULL, NULL)")

    with closing(connect(KIND, {"url": url})) as source:
        table, data = read_all(source, "awkward")

    check_flagged(table, data, kind, text)
