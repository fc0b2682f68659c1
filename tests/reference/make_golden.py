"""Makes the golden cases of tests/golden from the reference implementation.

    python make_golden.py [--out DIR] [CASE ...]

Configs, data, sample orders and initial weights come from NumPy's PCG64 with a seed per case, so making them again
gives the same files; results repeat up to the summation order of the machine's matrix products. All weights start as
multiples of 1/1024: they are exact in any precision and compress well.

A case is refused if a different summation order could change a discrete choice in it (see `Margins`), or if it does
not show what it is there for (see `SHOWS`).
"""

import argparse
import json
import math
import shutil
from pathlib import Path

import numpy
import torch
import yaml
from safetensors.torch import save_file

from case_files import Samples, complete_config, load_initial_weights, load_order, rank_quota, write_idx
from cdsp_reference import GATE_THRESHOLD, evaluate, instantiated_columns, train
from run_case import largest_error

THREE_TASKS = ["mnist", "kmnist", "fashion-mnist"]
SMALLEST_MARGIN = 1e-6


def case(seed, *, variant="cdsp", tasks=THREE_TASKS, image=(8, 8), train_images=8, test_images=6, weights=None,
         **sections):
    """A case's description; `sections` overlay the sections of the config, `weights` changes initial weights."""
    config = {
        "variant": variant,
        "seed": seed,
        "model": {"dtype": "float64", "d_model": 16, "layers": 2, "heads": 4, "kv_heads": 2, "patch_size": 4,
                  "head_bias": True},
        "moe": {"num_experts": 4, "top_k": 2, "d_base": 40, "rank": "auto", "d_ffn": 10},
        "router": {"task_embedding": 4, "norm": "token", "task_dropout": 0.0},
        "conflict": {"lambda": 10.0, "penalty": "logit", "gradient": "uv", "l1": 0.001, "determinism": 0.0},
        "balance": {"kind": "switch", "lambda": 0.01},
        "optimizer": {"lr": 0.005, "topology_lr": 0.05, "weight_decay": 0.01, "clip_norm": 1.0},
        "data": {"source": "idx", "root": "data", "tasks": tasks, "labels": "native", "order_file": "order.txt"},
        "train": {"epochs": 1, "batch_size": 6, "max_steps": 0, "log_every": 1, "init_from": "init.safetensors",
                  "device": "cpu"},
    }
    for section, changes in sections.items():
        config[section].update(changes)
    return {"config": config, "image": image, "train_images": train_images, "test_images": test_images,
            "weights": weights}


# --------------------------------------------------------------------------------------------------------------------
# Changes to the initial weights that bring out what a case is there for
# --------------------------------------------------------------------------------------------------------------------

def layers_of(weights, suffix):
    return [name for name in weights if name.endswith(suffix)]


def self_loop_around_threshold(weights, random):
    """Diagonal 1, the rest around 0.1, with some entries around the threshold of `gated_logit`."""
    for name in layers_of(weights, ".alpha"):
        experts = len(weights[name])
        alpha = 0.1 + 0.02 * random.standard_normal((experts, experts))
        negative = random.random((experts, experts)) < 0.2
        alpha[negative] = -0.02 - 0.03 * random.random(int(negative.sum()))
        # AdamW's first step is the learning rate, 0.05, whatever the gradient: these arrive between zero and the
        # threshold when conflict first counts, where only the threshold and not the sign closes the gate.
        for expert in range(experts):
            alpha[expert, (expert + 2) % experts] = 52 / 1024
        numpy.fill_diagonal(alpha, 1.0)
        weights[name] = alpha


def equal_off_diagonals(weights, random):
    for name in layers_of(weights, ".alpha"):
        experts = len(weights[name])
        weights[name] = numpy.full((experts, experts), 0.125)
        numpy.fill_diagonal(weights[name], 1.0)


