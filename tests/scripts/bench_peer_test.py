"""scripts/bench-peer with programs in the places of PyTorch and cdsp that answer with known times."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent.parent / "scripts" / "bench-peer"

# Has PyTorch, and takes 40 ms a step on one thread, 60 on more; keeps a log of its turns.
PYTHON = """#!{python}
import json, sys
if sys.argv[1] == "-c":
    sys.exit(0)
for line in sys.stdin:
    request = json.loads(line)
    with open({log!r}, "a") as log:
        log.write("peer\\n")
    print(json.dumps({{"ms_per_step": 40 if request["threads"] == 1 else 60, "torch": "2.0"}}), flush=True)
"""

# Takes 20 ms on one thread and 10 on more.
BINARY = """#!{python}
import json, sys
if sys.argv[1] == "info":
    print(json.dumps({{"git_commit": "abc", "libtorch": "1.13", "cores": 2}}))
    sys.exit(0)
option = lambda name: sys.argv[sys.argv.index(name) + 1]
with open({log!r}, "a") as log:
    log.write("cdsp\\n")
print(json.dumps([{{"threads": int(count), "ms_per_step": 20 if count == "1" else 10}}
                  for count in option("--threads").split(",")]))
"""


class BenchPeerTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.log = Path(self.folder.name) / "log"
        self.python = self.program("python", PYTHON)
        self.binary = self.program("cdsp", BINARY)

    def program(self, name, text):
        path = Path(self.folder.name) / name
        path.write_text(text.format(python=sys.executable, log=str(self.log)))
        path.chmod(0o755)
        return str(path)

    def run_script(self, *words):
        return subprocess.run([sys.executable, "-B", str(SCRIPT), *words], capture_output=True, text=True)

    def bench(self, *words):
        return self.run_script("--python", self.python, "--binary", self.binary, *words)

    def test_json(self):
        result = self.bench("--json", "--variant", "cdsp", "--batch", "64,128", "--rounds", "3", "--measurements", "1")
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(report["peer_torch"], "2.0")
        self.assertEqual(report["git_commit"], "abc")
        self.assertEqual([row["batch"] for row in report["results"]], [64, 128])
        for row in report["results"]:
            self.assertEqual(row["variant"], "cdsp")
            self.assertEqual(len(row["rounds"]), 3)
            # Each at its best number of threads: the peer on one, cdsp on as many as there are.
            cores = len(row["peer"]["ms_by_threads"])
            self.assertEqual(row["peer"]["threads"], 1)
            self.assertEqual(row["cdsp"]["threads"], min(2, cores))
            ratio = 40 / (10 if cores > 1 else 20)
            self.assertEqual(row["ratio"], {"median": ratio, "min": ratio, "max": ratio})
            self.assertEqual(row["peer"]["images_per_s"], row["batch"] * 1000 / 40)

    def test_turns_alternate(self):
        self.assertEqual(self.bench("--variant", "blind", "--rounds", "3", "--measurements", "1").returncode, 0)
        turns = self.log.read_text().split()
        self.assertEqual(turns[-6:], ["peer", "cdsp", "cdsp", "peer", "peer", "cdsp"])

    def test_text(self):
        result = self.bench("--rounds", "2")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("baseline, batch 128: PyTorch 2.0", result.stdout)
        self.assertIn("times faster", result.stdout.splitlines()[-1])

    def test_help(self):
        result = self.run_script("--help")
        self.assertEqual(result.returncode, 0)
        self.assertIn("Example: scripts/bench-peer", result.stdout)

    def test_mistakes(self):
        for words, message in [(("--variant", "dense"), "found 'dense'"), (("--batch", "0"), "at least 1"),
                               (("--rounds", "x"), "--rounds"), (("--binary", "none"), "none: no such program"),
                               (("--python", "none"), "no PyTorch in none")]:
            with self.subTest(words=words):
                result = self.bench(*words)
                self.assertEqual(result.returncode, 2)
                self.assertIn(message, result.stderr)
                self.assertEqual(result.stdout, "")

    def test_failure(self):
        broken = self.program("broken", "#!{python}\nimport sys\nsys.exit('broken: no memory')\n")
        result = self.bench("--binary", broken, "--json")
        self.assertEqual(result.returncode, 1)
        self.assertIn("broken: no memory", result.stderr)


if __name__ == "__main__":
    unittest.main()
