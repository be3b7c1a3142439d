"""The bytes of a profile of `klt`: docs/format/profile.md, written and read.

Needs nothing but Python and libxxhash. Arrays are whatever gives its bytes to
memoryview() in the byte order and type that the page names (numpy's arrays and
array.array do), and are array.array when read.
"""
import array
import ctypes
import ctypes.util
import math
import struct
import sys

MAGIC = b"RPRKPROF"
VERSION = 1
HEADER = struct.Struct("<8sHHIQQ32sdIIBBBBBBBBfI32x")
GROUP = struct.Struct("<HHIII")
PLANE = struct.Struct("<HBBII")
PAIRINGS = ("none", "adjacent", "halves")
ROW = 32              # coefficients a row
SYMBOLS = 64          # of stage 0
EXPONENTS = 16
TOTAL = 4096          # what a table's frequencies sum to
MAX_WIDTH = 4096
MAX_NOTES = 65536
LARGEST, LEAST, LARGEST_MEAN = 2.0 ** 40, 2.0 ** -40, 2.0 ** 40


class Damaged(ValueError):
    """Bytes that are no profile, or parts that make none."""


class Plane:
    def __init__(self, layer, index, rotated, heads, dim):
        self.layer, self.index, self.rotated = layer, index, rotated
        self.heads, self.dim = heads, dim

    def channels(self):
        return self.heads * self.dim


class Group:
    """mu, dec, enc, by_channel [n]; by_norm [planes]; by_position, constant;
    levels [rows]; hi [n * n] and lo [lead * n], coefficient by coefficient."""


class Profile:
    """pairing, turns, weights, step, kind, raw_first, lo0, lo1, least,
    largest, exponent, planes, groups, notes (text), exponents [16],
    tables [n0 * 64], refining [n1 * 3 * 2]."""


def xxh3(data):
    library = ctypes.CDLL(ctypes.util.find_library("xxhash") or
                          "libxxhash.so.0")
    function = library.XXH3_64bits
    function.restype = ctypes.c_uint64
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return function(data, len(data))


def _rows(n):
    return (n + ROW - 1) // ROW


def _pad(data):
    return data + bytes(-len(data) % 4)


def planes_of(profile, group):
    last = group.first_layer + group.layer_count
    return [p for p in profile.planes if group.first_layer <= p.layer < last]


def _raw(values):
    return bytes(memoryview(values).cast("B"))


def encode(profile):
    """The profile's bytes. Damaged with the reason if a reader refuses them."""
    notes = profile.notes.encode()
    parts = [_raw(profile.turns)]
    parts += [PLANE.pack(p.layer, p.index, p.rotated, p.heads, p.dim)
              for p in profile.planes]
    parts += map(_raw, (profile.exponents, profile.tables, profile.refining))
    for group in profile.groups:
        parts += _group_parts(group)
    parts.append(notes)
    body = b"".join(parts)

    def header(checksum):
        return HEADER.pack(
            MAGIC, VERSION, PAIRINGS.index(profile.pairing),
            2 * len(profile.turns), HEADER.size + len(body), checksum,
            profile.weights, profile.step, len(profile.planes),
            len(profile.groups), profile.kind, profile.raw_first, profile.lo0,
            profile.lo1, len(profile.tables) // SYMBOLS,
            len(profile.refining) // 6, profile.least, profile.largest,
            profile.exponent, len(notes))

    first = header(0)
    data = header(xxh3(first[:24] + first[32:] + body)) + body
    decode(data)
    return data


def _group_parts(group):
    n = len(group.mu)
    yield GROUP.pack(group.first_layer, group.layer_count, n, group.lead, 0)
    for values in (group.mu, group.dec, group.enc, group.by_channel,
                   group.by_norm):
        yield _raw(values)
    yield struct.pack("<ff", group.by_position, group.constant)
    yield _pad(_raw(group.levels))
    yield _pad(_raw(group.hi) + _raw(group.lo))


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, count):
        if count > len(self.data) - self.at:
            raise Damaged("profile: ends at %d, %d bytes more are wanted"
                          % (len(self.data), count))
        self.at += count
        return self.data[self.at - count:self.at]

    def unpack(self, form):
        return form.unpack(self.bytes(form.size))

    def array(self, kind, count):
        values = array.array(kind)
        values.frombytes(self.bytes(count * values.itemsize))
        if sys.byteorder == "big":
            values.byteswap()
        if kind in "fd" and not all(map(math.isfinite, values)):
            raise Damaged("profile: a float is not finite")
        return values

    def zeros(self, count):
        if any(self.bytes(count)):
            raise Damaged("profile: padding is not zero")


def _want(holds, what, *numbers):
    if not holds:
        raise Damaged("profile: " + what % numbers)


