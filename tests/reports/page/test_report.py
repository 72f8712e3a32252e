from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import reports
from harness.record.study import Study
from reports import write_report
from reports.figures.learning import TRAINING
from reports.text import show
from tests.reports.drawn import draw_only
from tests.reports.synthetic import FakeConfig, plan, write_study

TABLES = {"cells", "curves", "forest", "pairs", "runs", "throughput", "training"}
EXHIBITED = {"horizon", "profiles", "time_curves"}  # of studies with runs such as these
VOID = {"meta", "img", "source", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart; complains about tags that do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.folder = path.parent
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def images(self) -> list[str]:
        uris = [image["src"] for image in self.all("img")] + [source["srcset"] for source in self.all("source")]
        return [base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,")).decode() for uri in uris]


@pytest.fixture(scope="module")
def main_page(main_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(write_report(main_study, tmp_path_factory.mktemp("main")))


def test_nothing_is_fetched(main_page: Page) -> None:
    for _, attributes in main_page.tags:
        for name in ("src", "srcset"):
            assert attributes.get(name, "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    assert not main_page.all("link")
    assert "url(" not in main_page.source
    assert "@import" not in main_page.source
    for svg in main_page.images():
        assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', svg))


def test_the_one_script_is_the_projects_own_and_no_other_may_run(main_page: Page) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", main_page.source, re.DOTALL)
    assert script == (Path(reports.__file__).parent / "page" / "templates" / "report.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in main_page.all("meta") if "http-equiv" in meta]
    assert "default-src 'none'" in policy
    assert policy.endswith(f"script-src 'sha256-{digest}'")


def test_small_tables_are_carried_by_the_page_as_they_stand_beside_it(main_page: Page) -> None:
    carried = [link for link in main_page.all("a") if "download" in link]
    assert {"cells.csv", "forest.csv", "horizon.csv", "pairs.csv"} <= {link["download"] for link in carried}
    for link in carried:
        data = base64.b64decode(link["href"].partition("base64,")[2])
        text = gzip.decompress(data) if link["download"].endswith(".gz") else data
        assert text == (main_page.folder / "tables" / link["download"].removesuffix(".gz")).read_bytes()


def test_links_lead_to_sections_and_tables_that_exist(main_page: Page) -> None:
    ids = {attributes["id"] for _, attributes in main_page.tags if "id" in attributes}
    targets = [link["href"] for link in main_page.all("a")]
    assert {f"tables/{name}.csv" for name in TABLES | EXHIBITED} <= set(targets)
    for target in targets:
        if target.startswith("data:"):
            continue
        assert target[1:] in ids if target.startswith("#") else (main_page.folder / target).is_file()


def test_every_image_is_drawn_and_told(main_page: Page) -> None:
    images = main_page.all("img")
    # the forest, heatmaps, curves over steps and over seconds, profiles, horizon, throughput, training returns
    assert len(images) == 1 + 3 + 3 + 3 + 1 + 1 + 1 + 3
    assert all(len(image["alt"]) > 30 for image in images)
    assert images[0]["alt"].startswith("Forest of paired differences, 16 rows: ")
    assert len(main_page.all("source")) == len(images)
    for svg in main_page.images():
        assert ET.fromstring(svg.encode()).tag.endswith("svg")  # noqa: S314 - our own drawing


def test_light_and_dark_differ_in_colour_alone(main_page: Page) -> None:
    light, dark = main_page.images()[0], main_page.images()[len(main_page.all("img"))]
    assert light != dark
    plain = [re.sub(r"#[0-9a-f]{6}", "#", svg) for svg in (light, dark)]
    assert plain[0] == plain[1]
    assert "prefers-color-scheme: dark" in main_page.source


def test_the_first_screen_says_what_came_out_and_how_sure(main_page: Page) -> None:
    top = main_page.text.split("Differences")[0]
    for words in (
        "Does treating a target's missing terms as zero",
        "It matters: in 8 of 10 cells max_terms converges better than missing_as_zero (by 0.08 to 0.59), in 2 it is",
        "8 different, better",
        "6 vacuous",
        "missing_as_zero (baseline) and max_terms by auc (scaled return: 0 random policy, 1 solved)",
        "16 cells × 2 arms × 10 seeds; schedule round_robin",
        "correction (Holm) for all 10 primary comparisons",
        "within ±0.1, the margin declared before the study ran",
        "320 planned, 320 done, 0 failed",
    ):
        assert words in top


def test_the_control_is_explained_and_shown(main_page: Page) -> None:
    assert "published program’s two versions compute the same targets" in main_page.text
    assert "differ by chance alone" in main_page.text
    assert main_page.text.count("10 of 10 pairs bit-identical, as theory says") == 6


def test_settings_versions_and_aliases_stand_on_the_page(main_page: Page) -> None:
    for words in ("versions.numpy 2.4.0", "commit 0123456789abcdef", "gamma 0.99", "workers 1 | 4", "2 combinations"):
        assert words in main_page.text


def test_an_alias_is_drawn_with_the_number_of_the_cell_that_stands_for_it(main_page: Page) -> None:
    cells = pd.read_csv(main_page.folder / "tables" / "cells.csv")
    chosen = cells[(cells["rollout_length"] == "5") & (cells["n_step"] == 5)]
    heatmap = main_page.images()[1]
    for difference in chosen["difference"]:
        number = f"{difference:+.3f}".replace("-", "−")
        assert f">{number}<" in heatmap
        assert f">= {number}<" in heatmap


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(sweep={"target": ["missing_as_zero", "max_terms"], "n_step": [1, 5]}))
    one, other = write_report(study, tmp_path / "one"), write_report(study, tmp_path / "other")
    assert one.read_bytes() == other.read_bytes()
    for name in TABLES:
        paths = [folder / "tables" / f"{name}.csv" for folder in (one.parent, other.parent)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_bug_in_the_control_is_said_first_and_in_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_only(monkeypatch)

    def differ(run: Any, output: dict[str, Any]) -> None:
        if run.arm == "max_terms":
            output["arrays"]["parameters"]["parameters"][0] += 1

    page = Page(write_report(write_study(tmp_path, plan(base={"rollout_length": "episode"}), change=differ)))
    assert page.text.index("A bug: in 1 cell") < page.text.index("Compared")
    assert {"class": "alarm", "role": "alert"} in page.all("p")
    assert {"class": "bad"} in page.all("td")


FORMULA = "-1\n=cmd|' /C calc'!A0"
HOSTILE = [
    "<script>alert(1)</script> \x00 \u202e😀 $x_{$ \"'&",
    '</script></style></title></svg>]]><!-- {{ 7 * 7 }}{% raw %}{# javascript:alert(1)//" onload="alert(1)'
    + "x" * 9000,
]


@pytest.mark.fault(
    17, "markup, scripts, template and formula code, NUL, right-to-left marks, 10 kB in a report's names"
)
@pytest.mark.parametrize("text", HOSTILE, ids=["script", "tags"])
def test_hostile_names_are_escaped_everywhere(tmp_path: Path, text: str) -> None:
    data = plan(
        study={"name": text[:200], "question": f"{text}</p><img src=x onerror=alert(1)> =cmd()" * 20, "seeds": 5},
        sweep={
            "=regime<b>": {FORMULA: {"rollout_length": 20}, text * 5: {"rollout_length": "episode"}},
            f"@{text}": {"=1+1": {"target": "missing_as_zero"}, text: {"target": "max_terms"}},
        },
        compare={"factor": f"@{text}", "baseline": "=1+1", "metric": "auc"},
    )
    page = Page(write_report(write_study(tmp_path, data, points=3)))
    assert len(page.all("script")) == len(page.all("title")) == len(page.all("style")) == 1
    assert len(page.all("img")) == len(page.all("source"))
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert all(target.startswith(("#", "data:", "tables/")) for link in page.all("a") for target in [link["href"]])
    assert show(text)[:40].strip() in page.text
    assert not {*page.source} & {*"\x00\u202e"}
    for svg in page.images():
        drawn = ET.fromstring(svg.encode())  # noqa: S314 - our own drawing
        assert not [e for e in drawn.iter() if e.tag.endswith(("script", "image", "foreignObject"))]
    tables = sorted((tmp_path / "tables").glob("*.csv"))
    assert {*TABLES} <= {path.stem for path in tables}
    for path in tables:
        for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")):
            for cell in row:
                assert not cell.startswith(("=", "@", "\t", "\r", "+")), (path.name, cell[:50])
                assert not cell.startswith("-") or math.isfinite(float(cell)), (path.name, cell[:50])


ARMS3 = {"gamma": [0.9, 0.99, 0.999], "regime": {"cut": {"rollout_length": 20}, "whole": {"rollout_length": "episode"}}}
BY_EPISODE = {"total_episodes": 500, "total_steps": None, "rollout_length": "episode", "schedule": "hogwild"}


def by_arm(config: FakeConfig) -> float:
    return float(np.random.default_rng([config.seed, round(config.gamma * 1000)]).normal(0.5, 0.1))


def bare(run: Any, output: dict[str, Any]) -> None:
    output.update(metrics={}, timings={}, curves={}, tables={}, arrays={})


@pytest.mark.fault(16, "studies without runs, half done, with one seed, failed or diverged runs")
@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (plan(), {"skip": lambda run: True}, ["No run has finished", "10 planned, 0 done, 0 failed, 10 not run yet"]),
        (plan(study={"name": "x", "seeds": 1}), {}, ["1 cell with fewer than 5 pairs: points only, no interval"]),
        (plan(), {"skip": lambda run: run.seed > 2}, ["not complete: 6 of 10", "4 not run yet"]),
        (plan(), {"fail": lambda run: run.seed == 0}, ["2 failed runs", "killed by signal 9"]),
        (plan(), {"diverge": lambda run: True}, ["10 runs diverged", "1 cell in which every run diverged"]),
        (
            plan(),
            {"diverge": lambda run: run.arm == "max_terms"},
            ["5 runs diverged", "max_terms is behind missing_as_zero"],
        ),
        (plan(), {"change": bare}, ["10 finished runs without the compared metric", "No run recorded evaluations"]),
        (
            plan(sweep=ARMS3, compare={"factor": "gamma", "baseline": 0.99, "metric": "final"}),
            {"score": by_arm},
            ["0.99 (baseline), 0.9 and 0.999", "gamma 0.9 minus 0.99", "gamma 0.999 is "],
        ),
        (plan(base=BY_EPISODE), {}, ["500 episodes a run", "Nothing to compare: the arms computed the same targets"]),
    ],
    ids=["none", "one-seed", "half", "failed", "diverged", "arm-diverged", "bare", "three-arms", "episodes"],
)
def test_any_study_has_a_page_that_says_so(
    tmp_path: Path, data: dict[str, Any], options: dict[str, Any], words: list[str]
) -> None:
    page = Page(write_report(write_study(tmp_path, data, points=3, **options)))
    for phrase in words:
        assert phrase in page.text
    assert "nan" not in page.text.replace("\N{NARROW NO-BREAK SPACE}", " ").lower().split()


def test_training_returns_are_open_where_the_budget_is_in_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_only(monkeypatch, TRAINING)
    by_episode = Page(write_report(write_study(tmp_path / "a", plan(base=BY_EPISODE), points=3)))
    by_step = Page(write_report(write_study(tmp_path / "b", plan(), points=3)))

    def folded(page: Page) -> bool:
        section = page.source.split('<section id="training">')[1]
        return section.index("<details>") < section.index("</section>") if "<details>" in section else False

    assert not folded(by_episode)
    assert folded(by_step)


@pytest.mark.slow
def test_many_cells_make_a_page_of_reasonable_size(tmp_path: Path) -> None:
    sweep = {"target": ["missing_as_zero", "max_terms"], "gamma": [0.9, 0.99], "n_step": [1, 2, 3, 4, 5]}
    study = write_study(tmp_path, plan(sweep={**sweep, "workers": [1, 4]}), points=25)
    path = write_report(study)
    assert path.stat().st_size < 3_500_000
    # the forest, heatmaps, curves over steps and over seconds, profiles, horizon, throughput, training returns
    assert len(Page(path).all("img")) == 1 + 2 + 2 + 2 + 1 + 1 + 1 + 2


def test_the_report_can_be_written_elsewhere(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", plan(), skip=lambda run: True)
    assert write_report(study, tmp_path / "a" / "b") == tmp_path / "a" / "b" / "report.html"
    assert not (study.folder / "report.html").exists()
    assert {path.stem for path in (tmp_path / "a" / "b" / "tables").iterdir()} == TABLES


def test_the_public_face_is_pinned_and_cheap_to_import() -> None:
    assert reports.__all__ == [
        "compare_cells",
        "paired_differences",
        "runs_table",
        "seeds_wanted",
        "write_comparison",
        "write_report",
    ]
    assert all(callable(getattr(reports, name)) for name in reports.__all__)
    with pytest.raises(AttributeError):
        _ = reports.nothing_of_the_kind
    heavy = "{'pandas', 'matplotlib', 'seaborn', 'scipy', 'numpy', 'jinja2'}"
    code = f"import sys, reports; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
