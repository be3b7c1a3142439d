"""Forward passes of Llama- and Qwen2-class models that lay their KV open.

A model is read from a GGUF file, of any quantisation that the gguf package
takes back to f32, or from a folder as Hugging Face lays it out. Keys are those
before their rotation, in the order of channels of the file, which is that of
the engine's cache: a GGUF file of the `llama` class has its key channels
reordered so that channels 2j and 2j + 1 turn together ("adjacent"); all others
here turn channels j and j + head_dim / 2 ("halves").
"""
import hashlib
import json
import os

import gguf
import numpy
import torch
import torch.nn.functional as functional

_LAYER_PARTS = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
_CLASSES = ("llama", "qwen2")


class Model:
    """Weights and shape. `tensors` has GGUF's names, f32, [out, in]."""

    def __init__(self, shape, tensors):
        for name, value in shape.items():
            setattr(self, name, value)
        self.tensors = tensors
        pairs = self.head_dim // 2
        powers = numpy.arange(pairs, dtype=numpy.float64) * 2 / self.head_dim
        self.steps = torch.from_numpy(self.theta ** -powers)

    def rotate(self, x, start):
        """x [batch, heads, tokens, head_dim] at positions from start on."""
        positions = torch.arange(start, start + x.shape[2]).double()
        angles = positions[:, None] * self.steps
        cos, sin = angles.cos().float(), angles.sin().float()
        if self.pairing == "adjacent":
            a, b = x[..., 0::2], x[..., 1::2]
            turned = (a * cos - b * sin, a * sin + b * cos)
            return torch.stack(turned, -1).flatten(-2)
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)

    def _linear(self, x, name):
        weight = self.tensors[name + ".weight"]
        y = functional.linear(x.to(weight.dtype), weight).float()
        bias = self.tensors.get(name + ".bias")
        return y if bias is None else y + bias

    def halved(self):
        """This model with its matrices in bf16: twice as fast on some
        processors, with noise far below what is coded away. The rest of a
        forward pass, the biases of keys among it, stays f32."""
        tensors = dict(self.tensors)
        tensors.setdefault("output.weight", tensors["token_embd.weight"])
        for name, value in tensors.items():
            if value.dim() == 2 and name != "token_embd.weight":
                tensors[name] = value.bfloat16()
        shape = {k: v for k, v in vars(self).items()
                 if k not in ("tensors", "steps")}
        return Model(shape, tensors)

    def _norm(self, x, name):
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon)
        return x * scale * self.tensors[name + ".weight"]

    def _attend(self, x, layer, past, start):
        """past: (keys, values) of the tokens before x, or None."""
        batch, count, _ = x.shape
        name = "blk.%d.attn_" % layer

        def heads(part):
            rows = self._linear(x, name + part)
            return rows.view(batch, count, -1, self.head_dim).transpose(1, 2)

        query = self.rotate(heads("q"), start)
        new_keys, new_values = heads("k"), heads("v")
        keys, values = new_keys, new_values
        mask = None
        if past is not None:
            keys = torch.cat((past[0], keys), 2)
            values = torch.cat((past[1], values), 2)
            mask = torch.ones(count, keys.shape[2], dtype=torch.bool)
            mask = mask.tril(keys.shape[2] - count)
        keys = self.rotate(keys, start + count - keys.shape[2])
        share = self.heads // self.kv_heads
        seen = functional.scaled_dot_product_attention(
            query, keys.repeat_interleave(share, 1),
            values.repeat_interleave(share, 1), attn_mask=mask,
            is_causal=mask is None)
        seen = seen.transpose(1, 2).reshape(batch, count, -1)
        return self._linear(seen, name + "output"), new_keys, new_values

    def forward(self, tokens, past=None, start=0):
        """tokens [batch, count] from position `start` on.

        past   a pair (keys, values) for each layer, each un-rotated,
               [batch, kv_heads, tokens before, head_dim]; or None

        Returns the last hidden states [batch, count, width], normed, and the
        pairs of the new tokens.
        """
        x = functional.embedding(tokens, self.tensors["token_embd.weight"])
        cache = []
        for layer in range(self.layers):
            name = "blk.%d." % layer
            before = None if past is None else past[layer]
            seen, keys, values = self._attend(
                self._norm(x, name + "attn_norm"), layer, before, start)
            cache.append((keys, values))
            x = x + seen
            y = self._norm(x, name + "ffn_norm")
            gate = functional.silu(self._linear(y, name + "ffn_gate"))
            y = gate * self._linear(y, name + "ffn_up")
            x = x + self._linear(y, name + "ffn_down")
        return self._norm(x, "output_norm"), cache

    def logits(self, hidden):
        tied = "output.weight" not in self.tensors
        return self._linear(hidden, "token_embd" if tied else "output")


