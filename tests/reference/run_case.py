"""Trains a case as its config says and compares with what the case expects.

    python run_case.py CASE_DIR [CASE_DIR ...] [--tolerance 1e-9]
"""

import argparse
import sys

import torch

from case_files import Samples, load_config, load_expected, load_initial_weights, load_order
from cdsp_reference import evaluate, train


def relative_error(value, expected):
    """|value - expected| / |expected|, or the plain difference where zero is expected."""
    return abs(value - expected) / (abs(expected) or 1.0)


def largest_error(value, expected):
    """The largest relative error over two equally nested lists of numbers."""
    if isinstance(expected, list):
        assert len(value) == len(expected)
        return max((largest_error(a, b) for a, b in zip(value, expected)), default=0.0)
    return relative_error(value, expected)


def run(directory):
    """Weights, steps and evaluation of a case."""
    config = load_config(directory)
    weights, steps = train(config, load_initial_weights(config, directory), Samples(config, directory, "train"),
                           load_order(config, directory))
    return weights, steps, evaluate(weights, config, Samples(config, directory, "t10k"))


def compare(directory):
    """Largest relative error of every quantity, by name. A tensor's error is relative to its largest entry."""
    weights, steps, evaluation = run(directory)
    expected, final = load_expected(directory)
    errors = {}
    assert len(steps) == len(expected["steps"]), "number of steps"
    for key in expected["steps"][0]:
        errors[f"steps.{key}"] = largest_error([row[key] for row in steps], [row[key] for row in expected["steps"]])
    assert evaluation.keys() == expected["eval"].keys(), "protocols"
    for key in expected["eval"]["informed"]:    # a case may leave out the losses
        errors[f"eval.{key}"] = max(largest_error(evaluation[protocol][key], expected["eval"][protocol][key])
                                    for protocol in evaluation)
    assert weights.keys() == final.keys(), "tensor names"
    for name in sorted(final):
        assert weights[name].shape == final[name].shape, name
        errors[f"final.{name}"] = float((weights[name] - final[name]).abs().max() / final[name].abs().max())
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", nargs="+", help="folder with config.yaml, expected.json and the rest")
    parser.add_argument("--tolerance", type=float, default=1e-9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    failed = False
    for directory in arguments.case:
        errors = compare(directory)
        print(directory)
        for name, error in errors.items():
            mark = "" if error <= arguments.tolerance else "   <-- above tolerance"
            print(f"  {name:48s} {error:.2e}{mark}")
        worst = max(errors.values())
        print(f"  worst {worst:.2e}")
        failed = failed or not worst <= arguments.tolerance
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
