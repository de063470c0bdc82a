"""What the screening report costs: CPU seconds of a changed stack and of a night without changes, and a page of 1,500 rows.

::

    python benchmarks/report_site.py --config night.toml      # an installation that has been fitted and screened
    python benchmarks/report_site.py --volcanoes 1500         # the front page alone, of made-up rows, in Chromium

Of an installation the site is written into a scratch folder three times: whole, unchanged, and with all pages anew. Printed
as JSON: CPU seconds, and what an unchanged night costs beside a whole one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="an installation to write the site of")
    parser.add_argument("--volcanoes", type=int, default=1500, help="rows of the made-up front page")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {"front": front(Path(folder), args.volcanoes)}
        if args.config:
            found["installation"] = installation(args.config, Path(folder) / "site")
    print(json.dumps(found, indent=1))


def installation(config: str, out: Path) -> dict[str, float | int]:
    """CPU seconds of the three reports of an installation."""
    from insar_anomaly.config.load import load
    from insar_anomaly.pipeline import open_installation
    from insar_anomaly.pipeline.report import write_report

    settings = load(config, secrets=False)
    inline = settings.model_copy(update={"cluster": settings.cluster.model_copy(update={"kind": "inline"})})
    with open_installation(inline) as s:
        first, _ = _timed(lambda: write_report(s, str(out)))
        same, _ = _timed(lambda: write_report(s, str(out)))
        again, done = _timed(lambda: write_report(s, str(out), again=True))
        stacks = len(s.by_stack)
        shape = next((s.store.open(stack, pairs=()).sizes for stack in s.by_stack if s.store.has(stack)), {"y": 0, "x": 0})
        seen = sum(page.read_text().count('class="panels"') for page in (out / "v").glob("*.html"))
    return {
        "stacks": stacks,
        "pixels": int(shape["y"]) * int(shape["x"]),
        "blocks of maps": seen,
        "files": done.files,
        "first, s": round(first, 2),
        "unchanged, s": round(same, 3),
        "all again, s a stack": round(again / max(1, stacks), 2),
        "all again, s a block of maps": round(again / max(1, seen), 2),
        "unchanged to all again": round(same / again, 4),
    }


def front(folder: Path, number: int) -> dict[str, float | int | None]:
    """Size of a front page with all that it loads, CPU seconds to make it, and seconds until a browser has filtered it."""
    import site_rows

    cpu, page = _timed(lambda: site_rows.write_site(folder / "front", number))
    loaded = [page, *(folder / "front" / "assets").iterdir()]
    return {
        "volcanoes": number,
        "made in, s": round(cpu, 2),
        "loaded, MB": round(sum(file.stat().st_size for file in loaded) / 1e6, 2),
        "opened and filtered in Chromium, s": _opened(page),
    }


def _opened(page: Path) -> float | None:
    """Seconds from the address to a filtered table; None without Chromium and its driver."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        taken = []
        for _ in range(3):  # the first one also waits for the browser's own start
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto("about:blank")
            begun = time.monotonic()
            tab.goto(page.as_uri())
            tab.get_by_label("Filter").fill("volcano 77")
            tab.wait_for_function("document.getElementById('count').textContent.includes(' of ')")
            taken.append(time.monotonic() - begun)
            tab.close()
        browser.close()
    return round(min(taken), 2)


def _timed(work):  # type: ignore[no-untyped-def]
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


if __name__ == "__main__":
    main()
