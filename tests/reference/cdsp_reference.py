"""CDSP-MoE (arXiv:2512.20291) written the slow, literal way, as something to test a fast implementation against.

Everything here is the definition itself, not a rearrangement of it: a loop over experts, each gathering its own
columns of the shared backbone; index sets intersected as sets; every expert's gradient taken by automatic
differentiation on its own copy of the backbone. Equation numbers are the paper's.

The parameters are a dictionary from tensor name to tensor; the names are those of the weight files.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from case_files import rank_quota

RMS_EPSILON = 1e-6
LAYER_NORM_EPSILON = 1e-5
ROTARY_BASE = 10000.0
COSINE_EPSILON = 1e-8
GATE_THRESHOLD = 1e-3
ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON = 0.9, 0.999, 1e-8


# --------------------------------------------------------------------------------------------------------------------
# Network
# --------------------------------------------------------------------------------------------------------------------

def patches_of(images, size):
    """[batch, height, width] to [batch, patches, size * size]: patches row by row, pixels row by row within a patch."""
    rows, columns = images.shape[1] // size, images.shape[2] // size
    patches = []
    for row in range(rows):
        for column in range(columns):
            patch = images[:, row * size:(row + 1) * size, column * size:(column + 1) * size]
            patches.append(patch.reshape(len(images), size * size))
    return torch.stack(patches, dim=1)


def rms_norm(x, weight):
    return x * weight / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + RMS_EPSILON)


def rotate(x):
    """Rotary position embedding on adjacent pairs (x0, x1), (x2, x3), ...; x is [batch, tokens, width]."""
    tokens, width = x.shape[1], x.shape[2]
    frequency = ROTARY_BASE ** (-torch.arange(0, width, 2, dtype=x.dtype) / width)
    angle = torch.arange(tokens, dtype=x.dtype)[:, None] * frequency[None, :]
    even, odd = x[..., 0::2], x[..., 1::2]
    rotated = torch.stack([even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()], dim=-1)
    return rotated.reshape(x.shape)


def attention(x, parameters, prefix, heads, kv_heads):
    """Causal grouped-query attention; head j reads key/value head j // (heads / kv_heads)."""
    tokens, width = x.shape[1], x.shape[2] // heads
    query = x @ parameters[prefix + "wq.weight"].T
    key = x @ parameters[prefix + "wk.weight"].T
    value = x @ parameters[prefix + "wv.weight"].T
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    outputs = []
    for head in range(heads):
        shared = head // (heads // kv_heads)
        q = rotate(query[..., head * width:(head + 1) * width])
        k = rotate(key[..., shared * width:(shared + 1) * width])
        v = value[..., shared * width:(shared + 1) * width]
        scores = (q @ k.transpose(1, 2) / math.sqrt(width)).masked_fill(future, -math.inf)
        outputs.append(scores.softmax(dim=-1) @ v)
    return torch.cat(outputs, dim=-1) @ parameters[prefix + "wo.weight"].T


@dataclass
class Routing:
    logits: torch.Tensor    # [tokens, experts]
    chosen: torch.Tensor    # [tokens, top_k] expert numbers
    weights: torch.Tensor   # [tokens, top_k], softmax over the chosen logits only

    def selects(self, expert):
        """The tokens that chose `expert` and the slot in which they did."""
        return (self.chosen == expert).nonzero(as_tuple=True)


