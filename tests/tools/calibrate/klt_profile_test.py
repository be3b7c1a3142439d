"""A profile is what docs/format/profile.md says, and nothing else passes."""
import array
import glob
import random
import struct
import sys
import unittest

sys.path.insert(0, "tools/calibrate")
import klt_profile  # noqa: E402


def example(channels=48, lead=32):
    """Two groups: one layer of keys and values, one of values alone."""
    dice = random.Random(1)
    made = klt_profile.Profile()
    made.pairing, made.turns = "halves", array.array("Q", [7, 2 ** 63])
    made.weights, made.step = bytes(range(32)), 0.25
    made.kind, made.raw_first, made.lo0, made.lo1 = 1, 2, 120, 125
    made.least, made.largest, made.exponent = 0, 12, 0.5
    made.planes = [klt_profile.Plane(0, 0, 1, 2, 12),
                   klt_profile.Plane(0, 1, 0, 2, 12),
                   klt_profile.Plane(3, 1, 0, 1, channels)]
    made.exponents = array.array("H", [256] * 16)
    made.tables = array.array("H", [64] * 64 + [4095] + [0] * 62 + [1])
    made.refining = array.array("H", [1, 0, 2, 3, 1000, 3000])
    made.groups = [group(dice, 0, 1, 48, 2, lead),
                   group(dice, 2, 2, channels, 1, channels)]
    made.notes = '{"model": "ä"}'
    return made


def group(dice, first, count, n, planes, lead):
    def floats(count):
        return array.array("f", [dice.uniform(0.5, 2) for _ in range(count)])

    made = klt_profile.Group()
    made.first_layer, made.layer_count, made.lead = first, count, lead
    made.mu, made.dec, made.enc = floats(n), floats(n), floats(n)
    made.by_channel, made.by_norm = floats(n), floats(planes)
    made.by_position, made.constant = 0.5, -1.25
    made.levels = array.array("B", range(130, 130 - (n + 31) // 32, -1))
    made.hi = array.array("b", [dice.randint(-127, 127) for _ in range(n * n)])
    made.lo = array.array("b", [dice.randint(-127, 127)
                                for _ in range(lead * n)])
    return made


def sealed(data):
    """The same bytes with the checksum that they should have."""
    checksum = klt_profile.xxh3(data[:24] + data[32:])
    return data[:24] + struct.pack("<Q", checksum) + data[32:]


class KltProfileTest(unittest.TestCase):
    def test_comes_back(self):
        data = klt_profile.encode(example())
        found = klt_profile.decode(data)
        self.assertEqual(klt_profile.encode(found), data)
        self.assertEqual(found.notes, '{"model": "ä"}')
        self.assertEqual(found.planes[2].heads * found.planes[2].dim, 48)
        self.assertEqual(found.groups[1].hi, example().groups[1].hi)
        self.assertEqual(found.groups[0].constant, -1.25)

    def test_reads_what_the_codec_wrote(self):
        found = glob.glob("tests/golden/frame/klt_*.profile.bin")
        self.assertGreater(len(found), 1)
        for path in found:
            with open(path, "rb") as source:
                data = source.read()
            self.assertEqual(klt_profile.encode(klt_profile.decode(data)),
                             data, path)

    def test_tails_are_padded(self):
        made = example(channels=33)
        made.groups[1].lead = 33
        data = klt_profile.encode(made)
        self.assertEqual(klt_profile.encode(klt_profile.decode(data)), data)

    def test_fields_lie_where_the_page_has_them(self):
        data = klt_profile.encode(example())
        self.assertEqual(data[:8], b"RPRKPROF")
        self.assertEqual(struct.unpack_from("<HHIQ", data, 8),
                         (1, 2, 4, len(data)))
        self.assertEqual(struct.unpack_from("<d", data, 64), (0.25,))
        self.assertEqual(data[80:88], bytes([1, 2, 120, 125, 2, 1, 0, 12]))
        self.assertEqual(struct.unpack_from("<QQ", data, 128), (7, 2 ** 63))

    def test_every_flipped_byte_is_refused(self):
        data = klt_profile.encode(example())
        for at in range(0, len(data), 37):
            bad = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
            with self.assertRaises(klt_profile.Damaged):
                klt_profile.decode(bad)
        for size in (0, 127, 128, len(data) - 1):
            with self.assertRaises(klt_profile.Damaged):
                klt_profile.decode(data[:size])

    def test_rules_are_checked_under_a_right_checksum(self):
        data = klt_profile.encode(example())
        for at, value in ((8, 2), (10, 3), (80, 2), (81, 65), (83, 126),
                          (84, 0), (86, 13), (96, 1), (144, 9)):
            bad = sealed(data[:at] + bytes([value]) + data[at + 1:])
            with self.assertRaises(klt_profile.Damaged, msg="byte %d" % at):
                klt_profile.decode(bad)

    def test_encoder_refuses_what_a_reader_would(self):
        for change in (lambda p: p.groups[0].levels.reverse(),
                       lambda p: p.exponents.__setitem__(0, 255),
                       lambda p: p.groups[0].dec.__setitem__(0, 0.0),
                       lambda p: p.groups[0].hi.__setitem__(0, -128),
                       lambda p: p.groups[0].lo.__setitem__(0, -128),
                       lambda p: p.groups.pop(),
                       lambda p: p.planes.reverse()):
            made = example()
            change(made)
            with self.assertRaises(klt_profile.Damaged):
                klt_profile.encode(made)


if __name__ == "__main__":
    unittest.main()
