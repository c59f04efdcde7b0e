"""What may be loaded, and what is refused, for every task."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, PluginError, UsageError
from spaniel_neural import locating
from spaniel_neural.batching import run_batches, tokenize
from spaniel_neural.devices import autocast, choose_device, has_bfloat16
from spaniel_neural.files import model_fingerprint, transformer_digest
from spaniel_neural.loading import Transformer, load_for, load_transformer
from spaniel_neural.locating import download_model, find_model
from spaniel_neural.testing import TINY, TinyConvNet, word_tokenizer, write_model

TASKS = [
    ("bert", "encoder", "BertModel"),
    ("bert", "masked-lm", "BertForMaskedLM"),
    ("bert", "token-classification", "BertForTokenClassification"),
    ("distilbert", "sequence-classification", "DistilBertForSequenceClassification"),
    ("t5", "encoder", "T5EncoderModel"),
    ("t5", "seq2seq", "T5ForConditionalGeneration"),
    ("bart", "seq2seq", "BartForConditionalGeneration"),
    ("llama", "causal-lm", "LlamaForCausalLM"),
]


@pytest.fixture
def copy(folder: Callable[..., Path], tmp_path: Path) -> Path:
    """A tiny BERT that may be spoilt."""
    return Path(shutil.copytree(folder(), tmp_path / "model"))


@pytest.mark.parametrize(("family", "task", "name"), TASKS)
def test_every_task_has_its_model(loaded: Callable[..., Transformer], family: str, task: str, name: str) -> None:
    transformer = loaded(family, task)
    assert type(transformer.model).__name__ == name
    assert transformer.hidden_size == 32
    assert not transformer.model.training
    assert {parameter.dtype for parameter in transformer.model.parameters()} == {torch.float32}


def test_weights_are_those_of_the_folder(folder: Callable[..., Path], loaded: Callable[..., Transformer]) -> None:
    from safetensors.torch import load_file

    saved = load_file(folder("llama", "causal-lm") / "model.safetensors")
    state = loaded("llama", "causal-lm").model.state_dict()
    assert saved
    assert all(torch.equal(state[name], value) for name, value in saved.items())


def test_a_head_that_is_not_there(folder: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match=r"lack 2 that .* for sequence-classification.*classifier\.bias"):
        load_transformer(folder("bert", "masked-lm"), "sequence-classification", device="cpu", fresh=["pooler"])

    def fresh(seed: int) -> torch.Tensor:
        made = load_transformer(
            folder(), "sequence-classification", device="cpu", fresh=["classifier"], seed=seed, num_labels=1
        )
        weight: torch.Tensor = made.model.classifier.weight
        return weight

    before = torch.random.get_rng_state()
    assert fresh(0).shape == (1, 32)
    assert torch.equal(fresh(0), fresh(0))
    assert not torch.equal(fresh(0), fresh(1))
    assert torch.equal(torch.random.get_rng_state(), before), "loading draws nothing from the global stream"
    with pytest.raises(UsageError, match="classifier"):
        load_transformer(
            folder("bert", "sequence-classification"), "sequence-classification", device="cpu", num_labels=5
        )


def _refuse(copy: Path, message: str, task: Any = "encoder") -> None:
    with pytest.raises(UsageError, match=message):
        load_transformer(copy, task, device="cpu")


def test_pickled_weights_are_refused(copy: Path, tmp_path: Path) -> None:
    model = load_transformer(copy, device="cpu").model
    (copy / "model.safetensors").unlink()
    torch.save(model.state_dict(), copy / "pytorch_model.bin")
    _refuse(copy, r"no model\.safetensors; weights in other forms are not read, since they can run code")


def test_code_of_its_own_is_refused_and_not_run(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text(f"open({str(copy / 'ran')!r}, 'w')")
    _refuse(copy, r"asks for code of its own \(evil\.EvilConfig, evil\.EvilModel\)")
    assert not (copy / "ran").exists()


def test_what_transformers_knows_is_run_by_transformers(copy: Path, texts: list[str]) -> None:
    """A model of a known family that brings code as well is loaded without it."""
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.EvilModel"}}))
    (copy / "evil.py").write_text(f"open({str(copy / 'ran')!r}, 'w')")
    assert type(load_transformer(copy, device="cpu").model).__name__ == "BertModel"
    assert not (copy / "ran").exists()


def test_what_is_damaged_or_unknown(copy: Path) -> None:
    with pytest.raises(UsageError, match=r"encoder, masked-lm.*not for 'nonsense'"):
        load_transformer(copy, "nonsense", device="cpu")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the device 'nonsense'"):
        choose_device("nonsense")
    _refuse(copy, "cannot be loaded for seq2seq", "seq2seq")
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    _refuse(copy, "cannot be loaded for encoder")
    (copy / "config.json").unlink()
    _refuse(copy, r"is no model: it has no config\.json")


def test_lengths(loaded: Callable[..., Transformer]) -> None:
    transformer = loaded()
    assert transformer.max_length() == 64
    assert transformer.max_length(10, 20) == 10
    assert transformer.max_length(None, 20) == 20
    with pytest.raises(UsageError, match=r"max_length=65: .* reads 64 tokens at most"):
        transformer.max_length(65)
    roberta = loaded("roberta")
    assert roberta.max_length() == 62, "two positions are the padding's"
    ids = tokenize(roberta.tokenizer, ["star " * 99], max_length=62)
    assert run_batches(roberta, ids, lambda output, batch: output.last_hidden_state[:, 0])[0].shape == (1, 32)
    assert loaded("t5").max_length() == 512


def test_half_precision(loaded: Callable[..., Transformer], folder: Callable[..., Path], texts: list[str]) -> None:
    rows = {}
    for dtype in ("float32", "bfloat16"):
        transformer = loaded(dtype=dtype)
        tokens = tokenize(transformer.tokenizer, texts)
        rows[dtype] = run_batches(transformer, tokens, lambda output, batch: output.last_hidden_state[:, 0])[0]
        assert rows[dtype].dtype == np.float32
    assert 0 < np.abs(rows["float32"] - rows["bfloat16"]).max() < 0.2
    with autocast(torch.device("cpu"), "bfloat16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    assert isinstance(has_bfloat16(torch.device("cpu")), bool)
    assert not has_bfloat16(torch.device("meta"))


# Where models are, and what identifies them


def test_names(folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tiny_package"
    shutil.copytree(folder(), package / "inner" / "model")
    spec = ModuleSpec("tiny_package", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(locating, "find_spec", lambda name: spec if name == "tiny_package" else None)
    assert find_model("package:tiny_package/inner/model") == package / "inner" / "model"
    assert load_transformer("package:tiny_package/inner/model", device="cpu").hidden_size == 32
    for name, message in (
        ("package:tiny_package/other", "has no folder 'other'"),
        ("package:no_such_package/model", "no_such_package is not installed"),
        ("package:tiny_package/../outside", "leads out of its package"),
        ("package:", "write package:NAME/FOLDER"),
        ("/no/such/folder", "no model folder"),
    ):
        with pytest.raises(UsageError, match=message):
            find_model(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(UsageError, match="someone/tiny@v1 is not on this machine and the session is offline"):
        download_model("someone/tiny", "v1", offline=True)


def test_fingerprints_need_no_torch(context: Context, folder: Callable[..., Path], copy: Path) -> None:
    known = model_fingerprint(str(folder()), None, context.store)
    assert model_fingerprint(str(copy), None, context.store) == known
    (copy / "tokenizer.json").write_text((copy / "tokenizer.json").read_text().replace("star", "stir"))
    assert model_fingerprint(str(copy), None, context.store) != known
    assert transformer_digest(folder(), context.store, ["cls"]) != known["model"]
    code = (
        "import sys; from spaniel.store import Store; from spaniel_neural.files import model_fingerprint; "
        "import spaniel_neural.config; "
        f"print(model_fingerprint({str(folder())!r}, None, Store({str(copy / 's')!r}))['model']); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, known["model"]), done.stderr


def test_a_session_loads_by_its_settings(context: Context, folder: Callable[..., Path]) -> None:
    transformer = load_for(context, folder("bert", "masked-lm"), "masked-lm", attention="eager")
    assert transformer.device == torch.device("cpu")
    assert transformer.model.config._attn_implementation == "eager"


# The models that tests are made with


@pytest.mark.parametrize("family", sorted(TINY))
def test_tiny_models_are_the_same_for_the_same_seed(tmp_path: Path, family: str) -> None:
    before = torch.random.get_rng_state()
    one, two, other = (
        write_model(tmp_path / name, family, texts=["a b", "b c"], seed=seed)
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {path.name: path.read_bytes() for path in one.iterdir()} == {p.name: p.read_bytes() for p in two.iterdir()}
    assert (one / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_word_tokenizers() -> None:
    tokenizer = word_tokenizer(["b a b", "C"], "bert", lowercase=True)
    assert tokenizer.convert_ids_to_tokens(range(len(tokenizer)))[5:] == ["b", "a", "c"]
    assert tokenizer("A z", "b").tokens() == ["[CLS]", "a", "[UNK]", "[SEP]", "b", "[SEP]"]
    assert len(word_tokenizer(["b a b", "C"], "t5", size=1)) == 4
    assert word_tokenizer(["a"], "llama")("a a").tokens() == ["<s>", "a", "a"]
    texts = ["हिन्दी भाषा में खोज", "كِتَابٌ", "E\u0301le\u0300ve d'été…"]
    whole = word_tokenizer(texts, "llama")
    assert [t for text in texts for t in whole.tokenize(text)] == [
        *texts[0].split(),
        texts[1],
        "Élève",
        "d",
        "'",
        "été",
        "…",
    ]
    with pytest.raises(UsageError, match="it can be bert"):
        word_tokenizer([], "gpt")
    with pytest.raises(UsageError, match="it can be bert"):
        write_model(Path("unused"), "gpt")
    assert torch.equal(TinyConvNet(seed=3).classifier.weight, TinyConvNet(seed=3).classifier.weight)


def test_families_that_a_distribution_brings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import CONFIG_MAPPING

    packages, folder = tmp_path / "packages", write_model(tmp_path / "model", texts=["a cat"])
    info = packages / "foreign-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[spaniel_neural.families]\nforeign-bert = foreign_family\nbroken-bert = no_such_module\n"
    )
    (packages / "foreign_family.py").write_text(
        "from transformers import AutoConfig, AutoModel, BertConfig, BertModel\n"
        "class ForeignConfig(BertConfig):\n    model_type = 'foreign-bert'\n"
        "class ForeignModel(BertModel):\n    config_class = ForeignConfig\n"
        "AutoConfig.register('foreign-bert', ForeignConfig)\nAutoModel.register(ForeignConfig, ForeignModel)\n"
    )
    monkeypatch.syspath_prepend(str(packages))

    def call_it(name: str) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": name}))

    call_it("foreign-bert")
    assert "foreign-bert" not in CONFIG_MAPPING
    assert type(load_transformer(folder, device="cpu").model).__name__ == "ForeignModel"
    call_it("broken-bert")
    with pytest.raises(PluginError, match="foreign: its family of models 'broken-bert' cannot be imported"):
        load_transformer(folder, device="cpu")
    call_it("unheard-of")
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_transformer(folder, device="cpu")
