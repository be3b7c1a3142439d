"""The tables of lint: where each third-party header lives, and which folder
may include which. A new dependency gets a row here, in the same commit."""
import re


class Home:
    """Headers that match `headers` belong into files that match `files`."""

    def __init__(self, library, headers, files):
        self.library = library
        self.headers = re.compile(headers)
        self.files = re.compile(files)
        self.where = files


HOMES = [
    Home("RocksDB", r"rocksdb/", r"store/rocks_|tests/store/"),
    Home("zstd", r"(zstd|zdict|zstd_errors)\.h$", r"codec/[^/]*\.cc$|bench/"),
    Home("lz4", r"lz4(hc|frame)?\.h$", r"bench/"),
    Home("OpenBLAS", r"cblas\.h$", r"bench/(nearest|transform)_reference\.cc$"),
    Home("FlatBuffers", r"flatbuffers/|.*_generated\.h$",
         r"api/|tests/(api|fuzz)/"),
    Home("Asio and Beast", r"boost/",
         r"api/(session|server|admin|tls)|client/connection|tests/|bench/"
         r"|third_party/asio/"),
    Home("spdlog", r"(spdlog|fmt)/", r"base/log\.(h|cc)$"),
    Home("OpenSSL", r"openssl/", r"base/hash\.cc$|api/tls"),
    Home("xxHash", r"(xxhash|xxh3|xxh_x86dispatch)\.h$", r"base/hash\.cc$"),
    Home("CLI11", r"CLI/", r"tools/|bench/"),
    Home("nlohmann-json", r"nlohmann/", r"tools/|bench/|api/admin|tests/"),
    Home("Eigen", r"(eigen3/)?Eigen/", r"codec/klt_eigen\.cc$"),
    Home("Highway", r"hwy/", r"codec/[^/]*_simd(-inl)?\.(cc|h)$"),
    Home("llama.cpp", r"(llama|ggml|gguf)[^/]*\.h$",
         r"client/llama/|tools/|tests/(client_llama|tools)/"),
    Home("Prometheus", r"prometheus/", r"api/admin|tools/"),
    Home("CUDA", r"cuda|cub/|cooperative_groups|nv/",
         r"gpu/|tests/gpu/|bench/"),
    Home("GoogleTest", r"(gtest|gmock)/", r"tests/|bench/gpu_selftest\.cc$"),
]

# zstd has one home in codec/, a single file of it.
ONE_FILE = [(re.compile(r"(zstd|zdict)\.h$"), re.compile(r"codec/"))]

# What belongs to the language or to the system.
SYSTEM = re.compile(
    r"[a-z_]+$"
    r"|(sys|netinet|arpa|linux|net)/[a-z_]+\.h$"
    r"|(unistd|fcntl|pthread|poll|dirent|sched|dlfcn|execinfo|getopt|netdb"
    r"|signal|spawn|ftw|glob|pwd|grp|time|termios|immintrin|x86intrin|cpuid"
    r"|arm_neon|endian|malloc)\.h$")

# The frame's headers: all of codec/ that those who never decode may see.
FRAME = (r"codec/(codec_id|commit|frame\w*|message|model_spec\w*|plane"
         r"|rendition|segment|tier)\.h$")
SERVER = r"api/(server|session|admin|handler)"

# folder -> what it may include besides itself; and what of that it may not.
LAYERS = {
    "base": ("", None),
    "codec": (r"base/", None),
    "gpu": (r"(base|codec)/", None),
    "store": (r"base/|" + FRAME, None),
    "api": (r"(base|store)/|" + FRAME, None),
    "client": (r"(base|codec|gpu|api)/", SERVER),
    "tools": (r"(base|codec|gpu|store|api|client)/", None),
    "bench": (r"(base|codec|gpu|store|api|client|tools)/|tests/support/",
              None),
    "tests": (r"(base|codec|gpu|store|api|client|tools|bench)/", None),
    "third_party": ("", None),
}
LAYERS = {folder: (re.compile(may) if may else None,
                   re.compile(never) if never else None)
          for folder, (may, never) in LAYERS.items()}

# Code that runs inside somebody's inference process never aborts. The second
# is the assertion itself; the third, a digest that could not be computed.
NO_ABORT = re.compile(r"(base|codec|gpu|client)/")
MAY_ABORT = ("base/check.h", "base/hash.cc")
NO_THROW = re.compile(r"(base|codec|gpu|store|api|client|tools)/")
