"""What a coded cache does to the model: KL of the next tokens, and facts that
were planted in the prefix and are asked for."""
import random

import torch

# The name stands right before the digits: two words away, a small model finds
# seven in ten at best.
FACT = "\nThe access code is %s-%s.\n"
QUESTION = "\nThe access code is %s-"
NAMES = ("Amelia", "Boris", "Carla", "Dennis", "Elena", "Felix", "Greta",
         "Hugo", "Irene", "Jonas", "Karen", "Leo")


def cache_of(model, values):
    """Pairs of keys and values, from an array [tokens, layers, 2, channels]."""
    values = torch.from_numpy(values)
    tokens, layers = values.shape[:2]
    shaped = values.view(tokens, layers, 2, model.kv_heads, model.head_dim)
    shaped = shaped.permute(1, 2, 3, 0, 4)[:, :, None].contiguous()
    return [(shaped[layer, 0], shaped[layer, 1]) for layer in range(layers)]


def log_p(model, values, ids):
    """log p after each of `ids`, which follow the cache `values`."""
    with torch.no_grad():
        hidden, _ = model.forward(torch.tensor([ids]), cache_of(model, values),
                                  len(values))
        return model.logits(hidden)[0].log_softmax(-1)


def divergence(exact, coded):
    """Mean KL(exact || coded) in nats, of two results of log_p."""
    return float((exact.exp() * (exact - coded)).sum(-1).mean())


class Planted:
    """A prefix of `length` tokens with a fact after each `length / facts`.

    ids        the prefix
    questions  for each fact: the tokens that ask, the tokens of the answer
    """

    def __init__(self, tokenizer, filler, length, facts, seed):
        dice = random.Random(seed)
        names = dice.sample(NAMES, facts)
        codes = [str(dice.randrange(10000, 100000)) for _ in names]
        self.ids, self.questions = [], []
        used = 0
        for i, (name, code) in enumerate(zip(names, codes)):
            fact = tokenizer.encode(FACT % (name, code)).ids
            room = (i + 1) * length // (facts + 1) - len(self.ids) - len(fact)
            self.ids += filler[used:used + room] + fact
            used += room
            ask = tokenizer.encode(QUESTION % name).ids
            whole = tokenizer.encode((QUESTION + "%s") % (name, code)).ids
            self.questions.append((ask, whole[len(ask):]))
        self.ids += filler[used:used + length - len(self.ids)]


def recalled(model, values, planted):
    """How many of the facts are told, digit by digit, greedily."""
    count = 0
    for ask, answer in planted.questions:
        told = log_p(model, values, ask + answer[:-1])
        best = told[len(ask) - 1:].argmax(-1).tolist()
        count += best == answer
    return count
