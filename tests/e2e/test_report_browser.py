"""The report of a real run in a real browser: marks, menus, values, downloads; no errors, no requests."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

import synthetic
from prunescope.files import write_text
from prunescope.findings import verdicts
from prunescope.report.experiment import Experiment
from prunescope.report.overview import overview_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason="chromium or chromedriver is missing (Debian: chromium, chromium-driver)",
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def results(built, tmp_path_factory):
    """The results of the tiny experiment, its report among them."""
    project = built.copy(tmp_path_factory.mktemp("report") / "project")
    project.snakemake("results/tiny/report.html", "--resources", "gpu=0")
    return project.folder / "results/tiny"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.downloads = folder / "downloads"
    behaviour = {"behavior": "allow", "downloadPath": str(driver.downloads)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    driver.get("about:blank")
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, results):
    """The report, freshly opened from disk, all charts drawn."""
    browser.get_log("browser"), browser.get_log("performance")
    browser.get((results / "report.html").as_uri())
    wait(browser, lambda: browser.execute_script("return document.body.dataset.ready"))
    return browser


def wait(browser, condition):
    return WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda _: condition())


def cells(browser, chart: str, row: str, column: str) -> dict:
    """The text alternatives of a heatmap's cells: value by row and column."""
    labels = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(cell => cell.getAttribute('aria-label'))",
        f"#chart-{chart} path[aria-roledescription='rect mark']",
    )
    found = {}
    for label in labels:
        said = dict(part.split(": ", 1) for part in label.split("; "))
        found[said[row], said[column]] = float(said["similarity"])
    return found


def expected(results, measure: str, seed: str, columns: list[str], **only) -> dict:
    table = pd.read_parquet(results / "similarity.parquet")
    table = table[(table["measure"] == measure) & (table["seed_a"] == table["seed_b"])]
    table = table[table["layer_a"] == table["layer_b"]]
    for name, value in only.items():
        table = table[table[name] == value]
    if seed != "all":
        table = table[table["seed_a"] == int(seed)]
    means = table.groupby(columns)["value"].mean()
    return {tuple(map(str, key)): pytest.approx(value, abs=2e-6) for key, value in means.items()}


def menu(browser, name: str) -> Select:
    return Select(browser.find_element(By.ID, name))


def values(select: Select) -> list[str]:
    return [option.get_attribute("value") for option in select.options]


def test_every_measure_and_seed_shows_the_numbers_of_the_matrix(page, results):
    measures, seeds = values(menu(page, "measure")), values(menu(page, "seed"))
    assert measures == ["cca", "cka_debiased", "svcca"] and seeds == ["all", "0", "1"]
    for measure in measures:
        for seed in seeds:
            menu(page, "measure").select_by_value(measure)
            menu(page, "seed").select_by_value(seed)
            want = expected(results, measure, seed, ["layer_a", "round_a"], round_b=0)
            wait(page, lambda want=want: cells(page, "dense", "layer", "round") == want)


def test_every_layer_shows_its_rounds(page, results):
    for layer in values(menu(page, "layer")):
        menu(page, "layer").select_by_value(layer)
        want = expected(results, "cca", "all", ["round_a", "round_b"], layer_a=layer)
        wait(page, lambda want=want: cells(page, "rounds", "round a", "round b") == want)


