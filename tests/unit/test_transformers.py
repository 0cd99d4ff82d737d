"""Models of Hugging Face: tiny ones with random weights, and their pruned copies. Nothing is downloaded."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import prunescope as ps

transformers = pytest.importorskip("transformers")

SENTENCES, LONGEST = 70, 9
_RNG = torch.Generator().manual_seed(0)
LENGTHS = torch.randint(3, LONGEST + 1, (SENTENCES,), generator=_RNG)
IDS = torch.randint(1, 40, (SENTENCES, LONGEST), generator=_RNG)
IMAGES = torch.randn(60, 3, 8, 8, generator=_RNG)
BERT = {"vocab_size": 40, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
GPT2 = {"vocab_size": 40, "n_positions": 16, "n_embd": 12, "n_layer": 2, "n_head": 2}
VIT = {"image_size": 8, "patch_size": 4, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
TOKENS = {"bos_token_id": 1, "eos_token_id": 2}
# With weights as small as in training, blocks would hardly change their input.
WEIGHTS = {"initializer_range": 0.5}
LAYERS = {"bert": ["bert.encoder.layer.?"], "gpt2": ["transformer.h.?"], "vit": ["vit.layers.?"]}


def make(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "bert":
        return transformers.BertForSequenceClassification(
            transformers.BertConfig(**BERT, **WEIGHTS, intermediate_size=20)
        )
    if kind == "gpt2":
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2, **TOKENS, **WEIGHTS))
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(**VIT, **WEIGHTS, intermediate_size=20)
    )


def pruned(model: nn.Module) -> nn.Module:
    """Half of the weights of linear layers, by torch's own masks."""
    found = copy.deepcopy(model)
    for module in found.modules():
        if isinstance(module, nn.Linear | transformers.pytorch_utils.Conv1D):
            prune.l1_unstructured(module, "weight", 0.5)
    return found


def padded(side: str) -> dict[str, torch.Tensor]:
    """The sentences as a tokenizer returns them."""
    mask = torch.arange(LONGEST) < LENGTHS[:, None]
    ids = IDS * mask
    if side == "left":
        mask, ids = (
            mask.flip(1),
            torch.stack([row.roll(LONGEST - int(n)) for row, n in zip(ids, LENGTHS, strict=True)]),
        )
    return transformers.BatchEncoding({"input_ids": ids, "attention_mask": mask.long()})  # fmt: skip


def one_by_one(model: nn.Module, layer: str, offset: bool) -> torch.Tensor:
    rows = []
    hook = model.get_submodule(layer).register_forward_hook(
        lambda _module, _inputs, output: rows.append((output if torch.is_tensor(output) else output[0])[0])
    )
    with torch.no_grad():
        for ids, length in zip(IDS, LENGTHS, strict=True):
            places = torch.arange(length) + (LONGEST - length if offset else 0)
            model.eval()(input_ids=ids[None, :length], position_ids=places[None])
    hook.remove()
    return torch.cat(rows)


@pytest.mark.parametrize(
    "kind, side", [("bert", "right"), ("bert", "left"), ("gpt2", "right"), ("gpt2", "left")]
)
def test_a_padded_batch_gives_the_rows_of_its_sentences(kind, side):
    model, other = make(kind), pruned(make(kind))
    table = ps.compare_models(model, other, padded(side), LAYERS[kind], ["cka", "nbs"])
    assert len(table) == 4
    for row in table.to_dict("records"):
        x, y = (one_by_one(each, row["layer_a"], side == "left") for each in (model, other))
        assert row["n"] == len(x) == LENGTHS.sum()
        (expected,) = ps.compare(x, y, [row["measure"]])["value"]
        assert row["value"] == pytest.approx(expected, abs=1e-4) and expected < 0.9999


def test_images_of_a_vit():
    model, inputs = make("vit"), {"pixel_values": IMAGES}
    every = ps.compare_models(model, pruned(model), inputs, LAYERS["vit"], ["cka"])
    assert every["n"].tolist() == [60 * 5] * 2 and (every["value"] < 0.9999).all()
    with torch.no_grad():
        x, y = (each.eval().vit(IMAGES).last_hidden_state for each in (model, pruned(model)))
    part = ps.compare_models(model, pruned(model), inputs, ["vit.last_hidden_state"], ["cka"])
    expected = ps.compare(x.flatten(0, 1), y.flatten(0, 1), ["cka"], images=60)
    assert part["value"][0] == pytest.approx(expected["value"][0], abs=1e-5)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "vit"])
def test_zeros_of_other_tools_are_those_of_torchs_masks(kind):
    """Tools that prune in one shot leave zeros in the weights."""
    masked = pruned(make(kind))
    zeros = make(kind)
    zeros.load_state_dict({name: masked.get_parameter(name) if name in dict(masked.named_parameters())
                           else masked.get_submodule(name.rpartition(".")[0]).weight
                           for name in dict(zeros.named_parameters())}, strict=False)  # fmt: skip
    inputs = {"pixel_values": IMAGES} if kind == "vit" else padded("right")
    tables = [
        ps.compare_models(make(kind), each, inputs, LAYERS[kind], ["cka"], view="pooled")
        for each in (masked, zeros)
    ]
    np.testing.assert_allclose(tables[0]["value"], tables[1]["value"], atol=1e-6)
