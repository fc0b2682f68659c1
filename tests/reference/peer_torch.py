"""The training step of the three variants as a plain PyTorch script: eager, vectorised, nothing compiled or fused by
hand. Written from the paper's equations; neither the C++ program nor cdsp_reference.py is behind it.

It is what `scripts/bench-peer` runs beside `cdsp`, and what `test_peer.py` checks against the golden cases. It needs
nothing but PyTorch (2.5 or later).

    python peer_torch.py --variant cdsp,baseline --batch 128 --threads 1,2 [--steps 10] [--repeats 5] [--json]
    python peer_torch.py --serve       # a request a line on standard input, an answer a line on standard output
"""

import argparse
import json
import math
import statistics
import sys
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Settings:
    """The paper's configuration."""
    variant: str = "cdsp"            # cdsp | baseline | blind
    d_model: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    patch_size: int = 4
    classes: int = 10
    head_bias: bool = True
    image: tuple = (28, 28)
    tasks: int = 3
    experts: int = 8
    top_k: int = 2
    d_base: int = 256
    rank: int = 90                   # floor(d_base / sqrt(experts))
    d_ffn: int = 32
    init_std: float = 0.01
    task_embedding: int = 16
    router_norm: str = "token"       # token | sequence
    task_dropout: float = 0.1
    conflict_lambda: float = 10.0
    penalty: str = "logit"           # logit | gated_logit | sigmoid
    conflict_gradient: str = "uv"    # uv | u
    l1: float = 1e-3
    determinism: float = 0.0
    balance: str = "switch"          # switch | cv2
    balance_lambda: float = 0.01
    lr: float = 5e-3
    topology_lr: float = 5e-2
    weight_decay: float = 0.01
    clip_norm: float = 1.0           # 0 = off


class Attention(nn.Module):
    """Grouped-query attention, causal, with rotary positions on adjacent pairs."""

    def __init__(self, settings, positions):
        super().__init__()
        d = settings.d_model
        self.heads, self.kv_heads, self.width = settings.heads, settings.kv_heads, d // settings.heads
        self.wq = nn.Linear(d, d, bias=False)
        self.wk = nn.Linear(d, self.kv_heads * self.width, bias=False)
        self.wv = nn.Linear(d, self.kv_heads * self.width, bias=False)
        self.wo = nn.Linear(d, d, bias=False)
        frequency = 10000.0 ** (-torch.arange(0, self.width, 2, dtype=torch.float64) / self.width)
        angle = torch.outer(torch.arange(positions, dtype=torch.float64), frequency)
        # As pairs of real numbers: a module's change of dtype leaves complex buffers alone.
        self.register_buffer("turns", torch.stack([angle.cos(), angle.sin()], -1), persistent=False)

    def rotate(self, x):
        """x [batch, positions, heads, width]: adjacent pairs as complex numbers, turned."""
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * torch.view_as_complex(self.turns)[:, None]).flatten(-2)

    def forward(self, x):
        batch, positions, d = x.shape
        q = self.rotate(self.wq(x).view(batch, positions, self.heads, self.width))
        k = self.rotate(self.wk(x).view(batch, positions, self.kv_heads, self.width))
        v = self.wv(x).view(batch, positions, self.kv_heads, self.width)
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, 2), v.repeat_interleave(group, 2)
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        return self.wo(mixed.transpose(1, 2).reshape(batch, positions, d))


@dataclass
class Routing:
    logits: torch.Tensor     # [tokens, experts]
    chosen: torch.Tensor     # [tokens, top_k]
    tokens: torch.Tensor     # [tokens * top_k] the pairs' tokens, sorted by expert
    weights: torch.Tensor    # [tokens * top_k] their softmax weights
    counts: torch.Tensor     # [experts] pairs of each expert


