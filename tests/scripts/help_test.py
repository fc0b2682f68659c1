"""--help and wrong options of the shell scripts, called by a relative path from wherever the user stands."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent.parent / "scripts"


def scripts_with_usage():
    """Those that take their options and their help from the common part."""
    return [path for path in sorted(SCRIPTS.iterdir())
            if path.is_file() and os.access(path, os.X_OK) and "/common.sh" in path.read_text()]


class HelpTest(unittest.TestCase):
    def called(self, script, folder, option):
        path = os.path.join(".", os.path.relpath(script, folder))
        return subprocess.run([path, option], cwd=folder, capture_output=True, text=True, timeout=60)

    def test_help_from_anywhere(self):
        scripts = scripts_with_usage()
        self.assertIn("quickstart", [script.name for script in scripts])
        with tempfile.TemporaryDirectory() as elsewhere:
            for script in scripts:
                for folder in (SCRIPTS, SCRIPTS.parent, os.path.realpath(elsewhere)):
                    with self.subTest(script=script.name, folder=str(folder)):
                        result = self.called(script, folder, "--help")
                        self.assertEqual((result.returncode, result.stderr), (0, ""))
                        self.assertIn(f"usage: scripts/{script.name}", result.stdout)
                        wrong = self.called(script, folder, "--nonsense")
                        self.assertEqual((wrong.returncode, wrong.stdout), (2, ""))
                        self.assertEqual(wrong.stderr, result.stdout)


if __name__ == "__main__":
    unittest.main()
