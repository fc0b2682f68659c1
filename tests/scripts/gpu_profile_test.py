#!/usr/bin/env python3
"""scripts/gpu-profile on logs as its library writes them: what it says of a graph with a branch, and what it refuses."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent.parent / "scripts" / "gpu-profile"


def profile(*arguments):
    result = subprocess.run([sys.executable, "-B", str(SCRIPT), *map(str, arguments)], capture_output=True, text=True)
    return result.returncode, result.stdout, result.stderr


def kernel(start, time, stream, launch, node, name):
    return f"kernel\t{start}\t{start + time}\t{stream}\t{launch}\t{node}\t10\t128\t32\t1024\t0\t{name}\n"


class GpuProfile(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.log = Path(self.folder.name) / "events"

    def tearDown(self):
        self.folder.cleanup()

    def show(self, text):
        self.log.write_text(text)
        return profile("--log", self.log)

    def replays(self, count):
        """A chain a, b and beside b, on another stream and every other time earlier, c."""
        text = ""
        for replay in range(count):
            begin = 100_000 * replay
            text += kernel(begin, 2000, 7, replay, 1, "a") + kernel(begin + 3000, 4000, 7, replay, 2, "b")
            text += kernel(begin + 2500 + 1000 * (replay % 2), 6000, 8, replay, 3, "c")
            text += f"call\t{begin - 500}\t{begin - 400}\tcudaGraphLaunch_v10000\n"
        return text

    def test_a_branch_is_no_other_graph_and_times_are_medians(self):
        code, out, _ = self.show(self.replays(5))
        self.assertEqual(code, 0)
        self.assertIn("A graph of 3 operations, replayed 5 times", out)
        rows = {line.split()[-1]: line.split() for line in out.splitlines() if line.split()[-1:] and
                line.split()[-1] in ("a", "b", "c")}
        self.assertEqual(rows["a"][:3], ["0.00", "2.00", "0"])
        self.assertEqual(rows["b"][:3], ["3.00", "4.00", "0"])
        self.assertEqual(rows["c"][:3], ["2.50", "6.00", "1"])
        self.assertIn("from the first to the last: 8.5 us; the operations' times one after the other: 12.0 us", out)
        self.assertIn("4 cudaGraphLaunch_v10000", out)
        self.assertIn("calls that wait for the GPU: none", out)

    def test_a_wait_between_replays_is_told(self):
        _, out, _ = self.show(self.replays(6) + "call\t250000\t260000\tcudaStreamSynchronize_v3020\n")
        self.assertIn("calls that wait for the GPU: 1, one in 6 steps", out)

    def test_graphs_of_different_nodes_are_kept_apart(self):
        _, out, _ = self.show(self.replays(2) + kernel(900_000, 1000, 7, 50, 77, "d"))
        self.assertIn("A graph of 3 operations, replayed 2 times", out)
        self.assertIn("A graph of 1 operations, replayed 1 times", out)

    def test_work_outside_of_graphs_is_summed_by_name(self):
        _, out, _ = self.show(kernel(0, 2000, 7, 1, 0, "e") + kernel(9000, 4000, 7, 2, 0, "e") +
                              "copy\t20000\t21000\t7\t3\t0\t64\thost to device\n")
        self.assertIn("Outside of graphs: 3 operations", out)
        self.assertIn("      2      3.00  e", out)
        self.assertIn("copy of 64 bytes, host to device", out)

    def test_what_is_no_log_is_refused(self):
        code, _, error = self.show("a log of something else\n")
        self.assertEqual(code, 2)
        self.assertIn("not a log of gpu-profile's", error)
        code, _, error = profile("--log", self.log.with_name("none"))
        self.assertEqual(code, 2)
        self.assertIn("No such file", error)
        code, _, error = self.show("")
        self.assertEqual(code, 1)
        self.assertIn("nothing ran on a GPU", error)
        code, _, error = profile()
        self.assertEqual(code, 2)
        self.assertIn("is needed", error)


if __name__ == "__main__":
    unittest.main()