class MixtureOfExperts(nn.Module):
    """Router, and the experts of either kind, each on its own tokens."""

    def __init__(self, settings):
        super().__init__()
        s = self.settings = settings
        self.task_embedding = nn.Embedding(s.tasks, s.task_embedding)
        self.router = nn.Linear(s.d_model + s.task_embedding, s.experts)
        if s.variant == "cdsp":
            self.U = nn.Parameter(nn.init.orthogonal_(torch.empty(s.d_model, s.d_base)))
            self.V = nn.Parameter(nn.init.orthogonal_(torch.empty(s.d_base, s.d_model)))
            self.alpha = nn.Parameter(torch.randn(s.experts, s.experts) * s.init_std)
            owner = torch.full((s.d_base,), s.experts)    # of every column; `experts` is nobody
            block = s.d_base // s.experts
            owner[:block * s.experts] = torch.arange(s.experts).repeat_interleave(block)
            self.register_buffer("owner", owner, persistent=False)
        else:
            self.experts = nn.ParameterDict({
                "w1": (torch.rand(s.experts, s.d_ffn, s.d_model) * 2 - 1) / math.sqrt(s.d_model),
                "b1": (torch.rand(s.experts, s.d_ffn) * 2 - 1) / math.sqrt(s.d_model),
                "w2": (torch.rand(s.experts, s.d_model, s.d_ffn) * 2 - 1) / math.sqrt(s.d_ffn),
                "b2": (torch.rand(s.experts, s.d_model) * 2 - 1) / math.sqrt(s.d_ffn)})

    def route(self, x, tasks, kept):
        s = self.settings
        normalised = F.layer_norm(x, x.shape[-1:] if s.router_norm == "token" else x.shape[-2:])
        if tasks is None:
            told = x.new_zeros(len(x), s.task_embedding)
        else:
            told = self.task_embedding(tasks)
            if kept is not None:
                told = told * kept[:, None]
        inputs = torch.cat([normalised, told[:, None].expand(-1, x.shape[1], -1)], -1).flatten(0, 1)
        logits = self.router(inputs)
        largest, chosen = logits.topk(s.top_k, dim=-1)
        experts = chosen.flatten()
        order = experts.argsort(stable=True)
        weights = largest.softmax(-1).flatten()[order]
        counts = torch.bincount(experts, minlength=s.experts)
        return Routing(logits, chosen, order // s.top_k, weights, counts)

    def select(self):
        """Columns [experts, rank] of every expert, largest logit first and ties to the lowest index, and the gates."""
        nobody = self.alpha.new_full((len(self.alpha), 1), -math.inf)
        force = torch.cat([self.alpha, nobody], 1)[:, self.owner]
        columns = force.detach().sort(dim=1, descending=True, stable=True).indices[:, :self.settings.rank]
        return columns, torch.sigmoid(force.gather(1, columns)).mean(1)

    def forward(self, x, routing):
        """x [tokens, d]. A CDSP layer leaves every expert's own copies of its columns, with their gradients to come."""
        parts = x[routing.tokens].split(routing.counts.tolist())
        if self.settings.variant == "cdsp":
            self.columns, gates = self.select()
            self.own_U, self.own_V = self.U.t()[self.columns], self.V[self.columns]    # [experts, rank, d]
            if torch.is_grad_enabled():
                self.own_U.retain_grad()
                self.own_V.retain_grad()
            outputs = [F.silu(part @ u.t()) @ v * gate
                       for part, u, v, gate in zip(parts, self.own_U.unbind(), self.own_V.unbind(), gates.unbind())]
        else:
            e = self.experts
            outputs = [F.linear(F.silu(F.linear(part, w1, b1)), w2, b2)
                       for part, w1, b1, w2, b2 in zip(parts, e["w1"].unbind(), e["b1"].unbind(), e["w2"].unbind(),
                                                       e["b2"].unbind())]
        weighted = torch.cat(outputs) * routing.weights[:, None]
        return torch.zeros_like(x).index_add(0, routing.tokens, weighted)


class Block(nn.Module):
    def __init__(self, settings, positions):
        super().__init__()
        self.norm1 = nn.RMSNorm(settings.d_model, eps=1e-6)
        self.attn = Attention(settings, positions)
        self.norm2 = nn.RMSNorm(settings.d_model, eps=1e-6)
        self.moe = MixtureOfExperts(settings)

    def forward(self, h, tasks, kept):
        h = h + self.attn(self.norm1(h))
        x = self.norm2(h)
        routing = self.moe.route(x, tasks, kept)
        return h + self.moe(x.flatten(0, 1), routing).view_as(h), routing


class Network(nn.Module):
    def __init__(self, settings):
        super().__init__()
        s = self.settings = settings
        positions = (s.image[0] // s.patch_size) * (s.image[1] // s.patch_size)
        self.embed = nn.Linear(s.patch_size ** 2, s.d_model)
        self.blocks = nn.ModuleList([Block(s, positions) for _ in range(s.layers)])
        self.norm = nn.RMSNorm(s.d_model, eps=1e-6)
        self.head = nn.Linear(s.d_model, s.classes, bias=s.head_bias)

    def forward(self, images, tasks, kept):
        size = self.settings.patch_size
        batch, height, width = images.shape
        patches = images.view(batch, height // size, size, width // size, size).transpose(2, 3).flatten(3).flatten(1, 2)
        h, routings = self.embed(patches), []
        for block in self.blocks:
            h, routing = block(h, tasks, kept)
            routings.append(routing)
        return self.head(self.norm(h).mean(1)), routings


class Signal:
    """What a layer's conflict of one step needs of the step before: gradients, columns, and who had tokens."""

    def __init__(self, layer, counts):
        experts, d_base = layer.settings.experts, layer.settings.d_base
        index = layer.columns[:, :, None].expand_as(layer.own_U)
        sources = [layer.own_U, layer.own_V] if layer.settings.conflict_gradient == "uv" else [layer.own_U]
        spread = [own.new_zeros(experts, d_base, own.shape[2]).scatter_(1, index, own.grad) for own in sources]
        self.gradients = torch.cat(spread, 2)    # [experts, D, d or 2 d], zero outside the columns
        self.mask = spread[0].new_zeros(experts, d_base).scatter_(1, layer.columns, 1.0)
        self.active = counts > 0

    def conflict(self, counts):
        """C [experts, experts] = ReLU(-cosine) over the common columns, of those active then and now."""
        flat = self.gradients.flatten(1)
        norms = ((self.gradients ** 2).sum(2) @ self.mask.t()).sqrt() + 1e-8    # [i, j]: of g_i on S_j
        cosine = (flat @ flat.t()) / (norms * norms.t())
        both = self.active & (counts > 0)
        common = self.mask @ self.mask.t() > 0
        counted = common & both[:, None] & both[None, :]
        return torch.where(counted, torch.relu(-cosine), 0.0).fill_diagonal_(0.0)


def penalty_of(alpha, kind):
    if kind == "logit":
        return alpha
    if kind == "gated_logit":
        return torch.where(alpha >= 1e-3, alpha, 0.0)
    return torch.sigmoid(alpha)


def balance_of(routing, kind):
    experts = routing.logits.shape[1]
    counts = routing.counts.to(routing.logits.dtype)
    if kind == "switch":
        return experts * (counts / counts.sum() * routing.logits.softmax(-1).mean(0)).sum()
    return (counts.std() / (counts.mean() + 1e-6)) ** 2


class Trainer:
    def __init__(self, settings, dtype=torch.float32, device="cpu"):
        self.settings = settings
        self.network = Network(settings).to(device, dtype)
        topology, base = [], []
        for name, parameter in self.network.named_parameters():
            (topology if name.endswith(".alpha") else base).append(parameter)
        groups = [{"params": base}]
        if topology:
            groups.append({"params": topology, "lr": settings.topology_lr, "weight_decay": 0.0})
        self.optimiser = torch.optim.AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
        self.signals = [None] * settings.layers
        self.dtype = dtype

    def step(self, images, labels, tasks):
        """images uint8 [batch, rows, columns]. Returns the terms of the loss, the gradient norm and the logits."""
        s = self.settings
        kept = None
        if s.variant == "blind" or s.task_dropout == 1:
            tasks = None
        elif s.task_dropout > 0:
            kept = (torch.rand(len(images), device=images.device) >= s.task_dropout).to(self.dtype)
        logits, routings = self.network(images.to(self.dtype) / 127.5 - 1, tasks, kept)
        task = F.cross_entropy(logits, labels)
        conflict = regulariser = balance = task.new_zeros(())
        if s.variant == "cdsp":
            for block, routing, signal in zip(self.network.blocks, routings, self.signals):
                alpha = block.moe.alpha
                if signal is not None:
                    conflict = conflict + (penalty_of(alpha, s.penalty) * signal.conflict(routing.counts)).sum()
                share = torch.sigmoid(alpha)
                regulariser = (regulariser + s.l1 * alpha.abs().mean()
                               + s.determinism * (share * (1 - share)).mean())
            total = task + s.conflict_lambda * conflict + regulariser
        else:
            for routing in routings:
                balance = balance + balance_of(routing, s.balance)
            total = task + s.balance_lambda * balance
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        if s.variant == "cdsp":
            self.signals = [Signal(block.moe, routing.counts) for block, routing in zip(self.network.blocks, routings)]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), s.clip_norm if s.clip_norm > 0 else math.inf)
        self.optimiser.step()
        return {"loss_total": total.detach(), "loss_task": task.detach(), "loss_conflict": conflict.detach(),
                "loss_reg": regulariser.detach(), "loss_balance": balance.detach(), "grad_norm": norm,
                "logits": logits.detach()}


# --------------------------------------------------------------------------------------------------------------------
# Speed
# --------------------------------------------------------------------------------------------------------------------

class Bench:
    """One variant and batch on random images, ready to be timed at any number of threads."""

    def __init__(self, variant, batch, device="cpu"):
        torch.manual_seed(0)
        self.batch, self.device = batch, device
        self.trainer = Trainer(Settings(variant=variant), device=device)
        self.images = torch.randint(0, 256, (3 * batch, 28, 28), dtype=torch.uint8, device=device)
        self.labels = torch.randint(0, 10, (3 * batch,), device=device)
        self.tasks = torch.arange(3, device=device).repeat_interleave(batch)

    def step(self):
        chosen = torch.randint(0, len(self.labels), (self.batch,), device=self.device)
        return self.trainer.step(self.images[chosen], self.labels[chosen], self.tasks[chosen])

    def milliseconds(self, threads, steps):
        """A step, over so many, after one that is not counted."""
        torch.set_num_threads(threads)
        self.step()["loss_total"].item()
        start = time.perf_counter()
        for _ in range(steps):
            terms = self.step()
        terms["loss_total"].item()
        if self.device != "cpu":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) * 1000 / steps


