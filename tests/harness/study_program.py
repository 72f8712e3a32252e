"""A program that runs a study of the fake algorithm: what the tests of signals send them to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness import HarnessError, parse_spec, run_study
from tests.harness.lab import FAKE, decide_by_name


def main(data: str, options: str) -> int:
    try:
        given = json.loads(options)
        judge = decide_by_name if given.pop("judged", False) else None
        run_study(parse_spec(json.loads(data)), FAKE, report=_report, judge=judge, **given)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _report(study: object) -> list[Path]:
    page = Path("page.txt")
    page.write_text("as good as any", encoding="utf-8")
    return [page]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
