"""The plain PyTorch script computes what it is timed for: all golden cases, step by step, in float64."""

import unittest
from pathlib import Path

import torch

import peer_torch
from case_files import Samples, load_config, load_expected, load_initial_weights, load_order, rank_quota, read_idx

GOLDEN = Path(__file__).parent.parent / "golden"
TOLERANCE = 1e-9


def settings_of(config, image, tasks):
    model, moe, router = config["model"], config["moe"], config["router"]
    conflict, balance, optimizer = config["conflict"], config["balance"], config["optimizer"]
    return peer_torch.Settings(
        variant=config["variant"], d_model=model["d_model"], layers=model["layers"], heads=model["heads"],
        kv_heads=model["kv_heads"], patch_size=model["patch_size"], classes=model["classes"],
        head_bias=model["head_bias"], image=image, tasks=tasks, experts=moe["num_experts"], top_k=moe["top_k"],
        d_base=moe["d_base"], rank=rank_quota(config), d_ffn=moe["d_ffn"], task_embedding=router["task_embedding"],
        router_norm=router["norm"], task_dropout=router["task_dropout"], conflict_lambda=conflict["lambda"],
        penalty=conflict["penalty"], conflict_gradient=conflict["gradient"], l1=conflict["l1"],
        determinism=conflict["determinism"], balance=balance["kind"], balance_lambda=balance["lambda"],
        lr=optimizer["lr"], topology_lr=optimizer["topology_lr"], weight_decay=optimizer["weight_decay"],
        clip_norm=optimizer["clip_norm"])


def pixels_of(config, directory):
    """The bytes that `Samples` scales."""
    images = [torch.from_numpy(read_idx(Path(directory) / config["data"]["root"] / name / "train-images-idx3-ubyte"))
              for name in config["data"]["tasks"]]
    return torch.cat(images)


def errors_of(directory):
    """The largest relative error of every term over the steps, and of every final weight."""
    config = load_config(directory)
    samples, pixels = Samples(config, directory, "train"), pixels_of(config, directory)
    trainer = peer_torch.Trainer(settings_of(config, tuple(pixels.shape[1:]), len(config["data"]["tasks"])),
                                 torch.float64)
    trainer.network.load_state_dict(load_initial_weights(config, directory))
    expected, final = load_expected(directory)
    order, size = load_order(config, directory), config["train"]["batch_size"]
    starts = [start for _ in range(config["train"]["epochs"]) for start in range(0, len(order), size)]
    assert len(starts) >= len(expected["steps"]), "number of steps"
    errors = {}
    for start, row in zip(starts, expected["steps"]):
        chosen = order[start:start + size]
        labels = samples.labels[chosen]
        terms = trainer.step(pixels[chosen], labels, samples.tasks[chosen])
        terms["accuracy"] = (terms.pop("logits").argmax(1) == labels).double().mean()
        for name, value in terms.items():
            error = abs(value.item() - row[name]) / (abs(row[name]) or 1.0)
            errors[name] = max(errors.get(name, 0.0), error)
    for name, value in trainer.network.state_dict().items():
        errors[name] = float((value - final[name]).abs().max() / final[name].abs().max())
    return errors


class PeerTest(unittest.TestCase):
    def test_golden_cases(self):
        directories = sorted(path.parent for path in GOLDEN.glob("*/config.yaml"))
        self.assertGreater(len(directories), 0)
        for directory in directories:
            with self.subTest(directory.name):
                errors = errors_of(directory)
                worst = max(errors, key=errors.get)
                self.assertLess(errors[worst], TOLERANCE, worst)

    def test_the_papers_settings(self):
        """What is timed is the paper's network: 10 classes, 49 patches, rank floor(D / sqrt(N))."""
        for variant in ("cdsp", "baseline", "blind"):
            bench = peer_torch.Bench(variant, 2)
            first = bench.step()["loss_total"].item()
            second = bench.step()
            self.assertTrue(0 < first < 100)
            self.assertEqual(second["logits"].shape, (2, 10))
        self.assertEqual(bench.trainer.network.blocks[0].attn.turns.shape[0], 49)
        self.assertEqual(peer_torch.Settings().rank, rank_quota({"moe": {"rank": "auto", "d_base": 256,
                                                                         "num_experts": 8}}))


if __name__ == "__main__":
    unittest.main()
