"""The transform of one group: means, sensitivity, basis.

Names follow docs/format/codecs/klt.md: values x of a token, means mu, the
matrix M = hi + lo / 256, scales dec; x - mu = dec (M z), so an encoder solves
z = M^-1 ((x - mu) / dec). Sums are done in one order, so the same tokens give
the same numbers on the same kind of machine.

What errors cost comes from gradients (gather.py): an error e of a token costs
(g e)^2 / 2 nats of KL. It falls into a part of the token, which a ridge
regression predicts from the token's own values (the encoder has no gradients),
and a part of the direction. A token of predicted sensitivity s gets a step that
goes with s^(-e/2), so its errors have a variance that goes with s^-e, and what
errors of several channels cost together is F, the mean of g g^T s^-e (with
g g^T / s, as if e were 1, values get far too few bits). F is kept within each
head; what it has between heads is noise more than anything else. Keys' and
values' F are multiplied by their layer's coherence (gather.py).

The basis is the KLT of y = F^(1/2) (x - mu), in which all directions cost the
same: M turns and stretches, and is not orthogonal.
"""
import numpy

import quantiser

HUBER_CAP = 10.0
RIDGE = 0.03          # of each input's own power
ROUNDS = 2
# The share of F that is its diagonal alone. Of SmolLM2 at KL .001, in bits a
# value: 1.44 of the diagonal, 1.33 of this, 1.37 with 0.1, which is closer to
# the noise of 36 windows.
DIAGONAL = 0.3
FLOOR = 2.0 ** -30    # under the logarithm of a norm


class Transform:
    """mu, a, dec, enc [n], a^2 being F's diagonal; by_channel [n], by_norm
    [planes], by_position, constant: the regressor; hi [n, n], lo [lead, n] int8
    by coefficient; variance [n] of the coefficients."""

    def basis(self):
        """M, [channel, coefficient] f32, as the decoder has it."""
        found = self.hi.astype(numpy.float32)
        found[:len(self.lo)] += self.lo.astype(numpy.float32) / 256
        return found.T

    def centred(self, values):
        return values - self.mu

    def log2_s(self, values, positions):
        """The predicted sensitivity of tokens, [tokens] f32."""
        centred = self.centred(values)
        weights = numpy.concatenate([
            self.by_channel, self.by_norm, [self.by_position, self.constant]])
        inputs = _inputs(centred, len(self.by_norm), positions)
        return inputs @ weights.astype(numpy.float32)

    def coefficients(self, values):
        return (self.centred(values) / self.dec) @ self.solved


def _inputs(centred, planes, positions):
    tokens = len(centred)
    norms = numpy.square(centred).reshape(tokens, planes, -1).sum(2)
    tail = [numpy.log2(FLOOR + norms),
            numpy.log2(1.0 + positions)[:, None], numpy.ones((tokens, 1))]
    return numpy.concatenate([centred] + tail, 1).astype(numpy.float32)


def _power(inputs):
    """Their second moments, with a penalty on all but the last, constant."""
    square = (inputs.T @ inputs).astype(numpy.float64) / len(inputs)
    penalty = RIDGE * numpy.diag(square)
    penalty[-1] = 0.0
    square[numpy.diag_indices_from(square)] += penalty + 1e-12
    return square


def _ridge(square, inputs, target):
    """Weights of least squares, penalised."""
    product = inputs.T @ target.astype(numpy.float32)
    return numpy.linalg.solve(square, product.astype(numpy.float64) /
                              len(target))


def _energies(squares, a):
    return numpy.log2((squares @ (1 / numpy.square(a))) / len(a) + 1e-30)


