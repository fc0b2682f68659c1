#!/usr/bin/env python3
"""Opens a report in Chromium and uses it as a reader does.

usage: browser_test.py TEST_REPORT [--keep DIR]
  TEST_REPORT  the test program that writes the report to look at (test_report)
  --keep DIR   leaves the report and pictures of it in DIR
Exit status 77: there is no Chromium here, so nothing was tested.
"""

import base64
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from chromium import Chromium

SKIPPED = 77
SIZES = {"desktop": (1280, 900), "phone": (375, 812)}
browser = None
report = ""


def find_chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        # Ubuntu's package is a script that asks for a snap.
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    return None


class Report(unittest.TestCase):
    def open(self, size="desktop", **how):
        width, height = SIZES[size]
        browser.open(report, width, height, **how)

    def test_loads_without_complaint_and_asks_for_nothing(self):
        self.open()
        self.assertEqual(browser.complaints(), [])
        requests = browser.requests()
        self.assertEqual(len(requests), 1, requests)
        self.assertTrue(requests[0].endswith("/report.html"))

    def test_headings_are_in_order(self):
        self.open()
        levels = browser.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1]))")
        self.assertEqual(levels[0], 1)
        self.assertEqual(levels.count(1), 1)
        self.assertGreater(len(levels), 8)
        for before, level in zip(levels, levels[1:]):
            self.assertLessEqual(level, before + 1, levels)

    def test_contents_lead_somewhere(self):
        self.open()
        lost = browser.evaluate("[...document.querySelectorAll('nav a')].map((a) => a.getAttribute('href'))"
                                ".filter((href) => !document.querySelector(href))")
        self.assertEqual(lost, [])
        ids = browser.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
        self.assertEqual(len(ids), len(set(ids)))

    def cells(self):
        return browser.evaluate(
            "[...document.querySelector('[data-arm]:not([hidden])').querySelectorAll("
            "'[data-part=cells] text')].map((t) => t.textContent)")

    def test_slider_moves_what_is_shown(self):
        self.open()
        last = self.cells()
        browser.evaluate("document.querySelector('input[type=range]').focus()")
        browser.press("ArrowLeft", 37)
        before = self.cells()
        self.assertNotEqual(last, before)
        self.assertEqual(len(last), len(before))
        position = browser.evaluate("document.querySelector('input[type=range]').getAttribute('aria-valuetext')")
        self.assertEqual(position, "Epoch 3 of 4")
        self.assertIn("Epoch 3", browser.evaluate("document.getElementById('announcement').textContent"))
        subtitle = browser.evaluate("document.querySelector('[data-arm]:not([hidden]) "
                                    "[data-part=subtitle]').textContent")
        self.assertEqual(subtitle, "Epoch 3, seed 0")
        browser.press("ArrowRight", 39)
        self.assertEqual(self.cells(), last)
        browser.press("Home", 36)
        self.assertNotEqual(self.cells(), before)

    def test_slider_paints_as_the_file_does(self):
        """The colours that the script gives the last epoch are those of the picture as it was written."""
        self.open()
        look = ("[...document.querySelectorAll('[data-arm]:not([hidden]) [data-part=cells] rect')]"
                ".map((r) => r.getAttribute('fill'))")
        painted = browser.evaluate(look)
        folder = os.path.join(os.path.dirname(report), "figures")
        written = []
        for name in ("routing", "topology", "conflict"):
            for layer in (0, 1):
                with open(os.path.join(folder, f"{name}_cdsp_layer_{layer}.svg"), encoding="utf-8") as file:
                    cells = file.read().split('data-part="cells"')[1].split("</g>")[0]
                written += re.findall(r'<rect[^>]* fill="(#[0-9a-f]{6})"', cells)
        self.assertEqual(len(painted), len(written))
        # The page rounds a value's place on the scale to a hundredth.
        far = [(a, b) for a, b in zip(painted, written)
               if max(abs(int(a[i:i + 2], 16) - int(b[i:i + 2], 16)) for i in (1, 3, 5)) > 6]
        self.assertEqual(far, [])

    def test_arms_can_be_chosen(self):
        self.open()
        arms = browser.evaluate("[...document.querySelectorAll('select[name=arm] option')].map((o) => o.value)")
        self.assertEqual(arms[0], "cdsp")
        self.assertIn("baseline", arms)
        self.choose("document.querySelector('select[name=arm]')", "baseline")
        shown = browser.evaluate("[...document.querySelectorAll('[data-arm]:not([hidden])')]"
                                 ".map((b) => b.dataset.arm)")
        self.assertEqual(shown, ["baseline"])

    def choose(self, select, value):
        browser.evaluate(f"(() => {{ const s = {select}; s.value = '{value}';"
                         "s.dispatchEvent(new Event('change')); })()")

    def test_a_seed_holds_for_the_whole_page(self):
        self.open()
        seeds = "[...document.querySelectorAll('select[name=seed]')]"
        self.assertGreater(browser.evaluate(seeds + ".length"), 3)
        self.assertEqual(set(browser.evaluate(seeds + ".map((s) => s.value)")), {"0"})
        self.choose("document.querySelector('#experiment-3 select[name=seed]')", "2")
        self.assertEqual(set(browser.evaluate(seeds + ".map((s) => s.value)")), {"2"})
        self.assertIn("seed 2", browser.evaluate("document.getElementById('announcement').textContent"))
        subtitles = browser.evaluate("[...document.querySelectorAll('[data-seeded] [data-part=subtitle], "
                                     "[data-arm]:not([hidden]) [data-part=subtitle]')].map((t) => t.textContent)")
        self.assertEqual([text for text in subtitles if not text.endswith("seed 2")], [])
        # The cells are those of the file.
        with open(os.path.join(os.path.dirname(report), "comparison.json"), encoding="utf-8") as file:
            runs = json.load(file)["runs"]
        run = next(run for run in runs if run["arm"] == "cdsp" and run["seed"] == 2)
        written = [f"{share:.2f}" for row in run["blind_routing"][0] for share in row]
        shown = browser.evaluate("[...[...document.querySelectorAll('#experiment-3 svg')].find((s) => "
                                 "s.querySelector('title').textContent === 'CDSP, task withheld')"
                                 ".querySelectorAll('[data-part=cells] text')].map((t) => t.textContent)")
        self.assertEqual(len(shown), len(written))
        self.assertLess(max(abs(float(a) - float(b)) for a, b in zip(shown, written)), 0.011)

    def test_the_epoch_stays_when_the_seed_changes(self):
        self.open()
        browser.evaluate("document.querySelector('input[type=range]').focus()")
        browser.press("ArrowLeft", 37)
        before = self.cells()
        self.choose("document.querySelector('[data-explorer] select[name=seed]')", "1")
        self.assertNotEqual(self.cells(), before)
        self.assertEqual(browser.evaluate("document.querySelector('[data-arm]:not([hidden]) "
                                          "[data-part=subtitle]').textContent"), "Epoch 3, seed 1")

    def test_every_arm_is_named_in_charts_by_arm(self):
        self.open()
        names = ["Baseline", "Blind baseline", "CDSP", "baseline-task-dropout", "cdsp-blind", "no-conflict"]
        texts = browser.evaluate("[...[...document.querySelectorAll('#experiment-3 svg')].find((s) => "
                                 "s.querySelector('title').textContent === 'Separation index, task withheld')"
                                 ".querySelectorAll('text')].map((t) => t.textContent)")
        for name in names:
            self.assertEqual(texts.count(name), 1, texts)

    def test_pictures_use_the_width_that_they_have(self):
        for size in SIZES:
            self.open(size)
            narrow = browser.evaluate(
                "[...document.querySelectorAll('figure')].filter((f) => f.offsetWidth && "
                "f.querySelector('svg').getBoundingClientRect().width < 0.95 * Math.min(f.offsetWidth, 576))"
                ".map((f) => f.querySelector('title').textContent)")
            self.assertEqual(narrow, [], size)

    def test_findings_are_inside_a_phone(self):
        self.open("phone")
        self.assertEqual(browser.evaluate(
            "[...document.querySelectorAll('table.claims td')].filter((cell) => "
            "cell.getBoundingClientRect().right > innerWidth).length"), 0)

    def test_tables_sort_both_ways(self):
        self.open()
        column = ("[...document.querySelector('#results table').tBodies[0].rows]"
                  ".map((r) => parseFloat(r.cells[7].textContent))")
        click = "document.querySelector('#results table thead').rows[0].cells[7].querySelector('button').click()"
        state = "document.querySelector('#results table thead').rows[0].cells[7].getAttribute('aria-sort')"
        browser.evaluate(click)
        rising = browser.evaluate(column)
        self.assertEqual(browser.evaluate(state), "ascending")
        self.assertGreater(len(set(rising)), 2)
        self.assertEqual(rising, sorted(rising))
        browser.evaluate(click)
        self.assertEqual(browser.evaluate(state), "descending")
        self.assertEqual(browser.evaluate(column), sorted(rising, reverse=True))

    def test_what_is_absent_sorts_last(self):
        self.open()
        cells = "[...document.querySelector('#results table').tBodies[0].rows].map((r) => r.cells[4].textContent)"
        click = "document.querySelector('#results table thead').rows[0].cells[4].querySelector('button').click()"
        for _ in range(2):
            browser.evaluate(click)
            self.assertEqual(browser.evaluate(cells)[-1], "-")

    def test_copies_a_table_as_csv(self):
        self.open()
        browser.evaluate("Object.defineProperty(navigator, 'clipboard', "
                         "{value: {writeText: async (text) => { window.copied = text; }}})")
        browser.evaluate("document.execCommand = () => { window.copied = document.activeElement.value; return true; }")
        browser.evaluate("document.querySelector('#results .copy').click()")
        text = browser.evaluate("new Promise((done) => setTimeout(() => done(window.copied), 50))")
        rows = list(csv.reader(io.StringIO(text)))
        self.assertEqual(rows[0][:3], ["Arm", "Seeds", "Training accuracy (%)"])
        self.assertEqual(len(rows), 1 + browser.evaluate(
            "document.querySelector('#results table').tBodies[0].rows.length"))
        self.assertEqual({len(row) for row in rows}, {11})
        self.assertEqual(rows[1][4], "95.14")
        self.assertIn("Copied", browser.evaluate("document.querySelector('#results .copied').textContent"))

    def test_no_width_overflows(self):
        for size in SIZES:
            self.open(size)
            width = browser.evaluate("document.documentElement.scrollWidth")
            self.assertLessEqual(width, SIZES[size][0], size)
            browser.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            self.assertLessEqual(browser.evaluate("document.documentElement.scrollWidth"), SIZES[size][0], size)

    def test_wide_content_is_reached_by_keyboard(self):
        self.open("phone")
        unreached = browser.evaluate(
            "[...document.querySelectorAll('.scroller')].filter((s) => s.scrollWidth > s.clientWidth + 1 && "
            "(s.tabIndex !== 0 || s.getAttribute('role') !== 'region' || !s.getAttribute('aria-label'))).length")
        self.assertEqual(unreached, 0)

    def test_pictures_and_tables_speak(self):
        self.open()
        self.assertEqual(browser.evaluate(
            "[...document.querySelectorAll('svg')].filter((s) => s.getAttribute('role') !== 'img' || "
            "!s.querySelector('title').textContent || s.querySelector('desc').textContent.length < 20).length"), 0)
        self.assertEqual(browser.evaluate(
            "[...document.querySelectorAll('table')].filter((t) => !t.caption || "
            "t.querySelector('th:not([scope])')).length"), 0)
        tree = browser.call("Accessibility.getFullAXTree")["nodes"]
        names = {node["role"]["value"]: node["name"]["value"] for node in tree
                 if node.get("role") and node.get("name") and not node.get("ignored")}
        self.assertTrue(names["slider"].startswith("Epoch"), names["slider"])
        self.assertIn("columnheader", names)

    def contrast_faults(self):
        """Text whose contrast to its ground is below 4.5:1 (WCAG AA), of the page and of the pictures' inks."""
        return browser.evaluate("""(() => {
          const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
          const light = ([r, g, b]) => {
            const f = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
            return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
          };
          const groundOf = (element) => {
            for (let e = element; e; e = e.parentElement) {
              const [r, g, b, a = 1] = parse(getComputedStyle(e).backgroundColor);
              if (a > 0) return [r, g, b];
            }
            return [255, 255, 255];
          };
          const faults = [];
          const inks = 'p, li, dt, dd, th, td, caption, h1, h2, h3, a, summary, button, .verdict, text.ink, text.soft';
          for (const element of document.querySelectorAll(inks)) {
            const style = getComputedStyle(element);
            const ink = light(parse(element.tagName === 'text' ? style.fill : style.color));
            const ground = light(groundOf(element));
            const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
            if (ratio < 4.5) faults.push(`${element.tagName} ${element.className} ${ratio.toFixed(2)}`);
          }
          for (const text of document.querySelectorAll('[data-part=cells] text')) {
            const ground = text.previousElementSibling.getAttribute('fill');
            const hex = [1, 3, 5].map((i) => parseInt(ground.slice(i, i + 2), 16));
            const ink = light(parse(getComputedStyle(text).fill));
            const ratio = (Math.max(ink, light(hex)) + 0.05) / (Math.min(ink, light(hex)) + 0.05);
            if (ratio < 4.5) faults.push(`cell ${ground} ${ratio.toFixed(2)}`);
          }
          return [...new Set(faults)];
        })()""")

    def test_dark_mode_changes_the_colours_and_stays_readable(self):
        ground = "getComputedStyle(document.body).backgroundColor"
        ink = "getComputedStyle(document.querySelector('svg text.ink')).fill"
        self.open()
        light = browser.evaluate(ground), browser.evaluate(ink)
        self.assertEqual(self.contrast_faults(), [])
        self.open(dark=True)
        dark = browser.evaluate(ground), browser.evaluate(ink)
        self.assertNotEqual(light[0], dark[0])
        self.assertNotEqual(light[1], dark[1])
        self.assertEqual(self.contrast_faults(), [])

    def test_print_is_on_white_without_controls(self):
        self.open(dark=True, media="print")
        self.assertEqual(browser.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")
        self.assertEqual(browser.evaluate("getComputedStyle(document.querySelector('.controls')).display"), "none")
        self.assertEqual(browser.evaluate("getComputedStyle(document.querySelector('.copy')).display"), "none")
        # Pictures stand two by two; a long table may run over pages, so that its heading keeps company.
        columns = browser.evaluate("[...document.querySelectorAll('.figures')].filter((f) => f.offsetWidth)"
                                   ".map((f) => getComputedStyle(f).gridTemplateColumns.split(' ').length)")
        self.assertEqual(set(columns), {2})
        self.assertEqual(browser.evaluate("getComputedStyle(document.querySelector('table.claims')).breakInside"),
                         "auto")

    def test_readable_without_script(self):
        browser.call("Emulation.setScriptExecutionDisabled", value=True)
        try:
            browser.resize(*SIZES["desktop"])
            browser.events.clear()
            browser.call("Page.navigate", url="file://" + report)
            browser.wait_for("Page.loadEventFired")
            document = browser.call("DOM.getDocument")["root"]["nodeId"]
            hidden = browser.call("DOM.querySelectorAll", nodeId=document, selector="[data-arm][hidden]")["nodeIds"]
            buttons = browser.call("DOM.querySelectorAll", nodeId=document, selector="button")["nodeIds"]
            controls = browser.call("DOM.querySelectorAll", nodeId=document, selector=".controls[hidden]")["nodeIds"]
            forms = browser.call("DOM.querySelectorAll", nodeId=document, selector=".controls")["nodeIds"]
            self.assertEqual((len(hidden), len(buttons), len(controls)), (0, 0, len(forms)))
        finally:
            browser.call("Emulation.setScriptExecutionDisabled", value=False)


def keep_pictures(folder):
    """The page as a reader sees it, for the eye: light, dark, on a phone and printed."""
    looks = {"light": ("desktop", False), "dark": ("desktop", True), "phone": ("phone", False),
             "phone_dark": ("phone", True)}
    for name, (size, dark) in looks.items():
        width, height = SIZES[size]
        browser.open(report, width, height, dark=dark)
        image = browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, timeout=180,
                             clip={"x": 0, "y": 0, "width": width, "scale": 1,
                                   "height": browser.evaluate("document.documentElement.scrollHeight")})
        with open(os.path.join(folder, f"{name}.png"), "wb") as file:
            file.write(base64.b64decode(image["data"]))
    browser.open(report)
    with open(os.path.join(folder, "print.pdf"), "wb") as file:
        file.write(base64.b64decode(browser.call("Page.printToPDF", preferCSSPageSize=True, timeout=180)["data"]))


def main():
    global browser, report
    arguments = sys.argv[1:]
    kept = ""
    if "--keep" in arguments:
        at = arguments.index("--keep")
        kept = arguments[at + 1]
        del arguments[at:at + 2]
    if len(arguments) != 1:
        print(__doc__)
        return 2
    program = find_chromium()
    if program is None:
        print("skipped: there is no Chromium here (Debian: scripts/setup --tests installs it)")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="cdsp-report-") as temporary:
        folder = os.path.abspath(kept) if kept else temporary
        os.makedirs(folder, exist_ok=True)
        subprocess.run([arguments[0], "[.browser]"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "CDSP_REPORT_OUT": folder})
        report = os.path.join(folder, "report.html")
        with Chromium(program) as browser:
            result = unittest.TextTestRunner(verbosity=2).run(
                unittest.defaultTestLoader.loadTestsFromTestCase(Report))
            if kept:
                keep_pictures(folder)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
