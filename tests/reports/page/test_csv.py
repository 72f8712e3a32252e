from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest

from harness.record.files import write_text
from reports.page.csv import csv_text, neutral
from reports.text import brief, count, interval, listing, number, percent, show, signed

FORMULAS = [
    "=cmd()",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\tx",
    "  =x",
    "\r=x",
    "\n=x",
    "\uff1d1+1",
    "\u00a0=x",
    "\0=x",
    "-",
    "=",
]


@pytest.mark.fault(17, "texts that a spreadsheet takes for formulas, in tables of a report")
@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_neutralised(text: str) -> None:
    assert neutral(text) == "'" + text


@pytest.mark.parametrize("value", ["-0.5", "+3", "-1e-3", -0.5, 7, None, "max_terms", "a=b"])
def test_numbers_and_plain_text_are_untouched(value: object) -> None:
    assert neutral(value) == value


@pytest.mark.fault(17, "quotes, commas, line breaks and NUL in the texts of a table")
@pytest.mark.parametrize("text", ['a"b', "a,b", "a\nb", "a\r\nb", "'", '",=cmd()', '"\n=cmd()', "🙂", "\u202e"])
def test_a_text_stays_in_its_cell(text: str) -> None:
    table = pd.DataFrame({text: [text, "x"], "n": [-0.5, 1]})
    rows = list(csv.reader(io.StringIO(csv_text(table), newline="")))
    assert rows == [[text, "n"], [text, "-0.5"], ["x", "1.0"]]


def test_csv_keeps_numbers_and_neutralises_names_everywhere() -> None:
    table = pd.DataFrame({"=f": ["=a", "b"], "difference": [-0.25, 1e-17], "n": [-1, 2], "mixed": [5, "@x"]})
    assert csv_text(table) == "'=f,difference,n,mixed\n'=a,-0.25,-1,5\nb,1e-17,2,'@x\n"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "page", "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(tmp_path / "page", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    assert (tmp_path / "page").read_text() == "old"


def test_numbers_are_written_for_people() -> None:
    assert number(0.12345) == "0.123"
    assert number(-12.34) == "−12.3"
    assert number(123_456.0) == "123\N{NARROW NO-BREAK SPACE}456"
    assert number(None) == number(float("nan")) == "–"
    assert signed(0.5) == "+0.500"
    assert signed(-0.5) == "−0.500"
    assert brief(24_488.0) == "24.5k"
    assert interval(-0.1, 0.25) == "[−0.100, 0.250]"
    assert percent(0.0001) == "<0.1\N{NARROW NO-BREAK SPACE}%"
    assert percent(0.95) == "95\N{NARROW NO-BREAK SPACE}%"
    assert count(1, "cell") == "1 cell"
    assert count(2, "cell") == "2 cells"
    assert listing(["a", "b", "c"]) == "a, b and c"


def test_names_are_made_printable_and_short() -> None:
    assert show("a\x00b\ud800c") == "a\ufffdb\ufffdc"
    assert len(show("x" * 10_000)) == 60
    assert show([1, 2]) == "[1,2]"