def fit(values, gradients, positions, exponent, coherence, head_dim):
    """A Transform.

    values     [tokens, n] f32
    gradients  [samples, tokens, n]
    exponent   of sensitivities, as the encoder will use it
    coherence  [planes]; planes have equally many channels

    The regressor's constant is such that the mean of s is 1.
    """
    planes, n = len(coherence), values.shape[1]
    squares = mean_squares(gradients)
    found = Transform()
    found.mu = values.mean(0, dtype=numpy.float64).astype(numpy.float32)
    inputs = _inputs(found.centred(values), planes, positions)
    square = _power(inputs)
    a = numpy.sqrt(squares.mean(0, dtype=numpy.float64)).astype(numpy.float32)
    for _ in range(ROUNDS):
        energy = _energies(squares, _positive(a))
        weights = _ridge(square, inputs, energy)
        log2_s = inputs @ weights
        weights[-1] -= numpy.log2(numpy.exp2(log2_s).mean())
        s = numpy.exp2(inputs @ weights)
        left = numpy.exp2(energy) / s
        share = numpy.minimum(1, HUBER_CAP * numpy.median(left) / left) / s
        a = numpy.sqrt(share @ squares / len(s))
    found.by_channel, found.by_norm = weights[:n], weights[n:n + planes]
    found.by_position, found.constant = weights[n + planes:]
    share = (s ** -exponent).astype(numpy.float32)
    fisher = _fisher(gradients, share, head_dim)
    fisher *= numpy.repeat(coherence, len(fisher) // planes)[:, None, None]
    found.a = _positive(numpy.sqrt(numpy.diagonal(fisher, 0, 1, 2).reshape(-1))
                        ).astype(numpy.float32)
    _set_basis(found, found.centred(values), fisher)
    return found


def mean_squares(gradients):
    """Of [samples, tokens, n] over the samples."""
    return numpy.square(gradients, dtype=numpy.float32).mean(0)


def _positive(a):
    return numpy.maximum(a, a.max() * 1e-4)


def _fisher(gradients, share, head_dim):
    """F of each head, [heads, head_dim, head_dim] f64."""
    samples, tokens, n = gradients.shape
    found = numpy.empty((n // head_dim, head_dim, head_dim))
    for head in range(len(found)):
        part = gradients[:, :, head * head_dim:(head + 1) * head_dim]
        part = part.astype(numpy.float32)
        found[head] = sum((g * share[:, None]).T @ g for g in part)
    found *= (1 - DIAGONAL) / (samples * tokens)
    index = numpy.arange(head_dim)
    found[:, index, index] /= 1 - DIAGONAL
    return found


def _roots(fisher):
    """F^(1/2) and F^(-1/2) of each head."""
    power, turn = numpy.linalg.eigh(fisher)
    power = numpy.maximum(power, power.max() * 1e-8)[:, None]
    back = turn.transpose(0, 2, 1)
    return (turn * numpy.sqrt(power)) @ back, (turn / numpy.sqrt(power)) @ back


def _by_head(matrices, rows):
    """Blocks of a block-diagonal matrix times rows of a matrix, [n, any]."""
    heads, dim, _ = matrices.shape
    return (matrices @ rows.reshape(heads, dim, -1)).reshape(rows.shape)


def _set_basis(found, centred, fisher):
    """The KLT of y, rounded to what a profile holds."""
    n = centred.shape[1]
    root, inverse = _roots(fisher)
    square = (centred.T @ centred).astype(numpy.float64) / len(centred)
    square = _by_head(root, _by_head(root, square).T)
    found.variance, basis = numpy.linalg.eigh((square + square.T) / 2)
    found.variance = numpy.maximum(found.variance[::-1], 0.0)
    basis = _by_head(inverse, basis[:, ::-1])
    basis = basis * numpy.where(basis.sum(0) < 0, -1.0, 1.0)
    lead = min(n, -(-n // 8 // quantiser.ROW) * quantiser.ROW)
    found.dec = (numpy.abs(basis).max(1) / 127).astype(numpy.float32)
    found.enc = found.dec * numpy.square(found.a)
    hi, lo = _limbs((basis / found.dec[:, None].astype(numpy.float64)).T)
    found.hi, found.lo = hi.astype(numpy.int8), lo[:lead].astype(numpy.int8)
    exact = found.basis().astype(numpy.float64)
    found.solved = numpy.linalg.inv(exact).T.astype(numpy.float32)


def _limbs(exact):
    """hi and lo of numbers."""
    hi = numpy.clip(numpy.rint(exact), -127, 127)
    return hi, numpy.clip(numpy.rint((exact - hi) * 256), -127, 127)


def explained(transform, values, gradients, positions):
    """R^2 of the regressor on tokens that it was not fitted to, apart from a
    constant, which a step takes in."""
    energy = _energies(mean_squares(gradients), transform.a)
    error = energy - transform.log2_s(values, positions)
    return 1 - float(error.var() / energy.var())
