"""Checks of the reference itself: `python -m unittest` in this folder."""

import math
import unittest
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

import cdsp_reference as reference
from case_files import Samples, complete_config, load_config, load_initial_weights, load_order, rank_quota
from make_golden import initial_weights
from run_case import compare

GOLDEN = Path(__file__).resolve().parent.parent / "golden"

torch.set_num_threads(1)


def small_config(variant="cdsp", **sections):
    config = {
        "variant": variant,
        "model": {"dtype": "float64", "d_model": 8, "layers": 2, "heads": 2, "kv_heads": 1, "patch_size": 2},
        "moe": {"num_experts": 4, "top_k": 2, "d_base": 22, "rank": 9, "d_ffn": 5},
        "router": {"task_embedding": 3, "task_dropout": 0.0},
        "data": {"tasks": ["mnist", "kmnist"]},
    }
    for section, changes in sections.items():
        config.setdefault(section, {}).update(changes)
    return complete_config(config)


def small_problem(config, seed=0, batch=4):
    """Parameters and one batch of 4x6 images."""
    random = numpy.random.Generator(numpy.random.PCG64(seed))
    parameters = {name: value.requires_grad_() for name, value in initial_weights(config, None, random).items()}
    images = torch.from_numpy(random.uniform(-1, 1, (batch, 4, 6)))
    return parameters, images, torch.from_numpy(random.integers(0, 10, batch)), torch.arange(batch) % 2


def random_stored_gradients(config, parameters):
    """Gradients as a step before could have left them; random ones conflict in about half of all pairs."""
    moe, d = config["moe"], config["model"]["d_model"]
    random = numpy.random.Generator(numpy.random.PCG64(7))
    stored = []
    for layer in range(config["model"]["layers"]):
        stored.append({})
        for expert, row in enumerate(parameters[f"blocks.{layer}.moe.alpha"].detach()):
            columns = reference.instantiated_columns(row, moe["d_base"], rank_quota(config))
            U = torch.zeros(d, moe["d_base"], dtype=torch.float64)
            V = torch.zeros(moe["d_base"], d, dtype=torch.float64)
            U[:, columns] = torch.from_numpy(random.standard_normal((d, len(columns))))
            V[columns] = torch.from_numpy(random.standard_normal((len(columns), d)))
            stored[layer][expert] = reference.StoredGradient(columns, U, V)
    return stored


class GradientTest(unittest.TestCase):
    def check(self, config, seed=0):
        """Central differences of the whole objective at a few entries of every parameter."""
        parameters, images, labels, tasks = small_problem(config, seed)
        stored = [{} for _ in range(config["model"]["layers"])]
        if config["variant"] == "cdsp":
            stored = random_stored_gradients(config, parameters)
        result = reference.objective(parameters, config, images, labels, tasks, stored)
        if config["variant"] == "cdsp":
            self.assertGreater(abs(result.conflict.item()), 1e-3)
        gradients, _ = reference.differentiate(result, parameters)
        random = numpy.random.Generator(numpy.random.PCG64(seed))
        step = 1e-5
        for name, parameter in parameters.items():
            flat = parameter.detach().view(-1)
            for entry in random.choice(len(flat), min(4, len(flat)), replace=False):
                kept, totals = flat[entry].item(), []
                for sign in (1, -1):
                    flat[entry] = kept + sign * step
                    totals.append(reference.objective(parameters, config, images, labels, tasks, stored).total.item())
                flat[entry] = kept
                slope = (totals[0] - totals[1]) / (2 * step)
                gradient = 0.0 if gradients[name] is None else gradients[name].view(-1)[entry].item()
                self.assertAlmostEqual(slope, gradient, delta=1e-7 * (1 + abs(gradient)), msg=f"{name}[{entry}]")

    def test_paper(self):
        self.check(small_config())

    def test_released_code(self):
        self.check(small_config(model={"head_bias": False}, router={"norm": "sequence"},
                                conflict={"penalty": "gated_logit", "gradient": "u", "determinism": 0.01}))

    def test_sigmoid_penalty(self):
        self.check(small_config(conflict={"penalty": "sigmoid"}))

    def test_without_task(self):
        self.check(small_config(router={"task_dropout": 1.0}))

    def test_one_expert_a_token(self):
        self.check(small_config(moe={"top_k": 1}))

    def test_baseline(self):
        self.check(small_config("baseline"))

    def test_baseline_cv2(self):
        self.check(small_config("baseline", balance={"kind": "cv2"}))

    def test_blind(self):
        self.check(small_config("blind"))


