"""The report as a browser shows it: nothing fetched, nothing complained of, sorted and filtered, at any width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from reports import write_report
from reports.page.films import Film
from tests.browser.conftest import Browser
from tests.reports.synthetic import FakeConfig, plan, write_study
from tests.sharing import made_once

GIF = bytes.fromhex("47494638396101000100800000000000ffffff2c00000000010001000002024401003b")
EFFECTS = {1: 0.4, 5: -0.3, 15: 0.0}


def score(config: FakeConfig) -> float:
    noise = np.random.default_rng([config.seed, config.n_step, config.workers, len(config.target)]).normal(0, 0.05)
    return float(0.5 + EFFECTS[config.n_step] * (config.target == "max_terms") + noise)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the report of a study with better, worse, undecided and vacuous cells lies."""
    return (made_once(tmp_path_factory, "page", make) / "a study" / "report.html").as_uri()


def make(place: Path) -> None:
    data = plan(
        study={"name": "a study", "question": "Does it matter?", "seeds": 10},
        sweep={"target": ["missing_as_zero", "max_terms"], "rollout_length": [20, "episode"], "n_step": list(EFFECTS)},
        compare={"factor": "target", "baseline": "missing_as_zero", "primary": [{"rollout_length": 20}]},
    )

    def vacuous_is_same(config: FakeConfig) -> float:
        same = config if config.rollout_length == 20 else config.model_copy(update={"target": "missing_as_zero"})
        return score(same)

    study = write_study(place / "a study", data, score=vacuous_is_same, points=3)
    write_report(study, films=[Film(study.cells[0].id, GIF, "a pole, balanced", "both arms", 1, 1)])


def rows_of(browser: Browser) -> list[list[str]]:
    """The rows of the table of cells that are to be seen."""
    script = """return [...document.querySelectorAll("#all-cells tbody tr")].filter((row) => row.offsetParent)
        .map((row) => [...row.cells].map((cell) => (cell.querySelector("summary") ?? cell).textContent.trim()))"""
    rows: list[list[str]] = browser.driver.execute_script(script)
    return rows


def column(browser: Browser, name: str) -> list[str]:
    heads = browser.driver.find_elements(By.CSS_SELECTOR, "#all-cells thead tr > *")
    place = [head.text.strip(" ↕↑↓\n").replace("\n", " ") for head in heads].index(name)
    return [row[place] for row in rows_of(browser)]


def button(browser: Browser, name: str) -> Any:
    return browser.driver.find_element(By.XPATH, f"//table[@id='all-cells']//th/button[normalize-space()='{name}']")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_it_opens_without_a_complaint_or_a_request_and_fits(
    browser: Browser, page: str, width: int, dark: bool
) -> None:
    browser.open(page, width=width, height=844, dark=dark)
    requests = [url for url in browser.requests() if not url.startswith("data:")]
    assert requests == [page]
    assert browser.complaints() == []
    page_width = "const root = document.documentElement; return [innerWidth, root.scrollWidth - root.clientWidth]"
    assert browser.driver.execute_script(page_width) == [width, 0]
    broken = "return [...document.images].filter((i) => i.complete && !i.naturalWidth).length"
    assert browser.driver.execute_script(broken) == 0
    shade = "return getComputedStyle(document.body).backgroundColor"
    assert browser.driver.execute_script(shade) == ("rgb(20, 24, 28)" if dark else "rgb(255, 255, 255)")


def test_the_first_screen_holds_question_answer_and_how_sure(browser: Browser, page: str) -> None:
    browser.open(page, width=1280, height=800)
    card = browser.driver.find_element(By.CSS_SELECTOR, "section.card")
    assert card.rect["y"] + card.rect["height"] <= 800
    for words in (
        "It matters: in 1 of 3 primary cells",
        "How sure",
        "CartPole-v1",
        "10 seeds",
        "120 planned, 120 done",
    ):
        assert words in card.text


def test_a_click_or_a_key_sorts_up_then_down_then_back(browser: Browser, page: str) -> None:
    browser.open(page)
    before = column(browser, "difference")
    head = button(browser, "difference")
    head.click()
    rising = [float(text.replace("−", "-")) for text in column(browser, "difference") if text]
    assert rising == sorted(rising)
    assert len(rising) == 3
    assert column(browser, "difference")[3:] == ["", "", ""], "what has no value stays last"
    assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"
    head.send_keys(Keys.ENTER)
    falling = [float(text.replace("−", "-")) for text in column(browser, "difference") if text]
    assert falling == rising[::-1]
    assert column(browser, "difference")[3:] == ["", "", ""]
    assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"
    head.send_keys(Keys.SPACE)
    assert column(browser, "difference") == before
    assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") is None
    button(browser, "n_step").click()
    assert column(browser, "n_step") == ["1", "1", "5", "5", "15", "15"], "levels that are numbers sort as numbers"
    assert browser.complaints() == []


