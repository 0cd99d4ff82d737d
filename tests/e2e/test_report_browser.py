"""The report of a real run in a real browser: marks, menus, values, downloads, no errors, no requests."""

import base64
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from importlib.resources import files

import pandas as pd
import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

import synthetic
from prunescope.files import write_text
from prunescope.findings.slices import PRUNED
from prunescope.report.experiment import Experiment
from prunescope.report.overview import overview_page
from prunescope.report.page import render
from prunescope.report.sections import contents

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
    """The results of the tiny experiment, including its report."""
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
    """The report, freshly opened from disk."""
    browser.get_log("browser"), browser.get_log("performance")
    browser.get("about:blank")
    browser.get((results / "report.html").as_uri())
    ready(browser)
    return browser


def wait(browser, condition):
    """Wait until a condition is true; look again for elements of a chart that is redrawn."""
    again = [NoSuchElementException, StaleElementReferenceException]
    return WebDriverWait(browser, 30, poll_frequency=0.05, ignored_exceptions=again).until(
        lambda _: condition()
    )


def ready(browser):
    """Wait until the charts in view show what the menus have selected."""
    script = "return document.body.dataset.ready === JSON.stringify(state)"
    wait(browser, lambda: browser.execute_script(script))


def rows(browser, chart: str) -> list[dict]:
    """Scroll to a chart, and return the rows of the table behind it."""
    browser.execute_script(f"document.getElementById('chart-{chart}').scrollIntoView()")
    ready(browser)
    script = """
      const box = document.querySelector(`#chart-${arguments[0]} details.data`);
      box.open = true;
      const cells = (row) => [...row.cells].map((cell) => cell.textContent);
      const table = box.querySelector("table");
      return table && table.dataset.shown === JSON.stringify(state) ? [...table.rows].map(cells) : null;
    """
    head, *body = wait(browser, lambda: browser.execute_script(script, chart))
    return [dict(zip(head, row, strict=True)) for row in body]


def cells(browser, chart: str, row: str, column: str) -> dict:
    """The values of a heatmap by row and column."""
    return {(one[row], one[column]): float(one["mean"]) for one in rows(browser, chart)}


def expected(results, measure: str, seed: str, columns: list[str], **only) -> dict:
    table = pd.read_parquet(results / "similarity.parquet")
    table = table[(table["measure"] == measure) & (table["seed_a"] == table["seed_b"])]
    table = table[table["layer_a"] == table["layer_b"]]
    for name, value in only.items():
        table = table[table[name] == value]
    if seed != "all":
        table = table[table["seed_a"] == int(seed)]
    means = table.groupby(columns)["value"].mean()
    return {tuple(map(str, key)): pytest.approx(value, abs=2e-5) for key, value in means.items()}


def menu(browser, name: str) -> Select:
    return Select(browser.find_element(By.ID, name))


def values(select: Select) -> list[str]:
    return [option.get_attribute("value") for option in select.options]


def test_every_measure_and_seed_shows_the_numbers_of_the_matrix(page, results):
    measures, seeds = values(menu(page, "measure")), values(menu(page, "seed"))
    assert len(measures) > 1 and seeds == ["all", "0", "1"]
    for measure in measures:
        for seed in seeds:
            menu(page, "measure").select_by_value(measure)
            menu(page, "seed").select_by_value(seed)
            want = expected(results, measure, seed, ["layer_a", "round_a"], round_b=0)
            assert cells(page, "dense", "layer", "round") == want


def test_charts_out_of_view_follow_the_menus_for_a_print(page, results):
    """Without scrolling: what is printed must not show the values of another measure."""
    measure, layer = values(menu(page, "measure"))[1], values(menu(page, "layer"))[0]
    menu(page, "measure").select_by_value(measure)
    want = expected(results, measure, "all", ["round_a", "round_b"], layer_a=layer)
    texts = "#chart-rounds .role-mark text"
    script = f"return [...document.querySelectorAll('{texts}')].map((one) => one.textContent)"
    cells = sorted(f"{value.expected:.2f}" for value in want.values())
    wait(page, lambda: not Counter(cells) - Counter(page.execute_script(script)))