class LayerTest(unittest.TestCase):
    def test_attributed_gradients_sum_to_the_whole(self):
        config = small_config()
        parameters, images, labels, tasks = small_problem(config)
        result = reference.objective(parameters, config, images, labels, tasks, [{}, {}])
        gradients, stored = reference.differentiate(result, parameters)
        for layer in range(2):
            for name in ("U", "V"):
                total = sum(getattr(gradient, name) for gradient in stored[layer].values())
                torch.testing.assert_close(total, gradients[f"blocks.{layer}.moe.{name}"], rtol=0, atol=1e-15)
            for gradient in stored[layer].values():
                outside = sorted(set(range(22)) - set(gradient.columns))
                self.assertEqual(gradient.U[:, outside].abs().max(), 0)
                self.assertEqual(gradient.V[outside].abs().max(), 0)

    def test_dense_form(self):
        """Y = (SiLU(X U) * ((W diag(s)) M)) V, and per-expert gradients without a graph."""
        config = small_config()
        parameters, images, _, tasks = small_problem(config)
        prefix = "blocks.0.moe."
        U, V, alpha = (parameters[prefix + name] for name in ("U", "V", "alpha"))
        x = torch.from_numpy(numpy.random.Generator(numpy.random.PCG64(3)).standard_normal((4, 6, 8)))
        routing = reference.route(x, tasks, parameters, prefix, config)
        x = x.flatten(0, 1)
        y, record = reference.cdsp_layer(x, routing, parameters, prefix, 9)
        self.assertEqual(sorted(record.columns), [0, 1, 2, 3])
        with torch.no_grad():
            force = torch.sigmoid(alpha) @ reference.partition(4, 22).double()
            mask = torch.zeros(4, 22, dtype=torch.float64)
            for expert, columns in record.columns.items():
                mask[expert, columns] = 1
            gate = (force * mask).sum(dim=1) / 9
            router = torch.zeros(24, 4, dtype=torch.float64).scatter(1, routing.chosen, routing.weights.detach())
            z = x @ U
            dense = (F.silu(z) * ((router * gate) @ mask)) @ V
            torch.testing.assert_close(y.detach(), dense, rtol=0, atol=1e-14)
        error = torch.from_numpy(numpy.random.Generator(numpy.random.PCG64(4)).standard_normal(tuple(y.shape)))
        for expert, copies in record.backbones.items():
            by_U, by_V = torch.autograd.grad((y * error).sum(), copies, retain_graph=True)
            with torch.no_grad():
                weight = router[:, expert, None] * gate[expert] * mask[expert]
                sigmoid = torch.sigmoid(z)
                slope = sigmoid * (1 + z * (1 - sigmoid))
                torch.testing.assert_close(by_U, x.T @ ((error @ V.T) * weight * slope), rtol=0, atol=1e-13)
                torch.testing.assert_close(by_V, (F.silu(z) * weight).T @ error, rtol=0, atol=1e-13)

    def test_columns(self):
        columns = reference.instantiated_columns
        self.assertEqual(columns(torch.tensor([0.1, 0.5, 0.3]), 9, 4), [3, 4, 5, 6])
        self.assertEqual(columns(torch.tensor([0.1, 0.1, 0.1]), 9, 4), [0, 1, 2, 3])      # ties to the lowest index
        self.assertEqual(columns(torch.tensor([-9.0, 0.0, 0.0]), 10, 4), [3, 4, 5, 6])
        self.assertEqual(columns(torch.tensor([-90.0, 0.0, 0.0]), 11, 10), list(range(10)))   # without owner: last

    def test_rank(self):
        self.assertEqual(rank_quota(complete_config({"router": {"task_dropout": 0}})), 90)
        self.assertEqual(rank_quota(small_config(moe={"num_experts": 9, "d_base": 90, "rank": "auto"})), 30)
        self.assertEqual(rank_quota(small_config()), 9)

    def test_attention(self):
        random = numpy.random.Generator(numpy.random.PCG64(0))
        x = torch.from_numpy(random.standard_normal((2, 5, 8)))
        shapes = {"wq": (8, 8), "wk": (4, 8), "wv": (4, 8), "wo": (8, 8)}
        weights = {f"{name}.weight": torch.from_numpy(random.standard_normal(shape)) for name, shape in shapes.items()}
        query, key, value = ((x @ weights[f"{name}.weight"].T).unflatten(2, (-1, 2)).transpose(1, 2)
                             for name in ("wq", "wk", "wv"))

        def turn(heads):
            """Pairs as complex numbers, turned by an angle proportional to the position."""
            angle = torch.arange(5, dtype=torch.float64)[:, None]    # width 2: one pair, frequency 1
            pair = torch.view_as_complex(heads.contiguous().unflatten(-1, (-1, 2)))
            return torch.view_as_real(pair * torch.polar(torch.ones_like(angle), angle)).flatten(-2)

        expected = F.scaled_dot_product_attention(turn(query), turn(key).repeat_interleave(2, 1),
                                                  value.repeat_interleave(2, 1), is_causal=True)
        expected = expected.transpose(1, 2).flatten(2) @ weights["wo.weight"].T
        torch.testing.assert_close(reference.attention(x, weights, "", 4, 2), expected, rtol=0, atol=1e-13)


