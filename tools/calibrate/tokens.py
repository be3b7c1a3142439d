"""Text to token ids, and token ids to training windows.

The tokenizer is the model's own: byte-level BPE from the GGUF file's tables, or
the tokenizer.json of a folder. How a text is first cut into words is said in a
GGUF file by a name only, so the patterns are here.
"""
import os

import gguf
import tokenizers
from tokenizers import pre_tokenizers

_GPT2 = (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
         r"|\s+(?!\S)")
_QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
_LLAMA3 = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_PATTERNS = {
    "smollm": [r"\p{N}", _GPT2], "qwen2": [_QWEN2], "llama-bpe": [_LLAMA3],
    "gpt-2": [_GPT2], "default": [_GPT2],
}
_CONTROL = 3  # token_type of tokens such as <|im_start|>
_USER_DEFINED = 4


def _from_gguf(path):
    fields = gguf.GGUFReader(path).fields

    def get(key):
        return fields["tokenizer.ggml." + key].contents()

    kind = get("pre") if "tokenizer.ggml.pre" in fields else "default"
    if get("model") != "gpt2" or kind not in _PATTERNS:
        raise ValueError("tokens: tokenizer %s/%s is not built"
                         % (get("model"), kind))
    texts, types = get("tokens"), get("token_type")
    merges = [tuple(line.split(" ", 1)) for line in get("merges")]
    vocabulary = {text: i for i, text in enumerate(texts)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    cuts = [pre_tokenizers.Split(tokenizers.Regex(p), "isolated")
            for p in _PATTERNS[kind]]
    cuts.append(pre_tokenizers.ByteLevel(add_prefix_space=False,
                                         use_regex=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([
        text for text, kind in zip(texts, types)
        if kind in (_CONTROL, _USER_DEFINED)])
    return tokenizer


def read_tokenizer(model_path):
    """A tokenizers.Tokenizer; encode(text).ids are the model's token ids."""
    if os.path.isdir(model_path):
        return tokenizers.Tokenizer.from_file(
            os.path.join(model_path, "tokenizer.json"))
    return _from_gguf(model_path)


def windows(tokenizer, paths, prefix, continuation, count):
    """`count` windows of prefix + continuation tokens, from all texts in turn.

    Windows of one text lie evenly over the whole of it, so that as many of its
    articles as possible are seen: six articles gave a profile that took a
    quarter more bits on others. Each token is once in a prefix at most. Raises
    ValueError when the texts have too few.
    """
    rows = []
    for path in paths:
        with open(path, encoding="utf-8") as source:
            ids = tokenizer.encode(source.read()).ids
        last = len(ids) - prefix - continuation
        rows.append([ids[i:i + prefix + continuation]
                     for i in range(0, last + 1, prefix)])
    shares = _shares([len(part) for part in rows], count)
    if sum(shares) < count:
        raise ValueError(
            "tokens: the texts have %d windows of %d + %d tokens, %d are "
            "wanted: %d tokens are missing" % (
                sum(shares), prefix, continuation, count,
                (count - sum(shares)) * prefix))
    places = []
    for part, share in zip(rows, shares):
        places += [((2 * i + 1) / (2 * share),
                    part[len(part) * (2 * i + 1) // (2 * share)])
                   for i in range(share)]
    return [row for _, row in sorted(places, key=lambda place: place[0])]


def _shares(lengths, count):
    """How many windows of each text: all of those that have too few."""
    shares = [0] * len(lengths)
    left = sorted(range(len(lengths)), key=lambda i: lengths[i])
    for done, i in enumerate(left):
        fair = (count - sum(shares)) // (len(left) - done)
        shares[i] = min(lengths[i], fair)
    return shares