def own_block_first(weights, random):
    """Every expert prefers its own block, but 1 prefers expert 0's: with rank 1 only they intersect."""
    for name in layers_of(weights, ".alpha"):
        alpha = 0.2 * random.standard_normal(weights[name].shape)
        numpy.fill_diagonal(alpha, 1.0)
        alpha[1, 0] = 1.5
        weights[name] = alpha


def decided_router(weights, random):
    """Router weights so large that each token is mostly one expert's, though all are chosen and share all columns."""
    for name in layers_of(weights, "router.weight"):
        weights[name] *= 5


def rare_experts(weights, random):
    """Expert 1 is never chosen, expert 3 seldom."""
    for name in layers_of(weights, "router.bias"):
        weights[name] = 0.3 * random.standard_normal(len(weights[name]))
        weights[name][1] = -30.0
        weights[name][3] = -1.25


CASES = {
    "cdsp-paper": case(22, train={"epochs": 2}),
    "cdsp-reference": case(
        15, moe={"num_experts": 6, "d_base": 42}, model={"head_bias": False}, train={"batch_size": 4},
        router={"norm": "sequence"}, data={"labels": "coarse"}, weights=self_loop_around_threshold,
        conflict={"penalty": "gated_logit", "gradient": "u", "determinism": 0.01}),
    "cdsp-sigmoid": case(
        14, model={"layers": 1}, moe={"num_experts": 5}, conflict={"penalty": "sigmoid"}, train={"batch_size": 4}),
    "cdsp-uneven": case(
        1, tasks=["mnist", "kmnist", "fashion-mnist", "strokes", "shapes"], image=(12, 8), train_images=9,
        test_images=4, model={"d_model": 12, "layers": 1, "heads": 2, "kv_heads": 1},
        moe={"num_experts": 5, "d_base": 43, "rank": 42}, train={"batch_size": 7}),
    "cdsp-single": case(
        26, tasks=["mnist"], train_images=30, test_images=12, model={"d_model": 12, "heads": 2, "patch_size": 2},
        moe={"top_k": 1, "rank": 1, "d_base": 24}, weights=own_block_first, train={"batch_size": 5}),
    "cdsp-full": case(
        20, model={"d_model": 12, "layers": 1, "heads": 2},
        moe={"num_experts": 3, "top_k": 3, "d_base": 24, "rank": 24}, weights=decided_router, train={"batch_size": 4}),
    "cdsp-ties": case(
        6, model={"d_model": 12, "heads": 2}, moe={"rank": 15}, weights=equal_off_diagonals, train={"batch_size": 4}),
    "cdsp-idle": case(
        6, model={"d_model": 12, "heads": 2}, moe={"num_experts": 5, "d_base": 44, "rank": 20}, weights=rare_experts,
        train={"batch_size": 1, "max_steps": 10}),
    "cdsp-dropout": case(
        15, model={"d_model": 12, "layers": 1, "heads": 2}, router={"task_dropout": 1.0}, train={"batch_size": 4}),
    "baseline-cv2": case(
        10, variant="baseline", model={"layers": 1}, router={"norm": "sequence"}, data={"labels": "coarse"},
        balance={"kind": "cv2"}, optimizer={"clip_norm": 0.0}, train={"batch_size": 4}),
    "baseline-switch": case(
        11, variant="baseline", train_images=7, model={"layers": 3, "kv_heads": 4}, balance={"lambda": 0.1},
        train={"batch_size": 4, "epochs": 2, "max_steps": 8}),
    "blind": case(12, variant="blind", model={"layers": 1}, train={"batch_size": 5}),
}


# --------------------------------------------------------------------------------------------------------------------
# Inputs of a case
# --------------------------------------------------------------------------------------------------------------------

def write_config(path, config):
    lines = ["# made by tests/reference/make_golden.py; run from inside this folder"]
    for section, value in config.items():
        if isinstance(value, dict):
            value = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).strip()
        lines.append(f"{section}: {value}")
    path.write_text("\n".join(lines) + "\n")