def decode(data):
    """A Profile. Raises Damaged for bytes that break a rule of the page."""
    reader = _Reader(data)
    _want(len(data) >= HEADER.size and data[:8] == MAGIC, "no magic")
    (_, version, pairing, rotary, size, checksum, weights, step, planes,
     groups, kind, raw_first, lo0, lo1, n0, n1, least, largest, exponent,
     notes) = reader.unpack(HEADER)
    _want(size == len(data), "has %d bytes, says %d", len(data), size)
    _want(checksum == xxh3(data[:24] + data[32:]), "wrong checksum")
    _want(version == VERSION, "version %d is not known", version)
    _want(pairing <= 2 and rotary % 2 == 0 and rotary <= 4096 and
          (rotary == 0) == (pairing == 0), "rotary dims %d, pairing %d",
          rotary, pairing)
    _want(LEAST <= step <= LARGEST, "step %g", step)
    _want(1 <= planes <= 16384 and 1 <= groups <= 1024, "%d planes, %d groups",
          planes, groups)
    _want(kind <= 1 and raw_first <= 64, "kind %d, raw first %d", kind,
          raw_first)
    _want(lo1 <= lo0 + 5 and 1 <= n0 <= 64 and 1 <= n1 <= 64,
          "lo %d, %d; tables %d, %d", lo0, lo1, n0, n1)
    _want(least <= largest <= 15 and 0 <= exponent <= 4,
          "exponents %d to %d by %g", least, largest, exponent)
    _want(notes <= MAX_NOTES and not any(data[96:128]), "notes or reserved")
    found = Profile()
    found.pairing, found.weights, found.step = PAIRINGS[pairing], weights, step
    found.kind, found.raw_first = kind, raw_first
    found.lo0, found.lo1 = lo0, lo1
    found.least, found.largest, found.exponent = least, largest, exponent
    found.turns = reader.array("Q", rotary // 2)
    found.planes = [_plane(reader, rotary) for _ in range(planes)]
    _tables(reader, found, n0, n1)
    found.groups = [_group(reader, found) for _ in range(groups)]
    _check_order(found)
    found.notes = reader.bytes(notes).decode()
    _want(reader.at == len(data), "ends at %d of %d", reader.at, len(data))
    return found


def _plane(reader, rotary):
    layer, index, rotated, heads, dim = reader.unpack(PLANE)
    _want(layer < 1024 and index < 16 and rotated <= (rotary > 0) and
          1 <= heads <= 1024 and 1 <= dim <= 4096 and
          (not rotated or dim >= rotary), "plane %d of layer %d", index, layer)
    return Plane(layer, index, rotated, heads, dim)


def _tables(reader, found, n0, n1):
    found.exponents = reader.array("H", EXPONENTS)
    _want(min(found.exponents) > 0 and sum(found.exponents) == TOTAL,
          "table of exponents")
    found.tables = reader.array("H", n0 * SYMBOLS)
    for k in range(n0):
        table = found.tables[k * SYMBOLS:(k + 1) * SYMBOLS]
        _want(sum(table) == TOTAL and max(table) < TOTAL and table[-1] > 0,
              "table %d of stage 0", k)
    found.refining = reader.array("H", n1 * 6)
    for k in range(0, n1 * 6, 2):
        plus, minus = found.refining[k:k + 2]
        _want(plus > 0 and plus + minus < TOTAL and
              (minus > 0) == (k % 6 > 0), "refining table %d", k // 6)


def _group(reader, profile):
    group = Group()
    first, count, n, group.lead, reserved = reader.unpack(GROUP)
    group.first_layer, group.layer_count = first, count
    planes = planes_of(profile, group)
    _want(0 < count <= 1024 - first and planes and reserved == 0 and
          n <= MAX_WIDTH and n == sum(p.channels() for p in planes),
          "group of layer %d", first)
    _want(group.lead <= n and (group.lead % ROW == 0 or group.lead == n),
          "lead %d of %d", group.lead, n)
    group.mu = reader.array("f", n)
    group.dec = reader.array("f", n)
    group.enc = reader.array("f", n)
    group.by_channel = reader.array("f", n)
    group.by_norm = reader.array("f", len(planes))
    group.by_position, group.constant = reader.array("f", 2)
    group.levels = reader.array("B", _rows(n))
    reader.zeros(-_rows(n) % 4)
    group.hi = reader.array("b", n * n)
    group.lo = reader.array("b", group.lead * n)
    reader.zeros(-(n + group.lead) * n % 4)
    _want(max(map(abs, group.mu)) <= LARGEST_MEAN, "a mean")
    for values in (group.dec, group.enc):
        _want(LEAST <= min(values) and max(values) <= LARGEST, "a scale")
    _want(list(group.levels) == sorted(group.levels, reverse=True), "levels")
    _want(min(group.hi) >= -127 and min(group.lo, default=0) >= -127,
          "an entry of -128")
    return group


def _check_order(found):
    names = [(p.layer, p.index) for p in found.planes]
    _want(names == sorted(set(names)), "order of planes")
    last = 0
    for group in found.groups:
        _want(group.first_layer >= last, "groups overlap")
        last = group.first_layer + group.layer_count
    _want(sum(len(planes_of(found, g)) for g in found.groups) ==
          len(found.planes), "a plane is in no group")
