"""Keys, values and what the model makes of errors in them.

For each window of text: the K and V of its prefix, and the gradients by them of
the sum of log p over the continuation, where the labels are sampled from the
model itself. The mean of g g^T is the Fisher information: an error e of the
values costs (g e)^2 / 2 nats of KL.
"""
import hashlib
import os

import numpy
import torch

# Gradients are kept in units of 1 / UNIT: f16 begins at 6e-8, and what counts
# here lies between 1e-5 and 10.
UNIT = 256.0


def planes(cache):
    """[tokens, layers, 2, heads * head_dim] of a cache of one window."""
    rows = [torch.stack([part[0].transpose(0, 1).flatten(1) for part in pair])
            for pair in cache]
    return torch.stack(rows).permute(2, 0, 1, 3).contiguous()


class _Window:
    """A prefix's cache as leaves, and log p of what follows it."""

    def __init__(self, model, ids, prefix, seed):
        tokens = torch.tensor([ids])
        self.generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            _, self.cache = model.forward(tokens[:, :prefix])
        self.leaves = [part.detach().requires_grad_()
                       for pair in self.cache for part in pair]
        past = list(zip(self.leaves[0::2], self.leaves[1::2]))
        hidden, _ = model.forward(tokens[:, prefix:], past, prefix)
        self.log_p = model.logits(hidden)[0].log_softmax(-1)

    def gradients(self):
        """Of the sum of log p of labels that are sampled anew."""
        labels = torch.multinomial(self.log_p.detach().exp(), 1,
                                   generator=self.generator)
        total = self.log_p.gather(1, labels).sum()
        found = torch.autograd.grad(total, self.leaves, retain_graph=True)
        return planes(list(zip(found[0::2], found[1::2])))


def gather_window(model, ids, prefix, seed, samples):
    """Of a list of token ids: (values, gradients). Values are [tokens, layers,
    2, channels] in f32; of gradients there is one such for each of `samples`
    sets of labels, in f16, UNIT times as large."""
    window = _Window(model, ids, prefix, seed)
    found = torch.stack([window.gradients() for _ in range(samples)])
    return planes(window.cache).numpy(), (found * UNIT).half().numpy()


def _coherence(model, rows, prefix, skipped, samples, report):
    above, below = 0, 0
    for index, ids in enumerate(rows):
        window = _Window(model, ids, prefix, index)
        values = planes(window.cache)[skipped:]
        values = values - values.mean(0)
        for _ in range(samples):
            effect = window.gradients()[skipped:] * values
            above = above + effect.sum(0).square().sum(-1)
            below = below + effect.square().sum((0, -1))
        report(index + 1, len(rows))
    return (above / below).numpy()


def coherence(model, weights, rows, prefix, folder, skipped, samples, report):
    """How much more errors along the signal cost than the squares of the
    gradients say, [layers, 2]: of the keys and values of each layer.

    A coarse step makes values smaller, those of all tokens alike. What that
    costs is the square of a sum over tokens, not the sum of the squares; the
    ratio of the two, over `rows` of token ids and sets of labels, is this.
    Kept in `folder` like what gather() finds; the first `skipped` tokens of
    each row don't count.
    """
    key = hashlib.sha256(weights)
    key.update(b"coherence/1 %d %d %d" % (prefix, skipped, samples))
    key.update(numpy.asarray(rows, numpy.uint32).tobytes())
    path = os.path.join(folder, key.hexdigest()[:32] + ".r.npy")
    if not os.path.exists(path):
        found = _coherence(model, rows, prefix, skipped, samples, report)
        numpy.save(path + ".part.npy", found)
        os.replace(path + ".part.npy", path)
    return numpy.load(path)


class Gathered:
    """Windows on disk; values(i) and gradients(i) are memory maps of each."""

    def __init__(self, stems):
        self.stems = stems

    def __len__(self):
        return len(self.stems)

    def values(self, window):
        return numpy.load(self.stems[window] + ".kv.npy", mmap_mode="r")

    def gradients(self, window):
        return numpy.load(self.stems[window] + ".g.npy", mmap_mode="r")


def gather(model, weights, rows, prefix, folder, samples, report):
    """Gathers all windows `rows`; those that `folder` has are not done again.

    weights   what the model is called in the files' names, bytes
    report    called with (done, of) after each window that was missing
    """
    os.makedirs(folder, exist_ok=True)
    stems = []
    for index, ids in enumerate(rows):
        key = hashlib.sha256(weights)
        key.update(b"gather/2 %d %d" % (prefix, samples))
        key.update(numpy.asarray(ids, numpy.uint32).tobytes())
        digest = key.digest()
        stem = os.path.join(folder, digest.hex()[:32])
        if not os.path.exists(stem + ".g.npy"):
            seed = int.from_bytes(digest[:7], "little")
            found = gather_window(model, ids, prefix, seed, samples)
            for array, name in zip(found, (".kv.npy", ".g.npy")):
                numpy.save(stem + ".part.npy", array)
                os.replace(stem + ".part.npy", stem + name)
            report(index + 1, len(rows))
        stems.append(stem)
    return Gathered(stems)
