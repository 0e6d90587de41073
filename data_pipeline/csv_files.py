"""CSV bars, plain or zipped as the exchange archives them, to an Arrow table with the file's own column names."""

import csv
import io
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from data_pipeline.columns import HEADERLESS, match_columns
from data_pipeline.errors import InputError

CUT_SHORT = "the file is cut short or damaged; fetch it again"
_NULLS = ["", "null", "NULL", "None", "NA", "N/A"]


def csv_bytes(path: Path) -> bytes:
    """The bytes of a .csv file, or of the one CSV inside a .zip. Raises InputError when the archive is damaged."""
    if path.suffix.lower() == ".csv":
        return path.read_bytes()
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.lower().endswith(".csv") and "__MACOSX" not in name]
            if len(members) != 1:
                raise InputError(
                    f"the archive holds {len(members)} CSV files", where=path.name, remedy="give an archive with one"
                )
            return archive.read(members[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise InputError(f"not a readable zip archive ({error})", where=path.name, remedy=CUT_SHORT) from None


def parse_csv(content: bytes, where: str) -> pa.Table:
    """Parse CSV bytes to a table with the file's own column names; `where` names the file in errors.

    Open times and unused columns stay text, every other known column becomes float64. Without a header line the columns
    are those of an exchange archive (12 or 11 fields) or open time and OHLCV (6).

    Raises InputError for an empty file, unknown columns, and the first row with too few fields or a field that is no
    number.
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    first = content.split(b"\n", 1)[0].decode("utf-8", errors="replace").strip()
    if not first:
        raise InputError("there are no bars", where=where, remedy="give a file with at least one bar")
    separator = max(",;\t", key=first.count)
    fields = next(csv.reader([first], delimiter=separator))
    header = not _is_number(fields[1] if len(fields) > 1 else fields[0])
    if header:
        names = fields
    elif len(fields) in HEADERLESS:
        names = list(HEADERLESS[len(fields)])
    else:
        raise InputError(
            f"{len(fields)} fields without a header line", where=f"{where}, row 0", remedy="add a header line"
        )
    found = match_columns(names, where)
    kinds = {name: pa.string() for name in names}
    kinds |= {found[name]: pa.float64() for name in found if name != "open_time"}
    try:
        return pa_csv.read_csv(
            pa.BufferReader(content),
            read_options=pa_csv.ReadOptions(column_names=names, skip_rows=int(header)),
            parse_options=pa_csv.ParseOptions(delimiter=separator),
            convert_options=pa_csv.ConvertOptions(column_types=kinds, null_values=_NULLS, strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise InputError("there are no bars", where=where, remedy="give a file with at least one bar") from None
        _explain_bad_csv(content, where, names, {found[name]: name for name in found}, separator, header)
        raise InputError(f"not readable as CSV ({error})", where=where, remedy=CUT_SHORT) from None


def _explain_bad_csv(
    content: bytes, where: str, names: list[str], meaning: dict[str, str], separator: str, header: bool
) -> None:
    """Raise InputError for the first row that a second, slow reading finds wrong; return when it finds none."""
    lines = csv.reader(io.StringIO(content.decode("utf-8", errors="replace"), newline=""), delimiter=separator)
    rows = [row for row in lines if row][int(header) :]
    for number, row in enumerate(rows):
        place = f"{where}, row {number}" + (f" ({row[0]})" if row[0] else "")
        if len(row) != len(names):
            remedy = CUT_SHORT if number == len(rows) - 1 else "mend or drop the row"
            raise InputError(f"{len(row)} fields where there should be {len(names)}", where=place, remedy=remedy)
        for name, text in zip(names, row, strict=True):
            if name in meaning and meaning[name] != "open_time" and text not in _NULLS and not _is_number(text):
                raise InputError(
                    f"{meaning[name]} {text!r} is not a number", where=place, remedy="mend or drop the row"
                )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
