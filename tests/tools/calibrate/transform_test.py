"""The transform of a group: what it promises of made tokens."""
import sys
import unittest

sys.path.insert(0, "tools/calibrate")
try:
    import numpy
    import transform
except ImportError as error:
    numpy, MISSING = None, str(error)

HEADS, DIM, TOKENS, SAMPLES = 4, 32, 2000, 2


def made_tokens():
    """Values and gradients; within a head both are far from independent."""
    dice = numpy.random.default_rng(7)
    n = HEADS * DIM
    mix = dice.standard_normal((n, n)) * 0.9 ** numpy.arange(n)
    values = dice.standard_normal((TOKENS, n)) @ mix.T + dice.standard_normal(n)
    gradients = numpy.zeros((SAMPLES, TOKENS, n))
    for head in range(HEADS):
        turn = dice.standard_normal((DIM, DIM)) * 0.8 ** numpy.arange(DIM)
        part = dice.standard_normal((SAMPLES, TOKENS, DIM)) @ turn.T
        gradients[:, :, head * DIM:(head + 1) * DIM] = part
    return values.astype(numpy.float32), gradients.astype(numpy.float32)


def fitted(values, gradients, exponent):
    return transform.fit(values, gradients, numpy.arange(TOKENS), exponent,
                         numpy.ones(2), DIM)


@unittest.skipIf(numpy is None, "this python has no numpy")
class TransformTest(unittest.TestCase):
    def setUp(self):
        self.values, self.gradients = made_tokens()
        self.form = fitted(self.values, self.gradients, 0.0)

    def test_coefficients_give_back_the_values(self):
        z = self.form.coefficients(self.values)
        back = (z @ self.form.basis().T) * self.form.dec + self.form.mu
        self.assertLess(numpy.abs(back - self.values).max(),
                        1e-4 * numpy.abs(self.values).max())

    def test_an_error_costs_the_same_in_every_coefficient(self):
        """So one step is right for all: the mean of (g e)^2 of an error e along
        one coefficient, of heads by themselves, with the diagonal's share."""
        along = self.form.basis() * self.form.dec[:, None]
        g = self.gradients.reshape(-1, HEADS, DIM).astype(numpy.float64)
        whole = sum(numpy.square(
            g[:, head] @ along[head * DIM:(head + 1) * DIM]).mean(0)
            for head in range(HEADS))
        power = numpy.square(g.reshape(-1, HEADS * DIM)).mean(0)
        alone = power @ numpy.square(along)
        share = transform.DIAGONAL
        cost = (1 - share) * whole + share * alone
        self.assertLess(cost.std() / cost.mean(), 0.05)
        # The test can tell: without what channels have in common it differs.
        self.assertGreater(alone.std() / alone.mean(), 0.2)

    def test_coefficients_are_apart_and_fall(self):
        z = self.form.coefficients(self.values).astype(numpy.float64)
        power = z.T @ z / len(z)
        scale = numpy.sqrt(numpy.diagonal(power))
        mixed = numpy.abs(power / scale / scale[:, None] -
                          numpy.eye(len(power)))
        # What the rounding to 8 bits leaks of the strong into the weak.
        self.assertLess(mixed[:64, :64].max(), 0.2)
        lead = self.form.variance[:32]
        self.assertTrue((numpy.diff(self.form.variance) <= 1e-9).all())
        numpy.testing.assert_allclose(scale[:32] ** 2, lead, rtol=0.05)

    def test_sensitive_tokens_are_told_from_others(self):
        """Gradients that grow with a channel of the values."""
        strength = numpy.exp2(self.values[:, 3] / self.values[:, 3].std())
        gradients = self.gradients * strength[None, :, None]
        form = fitted(self.values, gradients, 0.5)
        found = form.log2_s(self.values, numpy.arange(TOKENS))
        true = 2 * numpy.log2(strength)
        self.assertGreater(numpy.corrcoef(found, true)[0, 1], 0.9)
        self.assertAlmostEqual(float(numpy.exp2(found).mean()), 1.0, 3)


if __name__ == "__main__":
    if numpy is None:
        print("skipped: " + MISSING)
    unittest.main()