def test_the_keyboard_is_enough(page, results):
    page.execute_script("document.getElementById('measure').focus()")
    page.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    want = expected(results, "svcca", "all", ["layer_a", "round_a"], round_b=0)
    wait(page, lambda: cells(page, "dense", "layer", "round") == want)
    page.switch_to.active_element.send_keys(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("id") == "seed"


def test_a_pointer_shows_the_exact_value_n_and_rank(page, results):
    cell = page.find_elements(By.CSS_SELECTOR, "#chart-dense path[aria-roledescription='rect mark']")[-1]
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    webdriver.ActionChains(page).move_to_element(cell).perform()
    tip = wait(page, lambda: page.find_element(By.ID, "vg-tooltip-element").text)
    table = pd.read_parquet(results / "similarity.parquet")
    dense = table[
        (table["measure"] == "cca") & (table["round_b"] == 0) & (table["seed_a"] == table["seed_b"])
    ]
    said = dict(re.findall(r"^(.+?)\s+(\S+)$", tip, re.MULTILINE))
    rows = dense[(dense["layer_a"] == said["layer"]) & (dense["round_a"] == int(said["round"]))]
    assert float(said["similarity"]) == pytest.approx(rows["value"].mean(), abs=2e-6)
    assert int(said["n (rows)"].replace(",", "")) == rows["n"].min()
    assert int(said["rank a"]) == rows["rank_a"].min()


def test_all_charts_have_marks_and_a_text_alternative(page):
    charts = page.execute_script(
        """return [...document.querySelectorAll("figure")].map(figure => [
             figure.dataset.name,
             figure.querySelectorAll(".mark-rect path, .mark-symbol path").length,
             figure.querySelector("[role=graphics-document]").getAttribute("aria-label")])"""
    )
    assert {name for name, _, _ in charts} == {
        "dense",
        "lines",
        "profile",
        "rounds",
        "accuracy",
        "density",
        "training",
    }
    for name, marks, text in charts:
        assert marks >= 3 and len(text) > 40, name


def test_data_and_vector_image_are_saved_without_a_network(page, results):
    for button in page.find_elements(By.CSS_SELECTOR, "#chart-dense button"):
        button.send_keys(Keys.ENTER)
    table, image = page.downloads / "dense.csv", page.downloads / "dense.svg"
    wait(page, lambda: table.exists() and image.exists())
    want = pd.read_parquet(results / "similarity.parquet")
    want = want[(want["round_b"] == 0) & (want["seed_a"] == want["seed_b"])]
    got = pd.read_csv(table)
    assert len(got) == len(want)
    assert got["value"].sum() == pytest.approx(want["value"].sum(), rel=1e-5)
    assert ElementTree.parse(image).getroot().tag.endswith("svg")


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_cut_off(page, width):
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    page.refresh()
    wait(page, lambda: page.execute_script("return document.body.dataset.ready"))
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    wide = page.execute_script(
        "return [...document.querySelectorAll('.chart svg')].map(one => one.clientWidth)"
    )
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert all(0.5 * min(width, 600) < one <= width for one in wide)


def test_no_error_and_no_request_to_any_host(page):
    menu(page, "measure").select_by_index(1)
    menu(page, "seed").select_by_index(1)
    assert page.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert {address.split(":")[0] for address in asked} <= {"file", "data", "blob"}


def test_overview_draws_all_experiments_on_one_scale(browser, tmp_path):
    shapes = {"conv1": [8, 8, 8], "conv2": [8, 4, 4], "output": [10]}
    measures = {name: synthetic.MEASURES[name] for name in ("cca", "cka")}
    experiments = []
    for name, middle in (("parent", 0.6), ("control", 0.2)):
        table = synthetic.similarity(3, list(shapes), [0, 1], list(measures), middle)
        accuracy = synthetic.accuracy(3, [0, 1])
        found = verdicts.conclude(name, table, accuracy, shapes, measures, primary="cca", margin=0.05)
        experiments.append(Experiment(name, synthetic.SETTINGS, list(shapes), table, accuracy, found))
    write_text(tmp_path / "overview.html", overview_page(experiments, measures))
    browser.get_log("browser")
    browser.get((tmp_path / "overview.html").as_uri())
    wait(browser, lambda: browser.execute_script("return document.body.dataset.ready"))
    menu(browser, "measure").select_by_value("cka")
    for one in experiments:
        table = one.similarity
        table = table[(table["measure"] == "cka") & (table["round_b"] == 0)]
        means = table.groupby(["layer_a", "round_a"])["value"].mean()
        want = {tuple(map(str, key)): pytest.approx(value, abs=2e-6) for key, value in means.items()}
        wait(
            browser,
            lambda name=one.name, want=want: cells(browser, f"dense-{name}", "layer", "round") == want,
        )
    assert browser.get_log("browser") == []