def test_the_description_of_a_chart_has_the_finding_that_is_shown(page):
    page.execute_script("delete Element.prototype.ariaLabel")  # as in Firefox before version 119
    for measure in values(menu(page, "measure")):
        menu(page, "measure").select_by_value(measure)
        ready(page)
        title, label = page.execute_script(
            "const figure = document.getElementById('chart-profile');"
            "const label = figure.querySelector('.chart').getAttribute('aria-label');"
            "return [figure.querySelector('h3').textContent, label]"
        )
        assert label.startswith(title) and "Line chart" in label


def test_what_is_drawn_is_what_the_table_says(page):
    shown = rows(page, "dense")
    texts = page.execute_script(
        "return [...document.querySelectorAll('#chart-dense .role-mark text')].map((one) => one.textContent)"
    )
    chance = pd.DataFrame(shown).astype({"chance": float}).groupby("layer")["chance"].max()
    wanted = [float(row["mean"]) for row in shown] + list(chance)
    assert sorted(texts) == sorted([*(f"{value:.2f}" for value in wanted), "chance"])


def test_every_layer_shows_its_rounds(page, results):
    measure = values(menu(page, "measure"))[0]
    for layer in values(menu(page, "layer")):
        menu(page, "layer").select_by_value(layer)
        want = expected(results, measure, "all", ["round_a", "round_b"], layer_a=layer)
        assert cells(page, "rounds", "round", "round_b") == want


def slide(browser, place: int) -> str:
    """Move the slider to one of the rounds, and return the round."""
    browser.execute_script(
        "const slider = document.getElementById('round'); slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input'))",
        place,
    )
    ready(browser)
    return browser.execute_script("return state.round")


def test_the_slider_changes_sentence_cards_and_charts(page, results):
    found = json.loads((results / "findings.json").read_text())
    script = """
      const visible = (one) => one.checkVisibility();
      const texts = (query) =>
        [...document.querySelectorAll(query)].filter(visible).map((one) => one.textContent);
      return [texts(".sentence"), texts(".card .value strong"), texts("output")];
    """
    last, first = slide(page, 99), slide(page, 0)
    assert (first, last) == ("0", str(found["last_round"]))
    for round in (first, "1"):
        assert slide(page, int(round)) == round
        (sentence,), values, (text,) = page.execute_script(script)
        want = "".join(part for part, _ in found["sentences_by_round"][round]["sentence"])
        assert sentence.replace("\u00a0", " ") == want
        levels = [one for one in found["levels"].values() if isinstance(one, dict) and one.get("available")]
        assert len(values) == len(levels) >= 2
        assert page.execute_script("return document.getElementById('round').ariaValueText") == text
        want = expected(
            results, values_of_measure(page), "all", ["layer_a", "round_a"], round_b=0, round_a=int(round)
        )
        shown = [row for row in rows(page, "profile") if row["series"] == "pruned" and row["seed"] == "all"]
        assert {(row["layer"], row["round"]): float(row["mean"]) for row in shown} == want
        title = page.execute_script("return document.querySelector('#chart-profile h3').textContent")
        assert ("itself" if round == "0" else f"after {round} round") in title


def values_of_measure(browser) -> str:
    return menu(browser, "measure").first_selected_option.get_attribute("value")


