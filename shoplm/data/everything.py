"""All that a shop's table files hold, whatever version names them: what old versions and unfinished imports left behind, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from shoplm.data import contract
from shoplm.data.convert import name_in_sql, text_in_sql


class Everything:
    """SQL over all data files of the contract's tables in a folder, each table with a column ``_file``."""

    def __init__(self, tables: Path) -> None:
        self.files: Mapping[str, list[Path]] = {name: sorted((tables / name).glob("*.parquet")) for name in contract.TABLES}
        self._con = duckdb.connect(":memory:", config={"autoload_known_extensions": "false", "autoinstall_known_extensions": "false"})
        self._con.execute("SET python_enable_replacements=false; SET TimeZone='UTC'; SET preserve_insertion_order=false")
        for name, files in self.files.items():
            empty = ", ".join(
                f"CAST(NULL AS {'VARCHAR' if pa.types.is_string(f.type) else 'VARCHAR[]' if pa.types.is_list(f.type) else _sql(f.type)}) AS {name_in_sql(f.name)}"
                for f in contract.TABLES[name].schema
            )
            select = f"SELECT {empty}, CAST(NULL AS VARCHAR) AS _file WHERE false"
            if files:
                listed = ", ".join(text_in_sql(str(file)) for file in files)
                select += f" UNION ALL BY NAME SELECT * FROM read_parquet([{listed}], union_by_name=true, filename='_file')"
            self._con.execute(f"CREATE VIEW {name} AS {select}")

    def has(self, table: str) -> bool:
        """Has ``table`` any file?"""
        return bool(self.files[contract.table(table).name])

    def sql(self, query: str) -> pa.Table:
        """The answer to one SELECT."""
        return self._con.sql(query).to_arrow_table()

    def holding(self, table: str, condition: str) -> set[Path]:
        """The files of ``table`` in which ``condition`` holds for a row."""
        if not self.has(table):
            return set()
        names: Iterable[str] = self.sql(f"SELECT DISTINCT _file FROM {table} WHERE {condition}")["_file"].to_pylist()
        return {Path(name) for name in names}

    def close(self) -> None:
        """Let go of the files."""
        self._con.close()


def _sql(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ"
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    return {pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}[kind]