def write_data(directory, description, random):
    data = description["config"]["data"]
    for task in data["tasks"]:
        for split, count in (("train", description["train_images"]), ("t10k", description["test_images"])):
            # Seventeen grey levels from black to white: noise that still compresses.
            images = numpy.minimum(random.integers(0, 17, (count, *description["image"])) * 16, 255)
            folder = directory / data["root"] / task
            write_idx(folder / f"{split}-images-idx3-ubyte.gz", images)
            write_idx(folder / f"{split}-labels-idx1-ubyte.gz", random.integers(0, 10, count))


def initial_weights(config, change, random):
    """Weights of a size at which every part of the network matters from the first step."""
    model, moe, router = config["model"], config["moe"], config["router"]
    d, experts, columns, width = model["d_model"], moe["num_experts"], moe["d_base"], moe["d_ffn"]
    kv_width = d // model["heads"] * model["kv_heads"]
    weights = {}

    def add(name, scale, *shape, centre=0.0):
        weights[name] = centre + scale * random.standard_normal(shape)

    add("embed.weight", 0.3, d, model["patch_size"] ** 2)
    add("embed.bias", 0.1, d)
    for layer in range(model["layers"]):
        block = f"blocks.{layer}."
        add(block + "norm1.weight", 0.1, d, centre=1.0)
        for name, rows in (("wq", d), ("wk", kv_width), ("wv", kv_width), ("wo", d)):
            add(f"{block}attn.{name}.weight", d ** -0.5, rows, d)
        add(block + "norm2.weight", 0.1, d, centre=1.0)
        add(block + "moe.router.weight", 0.5, experts, d + router["task_embedding"])
        add(block + "moe.router.bias", 0.2, experts)
        add(block + "moe.task_embedding.weight", 1.0, len(config["data"]["tasks"]), router["task_embedding"])
        if config["variant"] == "cdsp":
            add(block + "moe.U", d ** -0.5, d, columns)
            add(block + "moe.V", d ** -0.5, columns, d)
            add(block + "moe.alpha", 0.5, experts, experts)
        else:
            add(block + "moe.experts.w1", d ** -0.5, experts, width, d)
            add(block + "moe.experts.b1", 0.1, experts, width)
            add(block + "moe.experts.w2", d ** -0.5, experts, d, width)
            add(block + "moe.experts.b2", 0.1, experts, d)
    add("norm.weight", 0.1, d, centre=1.0)
    add("head.weight", 0.3, 10, d)
    if model["head_bias"]:
        add("head.bias", 0.1, 10)
    if change:
        change(weights, random)
    return {name: torch.from_numpy(numpy.round(value * 1024) / 1024) for name, value in weights.items()}


# --------------------------------------------------------------------------------------------------------------------
# What happened in a case
# --------------------------------------------------------------------------------------------------------------------