def test_a_layer_that_is_pointed_at_is_marked_everywhere(page):
    rows(page, "profile")
    page.execute_script(
        "for (const one of document.querySelectorAll('details')) one.open = true;"
        "document.querySelector('[data-layer=relu1]').focus()"
    )
    script = """
      const lit = (name) => document.getElementById(`chart-${name}`).views.map((view) => view.signal("lit"));
      return [document.querySelectorAll("tr.lit").length, lit("profile")];
    """
    page.execute_script("document.getElementById('chart-profile').scrollIntoView()")
    wait(page, lambda: page.execute_script(script) == [1, ["relu1"]])
    page.execute_script("document.activeElement.blur()")
    wait(page, lambda: page.execute_script(script) == [0, [""]])
    # A chart that comes into view later has the mark, too.
    page.execute_script(
        "document.body.style.paddingBottom = '3000px'; scrollTo(0, document.body.scrollHeight)"
    )
    wait(page, lambda: page.execute_script("return visible.size === 0"))
    page.execute_script("document.querySelector('[data-layer=relu1]').focus({preventScroll: true})")
    wait(page, lambda: page.execute_script(script) == [1, [""]])
    page.execute_script("document.getElementById('chart-profile').scrollIntoView()")
    wait(page, lambda: page.execute_script(script) == [1, ["relu1"]])


def test_the_theme_follows_the_system_until_another_is_chosen(page):
    script = "return getComputedStyle(document.documentElement).backgroundColor"
    light = page.execute_script(script)
    page.find_element(By.ID, "theme").click()
    dark = page.execute_script(script)
    assert dark != light and "theme=dark" in page.current_url
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    printed = page.execute_script(script)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert printed == light
    page.refresh()
    ready(page)
    assert page.execute_script(script) == dark


def test_the_address_keeps_what_is_shown(page, results):
    other = values(menu(page, "measure"))[1]
    menu(page, "measure").select_by_value(other)
    menu(page, "seed").select_by_value("1")
    slide(page, 1)
    # A link of the contents keeps what is selected, and the address then leads to its section.
    page.execute_script("document.querySelector('nav a[href=\"#weights-section\"]').click()")
    wait(page, lambda: "seed=1" in page.current_url)
    address = page.current_url
    assert "#weights-section?" in address
    page.get("about:blank")
    page.get(address)
    ready(page)
    top = "return document.getElementById('weights-section').getBoundingClientRect().top"
    assert 0 <= page.execute_script(top) < 450 and page.execute_script("return scrollY") > 0
    assert page.execute_script("return state.round") == "1"
    assert menu(page, "measure").first_selected_option.get_attribute("value") == other
    want = expected(results, other, "1", ["layer_a", "round_a"], round_b=0)
    assert cells(page, "dense", "layer", "round") == want