def test_rows_are_filtered_by_verdict_group_level_and_words(browser: Browser, page: str) -> None:
    browser.open(page)
    told = browser.driver.find_element(By.CSS_SELECTOR, ".controls output")
    choices = {
        label.text.split("\n")[0].strip(): label
        for label in browser.driver.find_elements(By.CSS_SELECTOR, ".controls label")
    }

    def choose(name: str, value: str) -> None:
        Select(choices[name].find_element(By.TAG_NAME, "select")).select_by_visible_text(value)

    assert told.get_attribute("aria-live") == "polite"
    assert told.text == "6 of 6 rows shown"
    choose("verdict", "vacuous")
    assert told.text == "3 of 6 rows shown"
    assert column(browser, "rollout_length") == ["episode"] * 3
    choose("n_step", "5")
    assert len(rows_of(browser)) == 1
    choose("group", "primary")
    assert told.text == "0 of 6 rows shown"
    browser.driver.find_element(By.CSS_SELECTOR, ".controls button").click()
    browser.driver.execute_async_script("setTimeout(arguments[0], 20)")
    assert told.text == "6 of 6 rows shown"
    browser.driver.find_element(By.CSS_SELECTOR, ".controls input").send_keys("different worse")
    assert [row[0] for row in rows_of(browser)] == ["20"]
    assert "DIFFERENT, worse" in column(browser, "verdict")[0]
    assert browser.complaints() == []


def test_without_scripts_every_row_is_there_and_no_dead_control(browser: Browser, page: str) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(page)
        rows = browser.driver.find_elements(By.CSS_SELECTOR, "#all-cells tbody tr")
        assert len(rows) == 6
        assert all(row.is_displayed() for row in rows)
        assert not browser.driver.find_element(By.CSS_SELECTOR, ".controls").is_displayed()
        assert not browser.driver.find_elements(By.CSS_SELECTOR, "th button")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_link_below_a_figure_gives_the_table_itself(browser: Browser, page: str, tmp_path: Path) -> None:
    browser.open(page)
    allowed = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", allowed)
    link = browser.driver.find_element(By.CSS_SELECTOR, '#differences a.csv[href="#data-forest"]')
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
    link.click()
    taken = tmp_path / "forest.csv"
    for _ in range(100):
        if taken.exists() and taken.stat().st_size:
            break
        browser.driver.execute_async_script("setTimeout(arguments[0], 50)")
    beside = Path(page.removeprefix("file://").replace("%20", " ")).parent / "tables" / "forest.csv"
    assert taken.read_bytes() == beside.read_bytes()


def test_a_film_stands_still_for_those_who_want_less_motion(browser: Browser, page: str) -> None:
    browser.open(page)
    film = browser.driver.find_element(By.CSS_SELECTOR, "details.film")
    assert film.get_attribute("open") is None
    still = {"features": [{"name": "prefers-reduced-motion", "value": "no-preference"}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", still)
    browser.driver.refresh()
    film = browser.driver.find_element(By.CSS_SELECTOR, "details.film")
    assert film.get_attribute("open") is not None
    assert film.find_element(By.TAG_NAME, "img").get_attribute("alt") == "a pole, balanced"


def test_the_keyboard_finds_the_skip_link_first(browser: Browser, page: str) -> None:
    browser.open(page)
    browser.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    focused = browser.driver.switch_to.active_element
    assert focused.text == "Skip to the results"
    assert focused.rect["x"] >= 0
    focused.send_keys(Keys.ENTER)
    assert browser.driver.current_url.endswith("#content")


def test_print_is_light_open_and_without_controls(browser: Browser, page: str) -> None:
    browser.open(page, dark=True)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    shade = "return getComputedStyle(document.body).backgroundColor"
    assert browser.driver.execute_script(shade) == "rgb(255, 255, 255)"
    assert not browser.driver.find_element(By.CSS_SELECTOR, ".controls").is_displayed()
    assert browser.driver.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    browser.driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.driver.execute_script("return document.querySelectorAll('details:not([open])').length") > 3
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_inside_another_page_that_lets_it_save_nothing_no_link_pretends_to(
    browser: Browser, page: str, tmp_path: Path
) -> None:
    outer = tmp_path / "viewer.html"
    outer.write_text(f'<iframe sandbox="allow-scripts" src="{page}" width="1200" height="700"></iframe>')
    browser.open(outer.as_uri())
    browser.driver.switch_to.frame(0)
    data = browser.driver.find_element(By.ID, "data")
    assert not data.find_elements(By.TAG_NAME, "a")
    assert data.find_element(By.CSS_SELECTOR, ".framed").is_displayed()
    assert "cells.csv" in data.text
    browser.driver.switch_to.default_content()
    assert browser.complaints() == []
    browser.open(page)
    assert not browser.driver.find_element(By.CSS_SELECTOR, ".framed").is_displayed()
