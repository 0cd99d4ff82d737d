"""What `compare_models` takes besides a tensor: tokens, masks, loaders, wrappers, parts of outputs."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import prunescope as ps

N, T, WIDTH = 80, 7, 5
_RNG = torch.Generator().manual_seed(0)
TOKENS = torch.randint(1, 30, (N, T), generator=_RNG)
LENGTHS = torch.randint(3, T + 1, (N,), generator=_RNG)
LENGTHS[0] = T
MASK = torch.arange(T) < LENGTHS[:, None]
LABELS = torch.arange(N) % 3
Pair = namedtuple("Pair", "tokens summary")


@dataclass
class Output:
    tokens: torch.Tensor
    summary: torch.Tensor


class Reader(nn.Module):
    """Tokens with attention that ignores padding; returns what `form` makes of (n, t, d) and (n, d)."""

    def __init__(self, seed, form=Output):
        super().__init__()
        torch.manual_seed(seed)
        self.embedding, self.form = nn.Embedding(30, WIDTH), form
        self.mixed, self.first = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 4)

    def forward(self, input_ids, attention_mask=None, scale=1.0):
        x = self.embedding(input_ids)
        kept = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        scores = (x @ x.mT).masked_fill(~kept.bool()[:, None], -torch.inf)
        x = self.mixed(scores.softmax(-1) @ x) * scale
        return self.form(x, self.first(x[:, 0]))


class Outer(nn.Module):
    def __init__(self, seed, form=Output):
        super().__init__()
        self.reader = Reader(seed, form)

    def forward(self, *args, **options):
        return self.reader(*args, **options)


A, B = Outer(0), Outer(1)
PADDED = {"input_ids": TOKENS * MASK, "attention_mask": MASK.long()}


def one_by_one(model, layer, pooled=False):
    """Rows of sentences that are not padded, each of which runs alone."""
    rows = []
    model.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: rows.append(output[0]))
    with torch.no_grad():
        for tokens, length in zip(TOKENS, LENGTHS, strict=True):
            model(tokens[None, :length])
    model.get_submodule(layer)._forward_hooks.clear()
    return torch.stack([one.mean(0) for one in rows]) if pooled else torch.cat(rows)


@pytest.mark.parametrize("pooled", [False, True])
def test_padded_sentences_have_the_rows_of_the_same_sentences_one_by_one(pooled):
    view = "pooled" if pooled else "channels"
    table = ps.compare_models(A, B, PADDED, ["reader.mixed"], ["cca", "cka"], view=view)
    x, y = (one_by_one(model, "reader.mixed", pooled) for model in (A, B))
    expected = ps.compare(x, y, ["cca", "cka"])
    assert table["n"].tolist() == [len(x)] * 2 and len(x) == (N if pooled else int(LENGTHS.sum()))
    np.testing.assert_allclose(table["value"], expected["value"], atol=1e-5)
    assert table["images"].tolist() == [N] * 2
    if pooled:
        np.testing.assert_allclose(table["chance"], expected["chance"], atol=1e-5)
    else:
        assert table[["chance", "chance_high"]].isna().all(axis=None), "sentences of other lengths"


def test_tokens_are_drawn_from_those_that_are_not_padding():
    """As many for each sentence, so chance is known; the same in both networks."""
    table = ps.compare_models(A, A, PADDED, ["*mixed"], ["cka"], positions=3)
    assert table["n"][0] == 3 * N and table["value"][0] == pytest.approx(1) and table["chance"].notna().all()
    every = ps.compare_models(A, B, PADDED, ["*mixed"], ["cka"])
    least = ps.compare_models(
        A, B, {"input_ids": TOKENS[:, :3], "attention_mask": MASK[:, :3]}, ["*mixed"], ["cka"], positions=3
    )
    full = ps.compare_models(A, B, TOKENS[:, :3], ["*mixed"], ["cka"])
    pd.testing.assert_frame_equal(least, full)
    assert every["n"][0] == LENGTHS.sum()
    with pytest.raises(ps.InputError, match=r"positions = 4: input \d+ has only 3 positions"):
        ps.compare_models(A, B, PADDED, ["*mixed"], ["cka"], positions=4)


def test_a_mask_of_its_own_is_that_of_the_mapping():
    own = ps.compare_models(A, B, (PADDED["input_ids"], MASK), ["*mixed"], ["cka"], mask=MASK.tolist())
    pd.testing.assert_frame_equal(own, ps.compare_models(A, B, PADDED, ["*mixed"], ["cka"]))
    # Layers with one row for each sentence have no padding.
    assert ps.compare_models(A, B, PADDED, ["*first"], ["cka"])["n"][0] == N


def halves(sizes):
    """Batches of mappings that are padded to their own longest sentence."""
    start = 0
    for size in sizes:
        part = slice(start, start + size)
        longest = int(LENGTHS[part].max())
        yield {"input_ids": PADDED["input_ids"][part, :longest], "labels": LABELS[part],
               "attention_mask": MASK[part, :longest], "scale": 1.0}  # fmt: skip
        start += size


class Batches(torch.utils.data.IterableDataset):
    def __iter__(self):
        yield from halves([7] * 11 + [3])


FORMS = {
    "a tensor": TOKENS,
    "an array": TOKENS.numpy(),
    "a tuple": (TOKENS, None, 1.0),
    "a mapping": {"input_ids": TOKENS, "scale": 1.0},
    "a loader of tensors": DataLoader(TOKENS, 30),
    "a loader with classes": DataLoader(TensorDataset(TOKENS, LABELS), 30),
    "a loader of mappings": DataLoader([{"input_ids": t, "labels": 0} for t in TOKENS], 30),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_inputs_of_every_form_are_the_same(form):
    expected = ps.compare_models(A, B, TOKENS, ["*mixed", "*first"], ["cka"])
    pd.testing.assert_frame_equal(
        ps.compare_models(A, B, FORMS[form], ["*mixed", "*first"], ["cka"]), expected
    )


def test_batches_of_a_loader_may_be_padded_to_different_lengths():
    longest_last = [batch["input_ids"].shape[1] for batch in halves([7] * 11 + [3])]
    loader = DataLoader(Batches(), None)
    assert len(set(longest_last)) > 1
    pd.testing.assert_frame_equal(
        ps.compare_models(A, B, loader, ["*mixed"], ["cka"]),
        ps.compare_models(A, B, PADDED, ["*mixed"], ["cka"]),
    )


@pytest.mark.parametrize(
    "form", [lambda *x: x, Pair, Output, lambda *x: dict(zip(Pair._fields, x, strict=True))]
)
def test_parts_of_outputs_are_chosen_by_place_or_name(form):
    a, b = Outer(0, form), Outer(1, form)
    named = ["reader.tokens", "reader.summary"]
    placed = ["reader[0]", "?eader[1]"]
    for layers in [placed] if type(form(1, 2)) is tuple else [placed, named] if form is Pair else [named]:
        table = ps.compare_models(a, b, TOKENS, layers, ["cka"], axes="last")
        assert table["width_a"].tolist() == [WIDTH, 4] and table["n"].tolist() == [N * T, N]
        same = ps.compare_models(a, b, TOKENS, ["*mixed", "*first"], ["cka"])
        np.testing.assert_allclose(table["value"], same["value"], atol=1e-6)
        by_name = ps.compare_models(a, b, TOKENS, {layers[0]: "reader.mixed"}, ["cka"], axes="last")
        assert by_name["value"][0] == pytest.approx(same["value"][0], abs=1e-6)
    assert [name for name, _ in a.named_modules()] == [name for name, _ in Outer(0).named_modules()]


class Prepared(nn.Module):
    """Accelerate replaces `forward` by one that calls it, and keeps the modules."""

    def __new__(cls, network):
        inner = network.forward
        network.forward = lambda *args, **options: inner(*args, **options)
        return network


WRAPPERS = {
    "parallel": nn.DataParallel,
    "compiled": lambda network: torch.compile(nn.DataParallel(network), backend="eager"),
    "accelerated": Prepared,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrapped_networks_have_the_names_of_what_they_wrap(wrapper):
    a, b = WRAPPERS[wrapper](Outer(0)), WRAPPERS[wrapper](Outer(1))
    pd.testing.assert_frame_equal(
        ps.compare_models(a, b, PADDED, ["reader.mixed"], ["cka"]),
        ps.compare_models(A, B, PADDED, ["reader.mixed"], ["cka"]),
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_networks_of_other_precision_are_cast(dtype):
    networks = [nn.Sequential(nn.Linear(6, 4), nn.ReLU()).to(dtype) for _ in "ab"]
    images = torch.randn(100, 6)
    table = ps.compare_models(*networks, images, ["ReLU"], ["cka"])
    with torch.no_grad():
        x, y = (network(images.to(dtype)).double() for network in networks)
    assert table["value"][0] == pytest.approx(ps.compare(x, y, ["cka"])["value"][0], abs=1e-5)


class Tokens(nn.Module):
    def forward(self, images):
        return images.unflatten(1, (3, 4)) * 2


RAGGED = DataLoader([torch.ones(2, size) for size in (3, 4)], None)
WRONG = {
    "no tensor": ({"text": "a"}, {}, ["inputs: no tensors"]),
    "other numbers": ((TOKENS, TOKENS[1:]), {}, ["numbers of examples differ (0: 80, 1: 79)"]),
    "other lengths": (RAGGED, {}, ["inputs[0]: batches have different shapes", "attention_mask"]),
    "no batch": (DataLoader(TOKENS[:0]), {}, ["the DataLoader has no batches"]),
    "other arguments": ({"ids": TOKENS}, {}, ["a: fails on inputs of shape ids (7,)", "'ids'"]),
    "numbers in the mask": (TOKENS, {"mask": TOKENS}, ["mask: must be 1 or True"]),
    "other rows": (TOKENS, {"mask": MASK[1:]}, ["mask: has shape (79, 7), must be (80, positions)"]),
    "all padding": (TOKENS, {"mask": MASK & (LENGTHS > 3)[:, None]}, ["is all padding; remove it"]),
    "other positions": (TOKENS, {"mask": MASK[:, 1:]}, ["mask: has 6 positions", "reader.mixed has 7"]),
    "flattened": (PADDED, {"view": "flatten"}, ["view = 'flatten'", "padding", 'view="pooled"']),
    "no part": (TOKENS, {"layers": ["reader.words"]}, ["no part 'words'; it has tokens, summary"]),
    "no place": (TOKENS, {"layers": ["*mixed[0]"]}, ["returns a Tensor, which has no part 0"]),
    "a dataclass": (TOKENS, {"layers": ["reader"]}, ["returns a Output", "part of it, e.g. reader[0]"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line(case):
    inputs, options, words = WRONG[case]
    with pytest.raises(ps.InputError) as caught:
        ps.compare_models(A, B, inputs, **{"layers": ["*mixed"], "measures": ["cka"]} | options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_message_for_tokens_names_the_view():
    networks = [nn.Sequential(nn.Flatten(), Tokens()) for _ in "ab"]
    with pytest.raises(ps.InputError, match=r'set axes to \{1: first\}.*or use view="flatten"'):
        ps.compare_models(*networks, torch.randn(30, 12), ["Tokens"], ["cka"])