def test_the_keyboard_is_enough(page, results):
    second = values(menu(page, "measure"))[1]
    page.execute_script("document.getElementById('measure').focus()")
    page.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    want = expected(results, second, "all", ["layer_a", "round_a"], round_b=0)
    assert cells(page, "dense", "layer", "round") == want
    page.execute_script("document.getElementById('measure').focus()")
    page.switch_to.active_element.send_keys(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("id") == "seed"


def test_a_menu_does_not_wait_for_idle_time(page, results):
    """A browser that is busy, or whose page nobody looks at, may not call back for a long time."""
    script = {"source": "window.requestIdleCallback = () => {}"}
    added = page.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
    page.refresh()
    page.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    rows(page, "dense")
    second = values(menu(page, "measure"))[1]
    menu(page, "measure").select_by_value(second)
    want = expected(results, second, "all", ["layer_a", "round_a"], round_b=0)
    assert cells(page, "dense", "layer", "round") == want
    assert "complete" not in page.execute_script("return Object.keys(document.body.dataset)")


def test_a_pointer_shows_the_exact_value_n_and_rank(page, results):
    shown = rows(page, "dense")
    cells = "#chart-dense .mark-rect.role-mark path"
    script = "[...document.querySelectorAll(arguments[0])].at(-1).scrollIntoView({block: 'center'})"
    page.execute_script(script, cells)
    ready(page)

    def tooltip() -> str:
        cell = page.find_elements(By.CSS_SELECTOR, cells)[-1]
        webdriver.ActionChains(page).move_to_element(cell).perform()
        return page.find_element(By.ID, "vg-tooltip-element").text

    tip = wait(page, tooltip)
    said = dict(re.findall(r"^(.+?)\s+(\S+)$", tip, re.MULTILINE))
    (row,) = [one for one in shown if (one["layer"], one["round"]) == (said["layer"], said["round"])]
    assert float(said["similarity"]) == pytest.approx(float(row["mean"]), abs=1e-4)
    assert int(said["n (rows)"].replace(",", "")) == int(row["n"])
    assert said["status"] == row["status"].split()[-1]


def test_every_chart_has_marks_and_a_description_and_no_warning(page):
    names = page.execute_script(
        "return [...document.querySelectorAll('figure')].map((one) => one.dataset.name)"
    )
    wanted = {"profile", "layers", "dense", "rounds", "density", "dead", "accuracy", "agreement", "training"}
    assert wanted <= set(names) and names[0] == "card-weights"
    for name in names:
        rows(page, name)
        marks, label = page.execute_script(
            "const figure = document.getElementById(`chart-${arguments[0]}`);"
            "return [figure.querySelectorAll('.mark-rect path, .mark-symbol path').length,"
            "        figure.querySelector('[role=img]').getAttribute('aria-label')]",
            name,
        )
        assert marks >= 3 and len(label) > 20, name
    assert page.get_log("browser") == []


def saved(browser, chart: str, name: str) -> list:
    """Press the buttons of a chart, and return its files: CSV, SVG, PNG."""
    browser.execute_script(f"document.getElementById('chart-{chart}').scrollIntoView()")
    ready(browser)
    browser.execute_script(
        f"for (const one of document.querySelectorAll('#chart-{chart} [data-save]')) one.click()"
    )
    files = [browser.downloads / f"{name}.{suffix}" for suffix in ("csv", "svg", "png")]
    wait(browser, lambda: all(file.exists() for file in files))
    return files


def test_data_and_images_are_saved_under_names_that_say_what_they_show(page, results):
    measure = values_of_measure(page)
    shown = rows(page, "dense")
    table, image, picture = saved(page, "dense", f"tiny_representations_dense_measure-{measure}_seed-all")
    got = pd.read_csv(table)
    assert len(got) == len(shown)
    assert got["mean"].sum() == pytest.approx(sum(float(row["mean"]) for row in shown), rel=1e-4)
    text = image.read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg") and "var(" not in text
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5000
    slide(page, 1)
    saved(page, "profile", f"tiny_representations_profile_measure-{measure}_seed-all_round-1")


def test_small_charts_are_saved_as_one_image(page):
    measure = values_of_measure(page)
    _, image, _ = saved(page, "layers", f"tiny_representations_layers_measure-{measure}_seed-all")
    whole = ElementTree.parse(image).getroot()
    inner = [one for one in whole if one.tag.endswith("}svg")]
    assert len(inner) == len(page.find_elements(By.CSS_SELECTOR, "#chart-layers .chart")) > 1
    boxes = [[float(one.get(key)) for key in ("x", "y", "width", "height")] for one in inner]
    width, height = float(whole.get("width")), float(whole.get("height"))
    assert all(x + w <= width and y + h <= height for x, y, w, h in boxes)
    assert len({(x, y) for x, y, *_ in boxes}) == len(boxes)


@pytest.mark.parametrize("width", [1440, 1280, 320])
def test_nothing_is_cut_off(page, width):
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        page.refresh()
        ready(page)
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        script = """
          return [...document.querySelectorAll(".chart svg")].map((one) => one.getBoundingClientRect().width)
        """
        assert all(100 < one <= width for one in page.execute_script(script))
        if width == 1440:
            bottom = "return document.querySelector('.cards').getBoundingClientRect().bottom"
            assert page.execute_script(bottom) <= 900
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("pointed", [False, True])
def test_axe_finds_no_violation(page, theme, pointed):
    feature = {"name": "prefers-color-scheme", "value": theme}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        page.refresh()
        ready(page)
        if pointed:
            rows(page, "profile")
            wait(
                page,
                lambda: page.execute_script("return document.getElementById('chart-profile').views?.length"),
            )
            marks = page.find_elements(By.CSS_SELECTOR, "#chart-profile .mark-symbol path")
            webdriver.ActionChains(page).move_to_element(marks[0]).perform()
            wait(page, lambda: page.find_element(By.ID, "vg-tooltip-element").is_displayed())
        page.execute_script(files("axe_core_python").joinpath("axe.min.js").read_text())
        found = page.execute_async_script("axe.run().then(arguments[0])")
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert found["passes"] and [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []


def test_without_javascript_there_are_images_and_tables_and_nothing_dead(browser, results):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get((results / "report.html").as_uri())
        boxes = browser.find_elements(By.CSS_SELECTOR, ".chart")
        assert len(boxes) >= 7
        assert all(box.find_elements(By.CSS_SELECTOR, "svg path") for box in boxes)
        assert all(box.size["height"] > 50 for box in boxes)
        dead = browser.find_elements(By.CSS_SELECTOR, "select, input, button, details.data")
        assert dead and not any(one.is_displayed() for one in dead)
        assert (
            len([one for one in browser.find_elements(By.CLASS_NAME, "sentence") if one.is_displayed()]) == 1
        )
        assert browser.find_elements(By.CSS_SELECTOR, "tbody td")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_everything_is_printed(page):
    wait(page, lambda: page.execute_script("return document.body.dataset.complete"))
    opened, tables = page.execute_script(
        "window.dispatchEvent(new Event('beforeprint'));"
        "const tables = [...document.querySelectorAll('details.data .scroll')];"
        "return [[...document.querySelectorAll('details')].every((one) => one.open),"
        "        tables.map((one) => one.querySelectorAll('tbody tr').length)]"
    )
    assert opened and tables and min(tables) > 0, "the tables are there at once"
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        hidden = page.execute_script("return getComputedStyle(document.querySelector('.menus')).display")
        boxes = page.execute_script(
            "const boxes = [...document.querySelectorAll('.scroll')];"
            "return boxes.map((one) => [one.scrollHeight, one.clientHeight])"
        )
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == "none" and all(whole <= shown + 1 for whole, shown in boxes)


def test_names_are_shown_and_not_run(browser, tmp_path):
    name = "<script>document.title = 'run'</script><b>x"
    layers = ["conv1", name, "output"]
    shapes = {"conv1": [8, 8, 8], name: [8, 4, 4], "output": [10]}
    table, accuracy = synthetic.similarity(3, layers, [0, 1, 2], ["cca"]), synthetic.accuracy(3, [0, 1, 2])
    measures = {"cca": synthetic.MEASURES["cca"] | {"label": name}}
    found = synthetic.findings(name, table, accuracy, shapes, measures, synthetic.VERDICTS)
    settings = synthetic.SETTINGS | {"description": name}
    tables = {PRUNED: synthetic.level_tables(name, table, accuracy)}
    made = {
        "networks": synthetic.networks(3, layers, [0, 1, 2]),
        "training": synthetic.training(3, [0, 1, 2], 2),
    }
    one = Experiment(name, settings, layers, table, accuracy, found, tables=tables, **made)
    write_text(tmp_path / "report.html", render(contents(one, measures, {"commit": name})))
    browser.get((tmp_path / "report.html").as_uri())
    ready(browser)
    assert rows(browser, "dense")[0]["layer"] in layers
    assert name in browser.title and browser.find_elements(By.TAG_NAME, "b") == []
    assert name in browser.find_element(By.TAG_NAME, "h1").text


def test_no_error_and_no_request_to_any_host(page):
    menu(page, "measure").select_by_index(1)
    menu(page, "seed").select_by_index(1)
    ready(page)
    assert page.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert {address.split(":")[0] for address in asked} <= {"file", "data", "blob", "about"}


def test_overview_draws_all_experiments_on_one_scale(browser, tmp_path):
    shapes = {"conv1": [8, 8, 8], "conv2": [8, 4, 4], "output": [10]}
    measures = {name: synthetic.MEASURES[name] for name in ("cca", "cka")}
    experiments = []
    for name, middle in (("parent", 0.6), ("control", 0.2)):
        table = synthetic.similarity(3, list(shapes), [0, 1], list(measures), middle)
        accuracy = synthetic.accuracy(3, [0, 1])
        found = synthetic.findings(name, table, accuracy, shapes, measures, synthetic.VERDICTS)
        experiments.append(Experiment(name, synthetic.SETTINGS, list(shapes), table, accuracy, found))
    write_text(tmp_path / "overview.html", overview_page(experiments, measures))
    browser.get_log("browser")
    browser.get((tmp_path / "overview.html").as_uri())
    ready(browser)
    menu(browser, "measure").select_by_value("cka")
    for one in experiments:
        table = one.similarity
        table = table[(table["measure"] == "cka") & (table["round_b"] == 0)]
        means = table.groupby(["layer_a", "round_a"])["value"].mean()
        want = {tuple(map(str, key)): pytest.approx(value, abs=2e-5) for key, value in means.items()}
        assert cells(browser, f"dense-{one.name}", "layer", "round") == want
    assert browser.get_log("browser") == []


# --- Snakemake's own report --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_report(results):
    """The page that `snakemake --report` makes."""
    folder = results.parents[1]
    command = [sys.executable, "-m", "snakemake", "--report", "own.html"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "own.html"


def press(browser, element) -> None:
    """Click an element wherever it is: the report's header covers elements scrolled below it."""
    browser.execute_script("arguments[0].click()", element)


def follow(browser, text: str) -> None:
    """Click an entry of the menu of Snakemake's report, the last one of this name."""

    def entry():
        entries = browser.find_elements(By.CSS_SELECTOR, "a, button")
        return next((one for one in reversed(entries) if one.text.strip() == text), None)

    press(browser, wait(browser, entry))


def listed(browser) -> list[tuple[dict[str, str], list]]:
    """The rows of a category in Snakemake's report: labels and buttons of each."""
    head, *rows = browser.find_elements(By.TAG_NAME, "tr") or [None]
    names = [cell.text.lower() for cell in head.find_elements(By.TAG_NAME, "th")] if head else []
    cells = [[cell.text for cell in row.find_elements(By.TAG_NAME, "td")] for row in rows]
    return [
        (dict(zip(names[:-1], texts, strict=False)), row.find_elements(By.TAG_NAME, "a"))
        for texts, row in zip(cells, rows, strict=True)
    ]


@pytest.mark.slow
def test_snakemakes_report_explains_and_names_what_it_shows(browser, own_report):
    browser.set_window_size(1440, 900)
    browser.get_log("performance")
    browser.get(own_report.as_uri())
    page = browser.find_element(By.TAG_NAME, "body")
    wait(browser, lambda: "Open an experiment's Report first" in page.text)
    follow(browser, "Results")
    follow(browser, "Figures")
    labels = [labels for labels, _ in wait(browser, lambda: listed(browser))]
    assert {
        "figure": "Similarity of a layer between rounds",
        "measure": "debiased CKA",
        "layer": "relu1",
    } in labels
    assert {"figure": "Test accuracy", "measure": "", "layer": ""} in labels
    captions = {}
    for kind, place in {one["figure"]: place for place, one in enumerate(labels)}.items():
        press(browser, wait(browser, lambda: listed(browser))[place][1][-1])
        captions[kind] = wait(browser, lambda: browser.find_elements(By.CLASS_NAME, "prose-invert"))[0].text
        follow(browser, "Figures")
    assert len(captions) == len(set(captions.values())) >= 12, "each kind of figure has a caption of its own"
    browser.refresh()
    follow(browser, "Results")
    follow(browser, "Report")
    rows = wait(browser, lambda: listed(browser))
    (link,) = [buttons[0].get_attribute("href") for one, buttons in rows if "Findings" in one["figure"]]
    text = base64.b64decode(link.partition("base64,")[2]).decode()
    assert "A verdict needs at least 3 seeds" in text and "{" not in text.replace("`landscape: {}`", "")
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"]
    assert not [url for url in urls if not url.startswith(("file:", "data:", "blob:", "about:"))]
