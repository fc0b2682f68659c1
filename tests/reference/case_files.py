"""Files of a test case: config.yaml, IDX data, sample order, weights.

A case is a folder holding everything a training run needs and everything it must produce:

    config.yaml          the run's configuration; its paths are relative to the folder
    data/TASK/*.gz       IDX images and labels, train and t10k
    order.txt            the global index of one training sample a line (tasks concatenated)
    init.safetensors     initial weights
    expected.json        losses of every step, evaluation under every protocol
    final.safetensors    weights after the last step
"""

import copy
import gzip
import json
import math
import struct
from pathlib import Path

import numpy
import torch
import yaml
from safetensors.torch import load_file

# The paper profile; a config names only what differs.
DEFAULTS = {
    "variant": "cdsp",
    "seed": 0,
    "model": {"dtype": "float32", "d_model": 64, "layers": 2, "heads": 4, "kv_heads": 2, "patch_size": 4,
              "classes": 10, "head_bias": True, "head_init": "uniform"},
    "moe": {"num_experts": 8, "top_k": 2, "d_base": 256, "rank": "auto", "d_ffn": 32},
    "topology": {"init": "max_entropy", "init_std": 0.01},
    "router": {"task_embedding": 16, "norm": "token", "task_dropout": 0.1, "dropout_unit": "sample"},
    "conflict": {"lambda": 10.0, "penalty": "logit", "gradient": "uv", "l1": 1.0e-3, "determinism": 0.0},
    "balance": {"kind": "switch", "lambda": 0.01},
    "optimizer": {"lr": 5.0e-3, "topology_lr": 5.0e-2, "weight_decay": 0.01, "clip_norm": 1.0},
    "data": {"source": "idx", "root": "data", "tasks": ["mnist", "kmnist", "fashion-mnist"], "labels": "native",
             "limit_per_task": 0, "sampling": "concat", "order_file": None},
    "train": {"epochs": 10, "batch_size": 128, "max_steps": 0, "log_every": 50, "init_from": None,
              "device": "auto", "threads": 0},
}

CHOICES = {
    ("variant",): ("cdsp", "baseline", "blind"),
    ("model", "dtype"): ("float32", "float64"),
    ("router", "norm"): ("token", "sequence"),
    ("conflict", "penalty"): ("logit", "gated_logit", "sigmoid"),
    ("conflict", "gradient"): ("u", "uv"),
    ("balance", "kind"): ("switch", "cv2"),
    ("data", "source"): ("idx",),
    ("data", "labels"): ("native", "coarse"),
}


def complete_config(given):
    """The defaults overlaid with `given`; an unknown key or an unsupported value is an error."""
    config = copy.deepcopy(DEFAULTS)
    for section, value in given.items():
        if section not in config:
            raise ValueError(f"unknown key {section}")
        if not isinstance(config[section], dict):
            config[section] = value
            continue
        for key, entry in value.items():
            if key not in config[section]:
                raise ValueError(f"unknown key {section}.{key}")
            config[section][key] = entry
    for path, allowed in CHOICES.items():
        value = config
        for key in path:
            value = value[key]
        if value not in allowed:
            raise ValueError(f"{'.'.join(path)}: {value} is not one of {allowed}")
    # Random streams differ between implementations, so only the two certain outcomes can be compared.
    if config["variant"] != "blind" and config["router"]["task_dropout"] not in (0, 1):
        raise ValueError("router.task_dropout must be 0 or 1 here")
    return config


def load_config(directory):
    with open(Path(directory) / "config.yaml") as file:
        return complete_config(yaml.safe_load(file))


def rank_quota(config):
    """r of Eq. 6: floor(D / sqrt(N)), in integers so that no rounding decides, or the number given."""
    rank, dimensions = config["moe"]["rank"], config["moe"]["d_base"]
    if rank == "auto":
        return math.isqrt(dimensions * dimensions // config["moe"]["num_experts"])
    return int(rank)


def read_idx(path):
    """An IDX file of unsigned bytes, plain or gzip-compressed, as a NumPy array."""
    path = Path(path)
    if not path.exists():
        path = path.with_name(path.name + ".gz")
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    zero, kind, rank = struct.unpack(">HBB", content[:4])
    if zero != 0 or kind != 8:
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    shape = struct.unpack(f">{rank}I", content[4:4 + 4 * rank])
    return numpy.frombuffer(content, dtype=numpy.uint8, offset=4 + 4 * rank).reshape(shape).copy()


def write_idx(path, array):
    """Writes an IDX file, gzip-compressed without a time stamp so that equal arrays are equal files."""
    array = numpy.ascontiguousarray(array, dtype=numpy.uint8)
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=9, mtime=0))


def class_labels(task_name, labels, kind):
    """The classes trained on: the file's own, or the released code's coarse ones, which depend on the task's name."""
    if kind == "coarse":
        if task_name == "kmnist":
            return labels % 2
        if task_name == "fashion-mnist":
            return (labels >= 5).astype(labels.dtype)
    return labels


class Samples:
    """Images in [-1, 1], classes and task numbers; tasks concatenated in the config's order."""

    def __init__(self, config, directory, split):
        data = config["data"]
        images, labels, tasks = [], [], []
        for number, name in enumerate(data["tasks"]):
            folder = Path(directory) / data["root"] / name
            task_images = read_idx(folder / f"{split}-images-idx3-ubyte")
            task_labels = read_idx(folder / f"{split}-labels-idx1-ubyte")
            if split == "train" and data["limit_per_task"]:
                task_images = task_images[:data["limit_per_task"]]
                task_labels = task_labels[:data["limit_per_task"]]
            images.append(task_images)
            labels.append(class_labels(name, task_labels, data["labels"]))
            tasks.append(numpy.full(len(task_labels), number))
        dtype = getattr(torch, config["model"]["dtype"])
        self.images = torch.from_numpy(numpy.concatenate(images)).to(dtype) / 255 * 2 - 1
        self.labels = torch.from_numpy(numpy.concatenate(labels)).long()
        self.tasks = torch.from_numpy(numpy.concatenate(tasks)).long()

    def __len__(self):
        return len(self.labels)


def load_order(config, directory):
    text = (Path(directory) / config["data"]["order_file"]).read_text()
    return [int(line) for line in text.split()]


def load_initial_weights(config, directory):
    dtype = getattr(torch, config["model"]["dtype"])
    weights = load_file(str(Path(directory) / config["train"]["init_from"]))
    return {name: value.to(dtype) for name, value in weights.items()}


def load_expected(directory):
    directory = Path(directory)
    return json.loads((directory / "expected.json").read_text()), load_file(str(directory / "final.safetensors"))