def route(x, task, parameters, prefix, config):
    """Eq. 10: logits W_g [LayerNorm(x), v_task] + b_g; `task` is a number per image, or None for 'not given'."""
    normalised_shape = x.shape[-1:] if config["router"]["norm"] == "token" else x.shape[-2:]
    normalised = F.layer_norm(x, normalised_shape, eps=LAYER_NORM_EPSILON)
    embedding = parameters[prefix + "task_embedding.weight"]
    if task is None:
        # A constant, not the embedding times zero: the embedding must stay out of the graph (see `adamw_step`).
        task_vector = x.new_zeros(len(x), embedding.shape[1])
    else:
        task_vector = embedding[task]
    task_vector = task_vector[:, None, :].expand(-1, x.shape[1], -1)
    inputs = torch.cat([normalised, task_vector], dim=-1).flatten(0, 1)
    logits = inputs @ parameters[prefix + "router.weight"].T + parameters[prefix + "router.bias"]
    chosen = logits.detach().sort(dim=-1, descending=True, stable=True).indices[:, :config["moe"]["top_k"]]
    return Routing(logits, chosen, logits.gather(1, chosen).softmax(dim=-1))


def partition(experts, dimensions):
    """Π of Eq. 2, [N, D]: expert i owns columns i B to (i + 1) B - 1, B = floor(D / N); the remainder has no owner."""
    block = dimensions // experts
    ownership = torch.zeros(experts, dimensions)
    for expert in range(experts):
        ownership[expert, expert * block:(expert + 1) * block] = 1
    return ownership


