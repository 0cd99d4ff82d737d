"""Size and speed of reports: 21 rounds × 30 layers × 5 seeds × 4 measures, and a smaller one, in one run.

``python tests/benchmarks/bench_report.py [FOLDER]`` writes the reports to FOLDER (default: a temporary one).
First paint needs chromium and chromedriver; without them only sizes and times of writing are printed.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "workflow/scripts")]

import synthetic  # noqa: E402
from prunescope.files import write_text  # noqa: E402
from prunescope.findings import slices  # noqa: E402
from prunescope.report import figures  # noqa: E402
from prunescope.report.experiment import Experiment  # noqa: E402
from prunescope.report.page import render  # noqa: E402
from prunescope.report.sections import contents  # noqa: E402

SIZES = {"small": (6, 5, 2, ["cca"]), "large": (21, 30, 5, ["cca", "svcca", "pwcca", "cka"])}


def main(folder: Path) -> None:
    for name, (rounds, count, seeds, names) in SIZES.items():
        layers = [f"layer{1 + place // 8}.{place % 8}.relu" for place in range(count - 1)] + ["output"]
        shapes = {layer: [8, 8, 8] for layer in layers[:-1]} | {"output": [10]}
        table = synthetic.across_seeds(synthetic.similarity(rounds, layers, range(seeds), names), 0.7)
        accuracy = synthetic.accuracy(rounds, range(seeds))
        networks = synthetic.networks(rounds, layers, range(seeds))
        measures = {measure: synthetic.MEASURES[measure] for measure in names}
        retrained = (table.assign(value=1 - (1 - table["value"]) / 5), accuracy)
        start = time.process_time()
        given = synthetic.VERDICTS | {"primary": names[0]}
        found = synthetic.findings(
            name, table, accuracy, shapes, measures, given, {slices.RETRAINED: retrained}
        )
        behind = {slices.PRUNED: (name, table), slices.RETRAINED: ("retrained", retrained[0])}
        page = contents(
            Experiment(
                name,
                synthetic.SETTINGS,
                layers,
                table,
                accuracy,
                found,
                tables={
                    series: synthetic.level_tables(one, matrix, accuracy)
                    for series, (one, matrix) in behind.items()
                },
                networks=networks,
                training=synthetic.training(rounds, range(seeds), 30),
            ),
            measures,
            {},
        )
        html = render(page)
        write_text(folder / f"{name}.html", html)
        written = time.process_time()
        drawn = figures.draw_all(page, 5.5, {"measure": names[:1], "layer": layers})
        figures.save(drawn, {}, folder / f"{name}-figures", ["svg", "pdf", "png"], 200)
        print(
            f"{name}: {len(table)} rows; report {len(html) / 1e6:.2f} MB in {written - start:.1f} s of "
            f"processor time; {len(drawn)} figures in {time.process_time() - written:.1f} s",
            flush=True,
        )
    if shutil.which("chromium") and shutil.which("chromedriver"):
        for name in SIZES:
            print(f"{name}: first paint {paint(folder / f'{name}.html')}")


def paint(path: Path) -> str:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    wait = WebDriverWait(browser, 60, poll_frequency=0.02)
    try:
        browser.set_window_size(1440, 900)
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        browser.get(path.as_uri())
        wait.until(lambda _: browser.execute_script("return document.body.dataset.ready"))
        metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        busy = next(one["value"] for one in metrics if one["name"] == "TaskDuration")
        first, ready, longest = browser.execute_script(f"return [{FIRST}, performance.now(), {LONGEST}]")
        switched, after = change(browser, wait, MEASURE)
        slid, longest_slid = change(browser, wait, SLIDER)
    finally:
        browser.quit()
    return (
        f"{first / 1000:.2f} s, first screen interactive {ready / 1000:.2f} s ({busy:.2f} s of processor), "
        f"another measure {switched / 1000:.2f} s, another round {slid / 1000:.2f} s; longest task "
        f"{longest / 1000:.2f} s, then {after / 1000:.2f} s and {longest_slid / 1000:.2f} s"
    )


def change(browser, wait, what: str) -> tuple[float, float]:
    """Change what the page shows, and return the time until it is drawn and the longest task, in ms."""
    browser.execute_script(f"window.tasks = []; window.switched = 0; {what} {AWAIT}")
    wait.until(lambda _: browser.execute_script("return window.switched"))
    return tuple(browser.execute_script(f"return [window.switched, {LONGEST}]"))


WATCH = """
  window.tasks = [];
  new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((one) => one.duration)))
    .observe({ type: "longtask", buffered: true });
"""
FIRST = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
LONGEST = "Math.max(0, ...window.tasks)"
MEASURE = """
  const control = document.getElementById("measure");
  control.selectedIndex = control.options.length - 1;
"""
SLIDER = """
  const control = document.getElementById("round");
  control.value = 1;
"""
AWAIT = """
  const start = performance.now();
  control.dispatchEvent(new Event(control.options ? "change" : "input"));
  const look = () => document.body.dataset.ready === JSON.stringify(state)
    ? (window.switched = performance.now() - start) : setTimeout(look, 5);
  look();
"""


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
