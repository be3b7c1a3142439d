"""The transform of one group: means, weights, sensitivity, basis.

Names follow docs/format/codecs/klt.md: values x of a token, means mu, weights
a, y = a (x - mu), coefficients z = U^T y. Sums are done in one order, so the
same tokens give the same numbers on the same kind of machine.

Sensitivity comes from squares of gradients (gather.py). It falls into a part of
the token, which a ridge regression predicts from the token's own values (the
encoder has no gradients), and a part of the channel, the weights. A token of
predicted sensitivity s gets a step that goes with s^(-e/2), so errors in it
have a variance that goes with s^-e, and what a channel's error costs is the
mean of g^2 s^-e: that is the square of its weight. (With g^2 / s, as if e were
1, values get far too few bits.) The squares of keys' and values' weights are
multiplied by their layer's coherence (gather.py).
"""
import numpy

import quantiser

HUBER_CAP = 10.0
RIDGE = 0.03          # of each input's own power
ROUNDS = 2
DAMPING = 1e-3        # of the mean power, where a matrix is inverted
BLOCK = 64
FLOOR = 2.0 ** -30    # under the logarithm of a norm


class Transform:
    """mu, a [n]; by_channel [n], by_norm [planes], by_position, constant: the
    regressor; hi [n, n], lo [lead, n] int8 by coefficient; r [n]."""

    def basis(self):
        """[channel, coefficient] f32, in units of r, as the decoder has it."""
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
        return (self.centred(values) * (self.r * self.a)) @ self.basis()


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


def fit(values, squares, positions, exponent, coherence):
    """A Transform, from [tokens, n] f32 twice.

    exponent   of sensitivities, as the encoder will use it
    coherence  [planes]; planes have equally many channels

    The regressor's constant is such that the mean of s is 1.
    """
    planes, n = len(coherence), values.shape[1]
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
    a = numpy.sqrt(share @ squares / len(s) *
                   numpy.repeat(coherence, n // planes))
    found.a = _positive(a).astype(numpy.float32)
    _set_basis(found, found.centred(values) * found.a)
    return found


def _positive(a):
    return numpy.maximum(a, a.max() * 1e-4)


def _set_basis(found, weighted):
    """The KLT of y, rounded to what a profile holds."""
    n = weighted.shape[1]
    square = (weighted.T @ weighted).astype(numpy.float64) / len(weighted)
    found.variance, basis = numpy.linalg.eigh(square)
    found.variance = numpy.maximum(found.variance[::-1], 0.0)
    basis = basis[:, ::-1]
    basis = basis * numpy.where(basis.sum(0) < 0, -1.0, 1.0)
    lead = min(n, -(-n // 8 // quantiser.ROW) * quantiser.ROW)
    found.r = (numpy.abs(basis).max(1) / 127).astype(numpy.float32)
    r = found.r.astype(numpy.float64)
    hi, lo = _rounded((basis / r[:, None]).T, square * r[:, None] * r, lead)
    found.hi, found.lo = hi.astype(numpy.int8), lo[:lead].astype(numpy.int8)


def _limbs(exact, two):
    """hi and lo of numbers; lo only where `two` is."""
    hi = numpy.clip(numpy.rint(exact), -127, 127)
    lo = numpy.clip(numpy.rint((exact - hi) * 256), -127, 127)
    return hi, numpy.where(two, lo, 0.0)


def _rounded(rows, power, lead):
    """Rounds rows w of a matrix so that w x changes little, not w.

    rows   [coefficient, channel]; the first `lead` are rounded to 1 / 256
    power  [channel, channel], the second moments of x

    One channel after the other, largest first, is rounded, and those that are
    left take up the difference as well as x lets them. Otherwise what rounding
    leaks of the strong coefficients into the weak ones is left in each token at
    any step, most of all in outliers: KL got stuck at .003.
    Source: Frantar et al., 2022, "GPTQ", with the inverse's Cholesky factor.
    """
    n = len(power)
    order = numpy.argsort(-numpy.diag(power), kind="stable")
    rows, power = rows[:, order].copy(), power[order][:, order]
    power[numpy.diag_indices(n)] += DAMPING * numpy.diag(power).mean()
    factor = numpy.linalg.cholesky(numpy.linalg.inv(power)).T
    hi, lo = numpy.zeros((2, n, n))
    two = numpy.arange(n) < lead
    for start in range(0, n, BLOCK):
        end = min(start + BLOCK, n)
        left = numpy.zeros((n, end - start))
        for i in range(start, end):
            hi[:, i], lo[:, i] = _limbs(rows[:, i], two)
            left[:, i - start] = (rows[:, i] - hi[:, i] - lo[:, i] / 256
                                  ) / factor[i, i]
            rows[:, i + 1:end] -= numpy.outer(left[:, i - start],
                                              factor[i, i + 1:end])
        rows[:, end:] -= left @ factor[start:end, end:]
    back = numpy.argsort(order, kind="stable")
    return hi[:, back], lo[:, back]


def explained(transform, values, squares, positions):
    """R^2 of the regressor on tokens that it was not fitted to, apart from a
    constant, which a step takes in."""
    energy = _energies(squares, transform.a)
    error = energy - transform.log2_s(values, positions)
    return 1 - float(error.var() / energy.var())