class ConflictTest(unittest.TestCase):
    def gradient(self, columns, value):
        U, V = torch.zeros(2, 6, dtype=torch.float64), torch.zeros(6, 2, dtype=torch.float64)
        U[:, columns], V[columns] = value, -value
        return reference.StoredGradient(columns, U, V)

    def matrix(self, stored, active, kind="uv"):
        return reference.conflict_matrix(stored, active, 3, kind, torch.float64)

    def test_only_opposed_gradients_on_common_columns_conflict(self):
        stored = {0: self.gradient([0, 1, 2], 1.0), 1: self.gradient([2, 3], -1.0), 2: self.gradient([4, 5], -1.0)}
        expected = torch.zeros(3, 3, dtype=torch.float64)
        expected[0, 1] = expected[1, 0] = 1
        for kind in ("u", "uv"):
            torch.testing.assert_close(self.matrix(stored, {0, 1, 2}, kind), expected, rtol=0, atol=1e-7)

    def test_both_must_have_been_stored_and_be_active(self):
        stored = {0: self.gradient([0, 1], 1.0), 1: self.gradient([0, 1], -1.0)}
        self.assertGreater(self.matrix(stored, {0, 1}).sum(), 1.9)
        self.assertEqual(self.matrix(stored, {0, 2}).sum(), 0)
        self.assertEqual(self.matrix({0: stored[0]}, {0, 1}).sum(), 0)

    def test_penalties(self):
        alpha = torch.tensor([-1.0, 0.0, 0.5e-3, 1e-3, 2.0], dtype=torch.float64)
        self.assertEqual(reference.conflict_penalty(alpha, "logit").tolist(), alpha.tolist())
        self.assertEqual(reference.conflict_penalty(alpha, "gated_logit").tolist(), [0, 0, 0, 1e-3, 2])
        self.assertAlmostEqual(reference.conflict_penalty(alpha, "sigmoid")[4].item(), 1 / (1 + math.exp(-2)))


class TrainingTest(unittest.TestCase):
    def test_adamw(self):
        """Against PyTorch's own, with a parameter that has no gradient in some steps."""
        config = small_config()
        random = numpy.random.Generator(numpy.random.PCG64(0))
        ours = {name: torch.from_numpy(random.standard_normal(5)) for name in ("w", "moe.alpha")}
        theirs = {name: value.clone().requires_grad_() for name, value in ours.items()}
        optimiser = torch.optim.AdamW([{"params": [theirs["w"]], "lr": 5e-3, "weight_decay": 0.01},
                                       {"params": [theirs["moe.alpha"]], "lr": 5e-2, "weight_decay": 0.0}])
        state = {}
        for step in range(6):
            gradients = {name: torch.from_numpy(random.standard_normal(5)) for name in ours}
            if step in (0, 3):
                gradients["w"] = None
            for name in ours:
                theirs[name].grad = gradients[name]
            optimiser.step()
            reference.adamw_step(ours, gradients, state, config)
            for name in ours:
                torch.testing.assert_close(ours[name], theirs[name].detach(), rtol=0, atol=1e-14)

    def test_batches(self):
        steps = list(reference.batches([3, 1, 2], 2, 2, 0))
        self.assertEqual(steps, [(1, [3, 1]), (2, [2]), (3, [3, 1]), (4, [2])])
        self.assertEqual(list(reference.batches([3, 1, 2], 2, 2, 3)), steps[:3])

    def test_task_embedding_without_task_stays(self):
        for config in (small_config("blind"), small_config(router={"task_dropout": 1.0})):
            parameters, images, labels, tasks = small_problem(config)
            result = reference.objective(parameters, config, images, labels, tasks, [{}, {}])
            gradients, _ = reference.differentiate(result, parameters)
            unreached = [name for name, gradient in gradients.items() if gradient is None]
            self.assertEqual(unreached, [name for name in parameters if "task_embedding" in name])


class GoldenTest(unittest.TestCase):
    def test_cases_are_reproduced(self):
        directories = sorted(path.parent for path in GOLDEN.glob("*/config.yaml"))
        self.assertGreater(len(directories), 0)
        for directory in directories:
            with self.subTest(directory.name):
                errors = compare(directory)
                worst = max(errors, key=errors.get)
                self.assertLess(errors[worst], 1e-9, worst)

    def test_float32_follows_float64(self):
        directory = GOLDEN / "cdsp-paper"
        totals = []
        for dtype in ("float64", "float32"):
            config = load_config(directory)
            config["model"]["dtype"] = dtype
            _, steps = reference.train(config, load_initial_weights(config, directory),
                                       Samples(config, directory, "train"), load_order(config, directory))
            totals.append([row["loss_total"] for row in steps])
        numpy.testing.assert_allclose(totals[1], totals[0], rtol=1e-3)


if __name__ == "__main__":
    unittest.main()