def _check(shape):
    if shape["heads"] * shape["head_dim"] == 0 or shape["head_dim"] % 2:
        raise ValueError("model: heads of %d channels" % shape["head_dim"])
    if shape["heads"] % shape["kv_heads"]:
        raise ValueError("model: %d heads share %d of K and V"
                         % (shape["heads"], shape["kv_heads"]))
    return shape


def _read_gguf(path):
    reader = gguf.GGUFReader(path)
    kind = reader.fields["general.architecture"].contents()
    if kind not in _CLASSES:
        raise ValueError("model: %s is of class %s; built are %s"
                         % (path, kind, ", ".join(_CLASSES)))

    def field(key, default=None):
        found = reader.fields.get("%s.%s" % (kind, key))
        return default if found is None else found.contents()

    if field("rope.scaling.type", "none") != "none" or any(
            t.name.startswith("rope_freqs") for t in reader.tensors):
        raise ValueError("model: scaled RoPE is not built")
    heads = field("attention.head_count")
    dim = field("attention.key_length", field("embedding_length") // heads)
    if field("rope.dimension_count", dim) != dim:
        raise ValueError("model: partly rotated keys are not built")
    shape = _check({
        "layers": field("block_count"), "heads": heads,
        "kv_heads": field("attention.head_count_kv", heads), "head_dim": dim,
        "theta": float(field("rope.freq_base", 10000.0)),
        "epsilon": field("attention.layer_norm_rms_epsilon"),
        "pairing": "adjacent" if kind == "llama" else "halves",
        "context": field("context_length", 0)})
    tensors = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        values = numpy.ascontiguousarray(values, numpy.float32)
        tensors[tensor.name] = torch.from_numpy(values.copy())
    return Model(shape, tensors)


def _gguf_name(name):
    """The GGUF name of a tensor of a Hugging Face folder."""
    name = name.removeprefix("model.")
    for short, long in (("token_embd", "embed_tokens"),
                        ("output_norm", "norm"), ("output", "lm_head")):
        if name.startswith(long + "."):
            return short + name[len(long):]
    _, layer, rest = name.split(".", 2)
    for short, long in _LAYER_PARTS.items():
        if rest.startswith(long + "."):
            return "blk.%s.%s%s" % (layer, short, rest[len(long):])
    raise ValueError("model: no place for tensor %s" % name)


def _read_folder(path):
    from safetensors import safe_open

    with open(os.path.join(path, "config.json")) as source:
        config = json.load(source)
    if config.get("model_type") not in _CLASSES:
        raise ValueError("model: %s is of class %s; built are %s" % (
            path, config.get("model_type"), ", ".join(_CLASSES)))
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise ValueError("model: scaled RoPE is not built")
    heads = config["num_attention_heads"]
    shape = _check({
        "layers": config["num_hidden_layers"], "heads": heads,
        "kv_heads": config.get("num_key_value_heads", heads),
        "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
        "theta": float(config.get("rope_theta",
                                  rope.get("rope_theta", 10000.0))),
        "epsilon": config["rms_norm_eps"], "pairing": "halves",
        "context": config.get("max_position_embeddings", 0)})
    tensors = {}
    for file in _weight_files(path):
        with safe_open(file, framework="pt") as source:
            for name in source.keys():
                if not name.endswith("rotary_emb.inv_freq"):
                    value = source.get_tensor(name).float()
                    tensors[_gguf_name(name)] = value
    return Model(shape, tensors)


def _weight_files(path):
    names = sorted(n for n in os.listdir(path) if n.endswith(".safetensors"))
    if not names:
        raise ValueError("model: no .safetensors in %s" % path)
    return [os.path.join(path, name) for name in names]


def _file_digest(path):
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.digest()


def weights_hash(path):
    """What names the weights in a profile, 32 bytes.

    Of a GGUF file its SHA-256. Of a folder that of "reprise/weights/1", then
    of the SHA-256 of each .safetensors file, in the order of their names.
    """
    if not os.path.isdir(path):
        return _file_digest(path)
    digest = hashlib.sha256(b"reprise/weights/1")
    for file in _weight_files(path):
        digest.update(_file_digest(file))
    return digest.digest()


def read_model(path):
    """Raises ValueError with the reason for models that are not built."""
    return _read_folder(path) if os.path.isdir(path) else _read_gguf(path)
