"""The codec's arithmetic on arrays against the same, number by number."""
import math
import random
import sys
import unittest

sys.path.insert(0, "tools/calibrate")
try:
    import numpy
    import quantiser
    import tables
except ImportError as error:
    numpy, MISSING = None, str(error)


@unittest.skipIf(numpy is None, "this python has no numpy")
class QuantiserTest(unittest.TestCase):
    def test_thirds_are_nearest(self):
        for q in range(-100, 101):
            nearest = min(range(-40, 41), key=lambda k: abs(3 * k - q))
            self.assertEqual(quantiser.round_third(numpy.array([q]))[0],
                             nearest)

    def test_stages_are_nested_and_reach_what_they_can(self):
        dice = random.Random(1)
        n = 96
        z = numpy.array([[dice.gauss(0, 40 / (1 + j)) for j in range(n)]
                         for _ in range(20)])
        o = numpy.array([dice.randrange(16) for _ in z])
        step = quantiser.steps(0.5, o)
        levels = numpy.array([140, 130, 122], numpy.uint8)
        index = quantiser.indices(levels, o)
        masks = quantiser.coded(index, 124, 123, n)
        q0, q1, q = quantiser.quantise(z, step, masks)
        for (t, j), value in numpy.ndenumerate(q):
            i = int(levels[j // 32]) + int(o[t]) - 3
            coded = [i - 10 >= 124, i - 5 >= 123, i >= 123]
            exact = int(math.copysign(math.floor(
                abs(z[t, j]) / step[t] + 0.5), z[t, j]))
            if coded[0]:
                self.assertEqual(value, exact)
            limit = 0 if not coded[2] else 1 if not coded[1] else 4
            if not coded[0]:
                self.assertLessEqual(abs(value), limit)
            self.assertLessEqual(abs(int(value) - 3 * int(q1[t, j])), 1)
            self.assertLessEqual(abs(int(q1[t, j]) - 3 * int(q0[t, j])), 1)

    def test_frequencies_sum_and_leave_none_out(self):
        dice = random.Random(2)
        for size in (2, 3, 16, 64):
            counts = numpy.array([dice.random() ** 20 for _ in range(size)])
            possible = numpy.array([dice.random() < 0.7 or k == 0
                                    for k in range(size)])
            found = tables.frequencies(counts, possible)
            self.assertEqual(found.sum(), 4096)
            self.assertTrue((found[possible] >= 1).all())
            self.assertTrue((found[~possible] == 0).all())

    def test_cost_is_that_of_the_counted_symbols(self):
        counts = tables.Counts(124, 123)
        q = [numpy.array([[0, 1, 0] + [0] * 29]),
             numpy.array([[0, 3, 1] + [0] * 29]),
             numpy.array([[0, 8, 3] + [0] * 29])]
        index = numpy.array([[140]])
        masks = [numpy.ones((1, 32), bool)] * 3
        counts.add(q, index, masks, numpy.array([3]))
        made = tables.Tables(counts)
        bits = made.bits(counts)
        self.assertEqual(counts.signs.tolist(), [1, 1, 0])
        first = made.first[140 - 10 - 124]
        wanted = 1 + 31 * -math.log2(first[0] / 4096) - math.log2(
            first[1] / 4096) - math.log2(made.exponents[3] / 4096)
        self.assertAlmostEqual(bits[0], wanted, places=6)


if __name__ == "__main__":
    unittest.main()