def serve():
    """Requests {"variant", "batch", "device", "threads", "steps"}, answers {"ms_per_step"}; ends with its input."""
    benches = {}
    for line in sys.stdin:
        request = json.loads(line)
        key = request["variant"], request["batch"], request["device"]
        if key not in benches:
            benches[key] = Bench(*key)
        milliseconds = benches[key].milliseconds(request["threads"], request["steps"])
        print(json.dumps({"ms_per_step": milliseconds, "torch": torch.__version__}), flush=True)


def main():
    numbers = lambda text: [int(word) for word in text.split(",")]
    parser = argparse.ArgumentParser(description="The training step as a plain PyTorch script, timed.")
    parser.add_argument("--variant", default="baseline,cdsp", help="list of cdsp, baseline, blind")
    parser.add_argument("--batch", type=numbers, default=[128], help="list of images per step")
    parser.add_argument("--threads", type=numbers, default=[1, torch.get_num_threads()], help="list of thread counts")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--steps", type=int, default=10, help="steps per measurement")
    parser.add_argument("--repeats", type=int, default=5, help="measurements; the median counts")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help="answer requests on standard input")
    arguments = parser.parse_args()
    if arguments.serve:
        return serve()
    rows = []
    for variant in arguments.variant.split(","):
        for batch in arguments.batch:
            bench = Bench(variant, batch, arguments.device)
            for threads in sorted(set(arguments.threads)):
                times = [bench.milliseconds(threads, arguments.steps) for _ in range(arguments.repeats)]
                median = statistics.median(times)
                rows.append({"variant": variant, "batch": batch, "threads": threads, "ms_per_step": median,
                             "ms_fastest": min(times), "ms_slowest": max(times), "images_per_s": 1000 * batch / median})
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return None
    for row in rows:
        print(f"{row['variant']:9} batch {row['batch']:5} threads {row['threads']:3}  {row['ms_per_step']:8.2f} ms/step  "
              f"{row['images_per_s']:7.0f} images/s")
    return None


if __name__ == "__main__":
    main()