def instantiated_columns(alpha_row, dimensions, rank):
    """S_i of Eq. 5: the `rank` columns of the largest control force I_i = σ(A_i) Π, ties to the lowest index.

    σ is strictly increasing, so the columns are ranked by logit; columns without an owner have force zero and come
    last. Ranking σ(A) itself would let its rounding (which may differ between the vectorised body and the tail of an
    array) break a tie between equal logits.
    """
    experts = len(alpha_row)
    block = dimensions // experts
    logit = [float(alpha_row[column // block]) if column < block * experts else -math.inf
             for column in range(dimensions)]
    order = sorted(range(dimensions), key=lambda column: (-logit[column], column))
    return sorted(order[:rank])


@dataclass
class LayerRecord:
    """What a MoE layer did in one forward pass."""
    routing: Routing
    columns: dict = field(default_factory=dict)      # expert -> S_i, of the experts that had tokens
    backbones: dict = field(default_factory=dict)    # expert -> its own copies of U and V


def cdsp_layer(x, routing, parameters, prefix, rank):
    """Eq. 4, 5, 7, 8, 9: a loop over experts, each on its own columns of the shared backbone."""
    U, V, alpha = (parameters[prefix + name] for name in ("U", "V", "alpha"))
    experts, dimensions = len(alpha), U.shape[1]
    ownership = partition(experts, dimensions).to(U.dtype)
    record = LayerRecord(routing)
    y = torch.zeros_like(x)
    for expert in range(experts):
        tokens, slots = routing.selects(expert)
        if len(tokens) == 0:
            continue
        columns = instantiated_columns(alpha[expert].detach(), dimensions, rank)
        control_force = torch.sigmoid(alpha[expert]) @ ownership                     # Eq. 4
        gate = control_force[columns].mean()                                         # Eq. 8
        # A copy is a node of its own in the graph: the gradient that arrives at it is this expert's alone.
        expert_U, expert_V = U.clone(), V.clone()
        hidden = F.silu(x[tokens] @ expert_U[:, columns])                            # Eq. 7
        output = hidden @ expert_V[columns, :]
        y = y.index_add(0, tokens, routing.weights[tokens, slots, None] * gate * output)   # Eq. 9
        record.columns[expert] = columns
        record.backbones[expert] = (expert_U, expert_V)
    return y, record


def standard_layer(x, routing, parameters, prefix):
    """The baselines: independent experts W2 SiLU(W1 x + b1) + b2."""
    w1, b1, w2, b2 = (parameters[prefix + "experts." + name] for name in ("w1", "b1", "w2", "b2"))
    y = torch.zeros_like(x)
    for expert in range(len(w1)):
        tokens, slots = routing.selects(expert)
        output = F.silu(x[tokens] @ w1[expert].T + b1[expert]) @ w2[expert].T + b2[expert]
        y = y.index_add(0, tokens, routing.weights[tokens, slots, None] * output)
    return y, LayerRecord(routing)


def forward(parameters, config, images, task):
    """Class logits [batch, classes] and one LayerRecord a block. `task`: a number per image, or None."""
    model = config["model"]
    h = patches_of(images, model["patch_size"]) @ parameters["embed.weight"].T + parameters["embed.bias"]
    records = []
    for layer in range(model["layers"]):
        block = f"blocks.{layer}."
        h = h + attention(rms_norm(h, parameters[block + "norm1.weight"]), parameters, block + "attn.",
                          model["heads"], model["kv_heads"])
        x = rms_norm(h, parameters[block + "norm2.weight"])
        routing = route(x, task, parameters, block + "moe.", config)
        if config["variant"] == "cdsp":
            y, record = cdsp_layer(x.flatten(0, 1), routing, parameters, block + "moe.", rank_quota(config))
        else:
            y, record = standard_layer(x.flatten(0, 1), routing, parameters, block + "moe.")
        h = h + y.reshape(h.shape)
        records.append(record)
    token_logits = rms_norm(h, parameters["norm.weight"]) @ parameters["head.weight"].T
    if model["head_bias"]:
        token_logits = token_logits + parameters["head.bias"]
    return token_logits.mean(dim=1), records


# --------------------------------------------------------------------------------------------------------------------
# Lagged gradient game
# --------------------------------------------------------------------------------------------------------------------

@dataclass
class StoredGradient:
    """One expert's gradient of the previous step (Eq. 13), with the columns S_i it was taken on."""
    columns: list
    U: torch.Tensor    # [d, D], zero outside the columns
    V: torch.Tensor    # [D, d]

    def restricted_to(self, columns, kind):
        if kind == "u":
            return self.U[:, columns].flatten()
        return torch.cat([self.U[:, columns].flatten(), self.V[columns, :].flatten()])


def conflict_matrix(stored, active, experts, kind, dtype):
    """C_ij = ReLU(-cos(g_i, g_j)) over S_i ∩ S_j (Eq. 14, 15); 0 on the diagonal and where the intersection is empty.

    `stored`: expert -> StoredGradient of the step before, and of that step only: an expert that was idle there has
    none, even if an older one exists. `active`: the experts with at least one token now.
    """
    conflict = torch.zeros(experts, experts, dtype=dtype)
    for i in range(experts):
        for j in range(experts):
            if i == j or not {i, j} <= active or not {i, j} <= stored.keys():
                continue
            shared = sorted(set(stored[i].columns) & set(stored[j].columns))
            if not shared:
                continue
            a, b = stored[i].restricted_to(shared, kind), stored[j].restricted_to(shared, kind)
            # The small number is added to each norm, after the root.
            cosine = (a @ b) / ((a.norm() + COSINE_EPSILON) * (b.norm() + COSINE_EPSILON))
            conflict[i, j] = torch.relu(-cosine)
    return conflict


def conflict_penalty(alpha, kind):
    """f(A_ij): `logit` of Eq. 17, `gated_logit` of the released code, `sigmoid` of Eq. 22."""
    if kind == "logit":
        return alpha
    if kind == "gated_logit":
        return torch.where(alpha >= GATE_THRESHOLD, alpha, torch.zeros_like(alpha))
    return torch.sigmoid(alpha)


# --------------------------------------------------------------------------------------------------------------------
# Objective
# --------------------------------------------------------------------------------------------------------------------

def balance_loss(routing, kind):
    experts = routing.logits.shape[1]
    counts = torch.bincount(routing.chosen.flatten(), minlength=experts).to(routing.logits.dtype)
    if kind == "switch":
        share = counts / counts.sum()
        return experts * (share * routing.logits.softmax(dim=-1).mean(dim=0)).sum()
    # The counts carry no gradient: this term shows in the loss and trains nothing.
    return (counts.std(correction=1) / (counts.mean() + 1e-6)) ** 2


@dataclass
class Objective:
    total: torch.Tensor
    task: torch.Tensor
    conflict: torch.Tensor      # unweighted, summed over layers
    regulariser: torch.Tensor   # weighted, summed over layers
    balance: torch.Tensor       # unweighted, summed over layers
    logits: torch.Tensor
    records: list
    conflict_matrices: list


def training_task(config, tasks):
    """The task numbers as training sees them: none for `blind`, none under certain task dropout (Eq. 11)."""
    if config["variant"] == "blind" or config["router"]["task_dropout"] == 1:
        return None
    return tasks


def objective(parameters, config, images, labels, tasks, stored):
    """Eq. 16, 17; `stored` is one dictionary of StoredGradient a layer."""
    logits, records = forward(parameters, config, images, training_task(config, tasks))
    task_loss = F.cross_entropy(logits, labels)
    zero = task_loss.new_zeros(())
    conflict, regulariser, balance, matrices = zero, zero, zero, []
    if config["variant"] == "cdsp":
        settings = config["conflict"]
        for layer, record in enumerate(records):
            alpha = parameters[f"blocks.{layer}.moe.alpha"]
            active = set(record.routing.chosen.flatten().tolist())
            matrix = conflict_matrix(stored[layer], active, len(alpha), settings["gradient"], alpha.dtype)
            # Ordered pairs: (i, j) and (j, i) both count. The diagonal of the matrix is zero.
            conflict = conflict + (conflict_penalty(alpha, settings["penalty"]) * matrix).sum()
            probability = torch.sigmoid(alpha)
            regulariser = (regulariser + settings["l1"] * alpha.abs().mean()
                           + settings["determinism"] * (probability * (1 - probability)).mean())
            matrices.append(matrix)
        total = task_loss + settings["lambda"] * conflict + regulariser
    else:
        for record in records:
            balance = balance + balance_loss(record.routing, config["balance"]["kind"])
        total = task_loss + config["balance"]["lambda"] * balance
    return Objective(total, task_loss, conflict, regulariser, balance, logits, records, matrices)


# --------------------------------------------------------------------------------------------------------------------
# Training
# --------------------------------------------------------------------------------------------------------------------

def differentiate(result, parameters):
    """Gradients by name (None where the loss does not reach the parameter), and the gradients to store, per layer."""
    names = list(parameters)
    copies = [(layer, expert) for layer, record in enumerate(result.records) for expert in record.backbones]
    targets = [parameters[name] for name in names]
    for layer, expert in copies:
        targets.extend(result.records[layer].backbones[expert])
    gradients = torch.autograd.grad(result.total, targets, allow_unused=True)
    stored = [{} for _ in result.records]
    for number, (layer, expert) in enumerate(copies):
        U, V = gradients[len(names) + 2 * number:len(names) + 2 * number + 2]
        # Stored as differentiation gives it, before any clipping.
        stored[layer][expert] = StoredGradient(result.records[layer].columns[expert], U, V)
    return dict(zip(names, gradients)), stored


def gradient_norm(gradients):
    return math.sqrt(sum(float((gradient * gradient).sum()) for gradient in gradients.values() if gradient is not None))


def adamw_step(parameters, gradients, state, config):
    """AdamW at two speeds: `alpha` has its own rate and no decay; all else, biases and norms too, decays.

    A parameter (a whole tensor) whose gradient is None is left alone: neither decayed nor moved by old momentum. A
    tensor that is reached is updated in all its entries, those with gradient zero included.
    """
    settings = config["optimizer"]
    for name, parameter in parameters.items():
        gradient = gradients[name]
        if gradient is None:
            continue
        topology = name.endswith(".alpha")
        rate = settings["topology_lr"] if topology else settings["lr"]
        decay = 0.0 if topology else settings["weight_decay"]
        step, first, second = state.get(name, (0, torch.zeros_like(parameter), torch.zeros_like(parameter)))
        step += 1
        first = ADAM_BETA1 * first + (1 - ADAM_BETA1) * gradient
        second = ADAM_BETA2 * second + (1 - ADAM_BETA2) * gradient * gradient
        state[name] = (step, first, second)
        corrected_first = first / (1 - ADAM_BETA1 ** step)
        corrected_second = second / (1 - ADAM_BETA2 ** step)
        with torch.no_grad():
            parameter.mul_(1 - rate * decay)
            parameter.sub_(rate * corrected_first / (corrected_second.sqrt() + ADAM_EPSILON))


def batches(order, batch_size, epochs, max_steps):
    """One pass over the order is an epoch; its last batch may be smaller; every epoch repeats the same order."""
    step = 0
    for _ in range(epochs):
        for start in range(0, len(order), batch_size):
            if max_steps and step == max_steps:
                return
            step += 1
            yield step, order[start:start + batch_size]


def train(config, initial_weights, samples, order, observer=None):
    """Trains on the given order; returns the parameters and a dictionary of measures per step.

    `observer(step, result, parameters)` is called before every update.
    """
    parameters = {name: value.clone().requires_grad_() for name, value in initial_weights.items()}
    stored = [{} for _ in range(config["model"]["layers"])]
    optimiser_state, steps = {}, []
    settings = config["train"]
    for step, batch in batches(order, settings["batch_size"], settings["epochs"], settings["max_steps"]):
        labels = samples.labels[batch]
        result = objective(parameters, config, samples.images[batch], labels, samples.tasks[batch], stored)
        gradients, stored = differentiate(result, parameters)
        norm = gradient_norm(gradients)
        if observer:
            observer(step, result, parameters)
        clip = config["optimizer"]["clip_norm"]
        factor = clip / (norm + 1e-6)
        if clip > 0 and factor < 1:
            gradients = {name: None if value is None else value * factor for name, value in gradients.items()}
        adamw_step(parameters, gradients, optimiser_state, config)
        steps.append({
            "step": step,
            "loss_total": result.total.item(),
            "loss_task": result.task.item(),
            "loss_conflict": result.conflict.item(),
            "loss_reg": result.regulariser.item(),
            "loss_balance": result.balance.item(),
            "grad_norm": norm,
            "accuracy": (result.logits.argmax(dim=1) == labels).double().mean().item(),
        })
    return {name: value.detach() for name, value in parameters.items()}, steps


# --------------------------------------------------------------------------------------------------------------------
# Evaluation
# --------------------------------------------------------------------------------------------------------------------

def evaluate(parameters, config, samples, observer=None):
    """Every protocol on all test images: the true task, no task, and each task K claimed for all images.

    routing[layer][task][expert] is the share of the k selections; its rows sum to one.
    """
    task_count = len(config["data"]["tasks"])
    protocols = {"informed": samples.tasks, "blind": None}
    for forced in range(task_count):
        protocols[f"forced-{forced}"] = torch.full_like(samples.tasks, forced)
    evaluation = {}
    for protocol, task in protocols.items():
        if config["variant"] == "blind":
            task = None    # never sees a task, whatever the protocol
        with torch.no_grad():
            logits, records = forward(parameters, config, samples.images, task)
        if observer:
            observer(protocol, logits, records)
        losses = F.cross_entropy(logits, samples.labels, reduction="none")
        correct = (logits.argmax(dim=1) == samples.labels).double()
        members = [samples.tasks == number for number in range(task_count)]
        routing = []
        for record in records:
            chosen = record.routing.chosen.reshape(len(samples), -1)
            table = []
            for member in members:
                counts = torch.bincount(chosen[member].flatten(), minlength=config["moe"]["num_experts"]).double()
                table.append((counts / counts.sum()).tolist())
            routing.append(table)
        evaluation[protocol] = {
            "routing": routing,
            "accuracy": [correct[member].mean().item() for member in members],
            "loss": [losses[member].mean().item() for member in members],
        }
    return evaluation