class Margins:
    """How far every discrete choice was from falling otherwise, and what the case exercised.

    Equal logits within a row of `alpha` are no narrow margin: the rule for ties decides them, and they stay exactly
    equal as long as all implementations treat equal numbers equally.
    """

    def __init__(self, config):
        self.config = config
        self.smallest = {"router": math.inf, "columns": math.inf, "threshold": math.inf, "class": math.inf}
        self.ties_decided = 0          # rows of alpha in which a tie decided S_i
        self.conflicts = []            # per step: positive entries of C in all layers
        self.empty_intersections = 0   # pairs of experts without a common column
        self.pairs = 0
        self.below_threshold = 0       # conflicting pairs whose logit is below the threshold of `gated_logit`,
        self.positive_below = 0        # and those of them whose logit is positive
        self.active = []               # per step: per layer, the experts with tokens

    def narrow(self, kind, value):
        self.smallest[kind] = min(self.smallest[kind], value)

    def see_choices(self, logits, records):
        top = logits.sort(dim=1, descending=True).values
        self.narrow("class", float((top[:, 0] - top[:, 1]).min()))
        chosen = self.config["moe"]["top_k"]
        for record in records:
            ranked = record.routing.logits.detach().sort(dim=1, descending=True).values
            if chosen < ranked.shape[1]:
                self.narrow("router", float((ranked[:, chosen - 1] - ranked[:, chosen]).min()))

    def see_topology(self, parameters):
        dimensions, rank = self.config["moe"]["d_base"], rank_quota(self.config)
        for name, alpha in parameters.items():
            if not name.endswith(".alpha"):
                continue
            block = dimensions // len(alpha)
            column_sets = []
            for row in alpha.detach():
                columns = instantiated_columns(row, dimensions, rank)
                column_sets.append(set(columns))
                taken = [sum(column // block == expert for column in columns) for expert in range(len(row))]
                gaps = [float(row[a] - row[b]) for a in range(len(row)) for b in range(len(row))
                        if a != b and taken[a] > 0 and taken[b] < block]
                self.ties_decided += 0.0 in gaps
                self.narrow("columns", min((gap for gap in gaps if gap != 0), default=math.inf))
            pairs = [(a, b) for a in range(len(alpha)) for b in range(a)]
            self.pairs += len(pairs)
            self.empty_intersections += sum(not column_sets[a] & column_sets[b] for a, b in pairs)
            if self.config["conflict"]["penalty"] == "gated_logit":
                self.narrow("threshold", float((alpha.detach() - GATE_THRESHOLD).abs().min()))

    def see_step(self, step, result, parameters):
        self.see_choices(result.logits.detach(), result.records)
        self.see_topology(parameters)
        self.conflicts.append(sum(int((matrix > 0).sum()) for matrix in result.conflict_matrices))
        for layer, matrix in enumerate(result.conflict_matrices):
            alpha = parameters[f"blocks.{layer}.moe.alpha"].detach()
            below = (matrix > 0) & (alpha < GATE_THRESHOLD)
            self.below_threshold += int(below.sum())
            self.positive_below += int((below & (alpha > 0)).sum())
        self.active.append([set(record.routing.chosen.flatten().tolist()) for record in result.records])

    def see_evaluation(self, protocol, logits, records):
        self.see_choices(logits, records)

    def returns(self):
        """How often an expert was active, idle a step, and active again: its old gradient must not count then."""
        return sum(len((first & third) - second)
                   for one, two, three in zip(self.active, self.active[1:], self.active[2:])
                   for first, second, third in zip(one, two, three))

    def idle(self):
        """How often an expert had no token in a layer."""
        experts = self.config["moe"]["num_experts"]
        return sum(experts - len(layer) for step in self.active for layer in step)


# What a case must show, beside comfortable margins.
SHOWS = {
    "cdsp-reference": lambda seen: seen.positive_below >= 3 and seen.below_threshold >= seen.positive_below + 3,
    "cdsp-single": lambda seen: seen.empty_intersections > seen.pairs / 2,
    "cdsp-ties": lambda seen: seen.ties_decided >= 10,
    "cdsp-idle": lambda seen: seen.returns() >= 5 and all(1 not in layer for step in seen.active for layer in step)
    and any(3 in layer for step in seen.active for layer in step),
}


def largest_change(weights, other):
    return max(float((weights[name] - other[name]).abs().max() / weights[name].abs().max()) for name in weights)


def make(name, directory):
    description = CASES[name]
    random = numpy.random.Generator(numpy.random.PCG64(description["config"]["seed"]))
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    write_config(directory / "config.yaml", description["config"])
    write_data(directory, description, random)
    config = complete_config(description["config"])
    samples, test_samples = Samples(config, directory, "train"), Samples(config, directory, "t10k")
    order = random.permutation(len(samples))
    (directory / "order.txt").write_text("".join(f"{index}\n" for index in order))
    save_file(initial_weights(config, description["weights"], random), str(directory / "init.safetensors"))

    initial, order = load_initial_weights(config, directory), load_order(config, directory)
    seen = Margins(config)
    weights, steps = train(config, initial, samples, order, seen.see_step)
    if config["variant"] == "cdsp":
        seen.see_topology(weights)
    evaluation = evaluate(weights, config, test_samples, seen.see_evaluation)

    # Rounding differs between implementations; this much larger disturbance must stay small through the whole run.
    # Topology logits are left alone, or ties would no longer be ties.
    noise = numpy.random.Generator(numpy.random.PCG64(0))
    disturbed = {key: value if key.endswith(".alpha") else
                 value * (1 + 1e-14 * torch.from_numpy(noise.standard_normal(value.shape)))
                 for key, value in initial.items()}
    disturbed_weights, disturbed_steps = train(config, disturbed, samples, order)
    sensitivity = max(largest_change(weights, disturbed_weights),
                      *(largest_error([row[key] for row in disturbed_steps], [row[key] for row in steps])
                        for key in steps[0]))

    model, moe, conflict, optimizer = (config[key] for key in ("model", "moe", "conflict", "optimizer"))
    expected = {
        "case": {
            "variant": config["variant"], "d_model": model["d_model"], "d_base": moe["d_base"],
            "num_experts": moe["num_experts"], "rank": rank_quota(config),
            "d_task": config["router"]["task_embedding"], "layers": model["layers"], "heads": model["heads"],
            "kv_heads": model["kv_heads"], "top_k": moe["top_k"], "d_ffn": moe["d_ffn"],
            "head_bias": model["head_bias"], "router_norm": config["router"]["norm"],
            "task_dropout": config["router"]["task_dropout"], "penalty": conflict["penalty"],
            "gradient": conflict["gradient"], "labels": config["data"]["labels"], "balance": config["balance"]["kind"],
            "lambda_conflict": conflict["lambda"], "lambda_balance": config["balance"]["lambda"],
            "l1": conflict["l1"], "determinism": conflict["determinism"], "clip": optimizer["clip_norm"],
            "lr": optimizer["lr"], "topology_lr": optimizer["topology_lr"],
            "weight_decay": optimizer["weight_decay"], "batch": config["train"]["batch_size"],
            "image": list(description["image"]), "patch_size": model["patch_size"],
            "tasks": len(config["data"]["tasks"]), "n_train": description["train_images"],
            "n_test": description["test_images"], "steps": len(steps), "seed": config["seed"],
        },
        "steps": steps,
        "eval": evaluation,
    }
    (directory / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    save_file(weights, str(directory / "final.safetensors"))
    return seen, steps, sensitivity


def check(name, seen, sensitivity):
    """Refuses a case that another correct implementation could miss, or that does not show its point."""
    assert min(seen.smallest.values()) > SMALLEST_MARGIN, f"{name}: narrow choice {seen.smallest}"
    assert sensitivity < 1e-10, f"{name}: ill-conditioned, {sensitivity:.1e}"
    if name.startswith("cdsp"):
        assert sum(count > 0 for count in seen.conflicts) >= 3, f"{name}: conflicts {seen.conflicts}"
        assert name == "cdsp-ties" or seen.ties_decided == 0, f"{name}: {seen.ties_decided} ties"
    if name in SHOWS:
        assert SHOWS[name](seen), f"{name}: does not show its point"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", nargs="*", help=f"of {', '.join(CASES)}; all when none is named")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.case or CASES:
        directory = arguments.out / name
        seen, steps, sensitivity = make(name, directory)
        size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        print(f"{name}: {len(steps)} steps, {size / 1000:.0f} kB")
        print("  smallest margin: " + ", ".join(f"{kind} {value:.1e}" for kind, value in seen.smallest.items())
              + f"; relative change under a 1e-14 disturbance {sensitivity:.1e}")
        print(f"  expert had no token {seen.idle()} times, returned after an idle step {seen.returns()} times")
        if name.startswith("cdsp"):
            terms = " ".join(f"{row['loss_conflict']:.2g}" for row in steps)
            print(f"  conflicting ordered pairs by step {seen.conflicts}, {seen.below_threshold} below the threshold"
                  f" ({seen.positive_below} of them positive); conflict term {terms}")
            print(f"  ties decided S_i {seen.ties_decided} times; empty intersections "
                  f"{seen.empty_intersections} of {seen.pairs}")
        check(name, seen, sensitivity)


if __name__ == "__main__":
    main()
