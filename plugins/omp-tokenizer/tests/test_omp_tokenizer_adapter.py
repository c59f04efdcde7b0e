"""Folders: what is kept bit by bit, what transformers and sentence-transformers load, special cases of heads and sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from spaniel import Context, UsageError
from spaniel.testing import Cli, contract
from spaniel_neural.loading import CLASSES, quietly
from spaniel_neural.testing import write_model, write_tokenizer
from spaniel_train.surgery import adapt_model

KNOWN = "the cat sat on a mat while dogs ran after the ball and birds sang in trees"
OTHERS = "quick brown foxes jump over lazy hounds near rivers"
FAMILIES = [
    ("bert", "encoder"),
    ("bert", "masked-lm"),
    ("roberta", "masked-lm"),
    ("distilbert", "masked-lm"),
    ("t5", "seq2seq"),
    ("bart", "seq2seq"),
    ("llama", "causal-lm"),
]
test_contract = contract("adapt/omp-tokenizer", options={"donor": "other", "k": 2})


def load(folder: Path, task: str) -> tuple[Any, Any]:
    import transformers

    with quietly():
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
        return getattr(transformers, CLASSES[task]).from_pretrained(str(folder)).eval(), tokenizer


def outputs(folder: Path, task: str, text: str) -> tuple[torch.Tensor, list[str]]:
    model, tokenizer = load(folder, task)
    said = tokenizer(text, return_tensors="pt")
    more = {"decoder_input_ids": said["input_ids"]} if task == "seq2seq" else {}
    with torch.no_grad():
        made = model(**said, **more)
    return made[0], tokenizer.convert_ids_to_tokens(said["input_ids"][0].tolist())


def transplant(root: Path, base: Path, donor: Path, name: str = "out", **options: Any) -> tuple[Path, dict[str, Any]]:
    settings = {"k": 4, "template": "donor", **options}
    told = ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items()).replace("true", "True")
    context = Context(root / "store", device="cpu", offline=True)
    report = adapt_model(context, f'omp-tokenizer(donor="{donor}", {told})', str(base), root / name)
    return root / name, report["report"]


def permuted(folder: Path, out: Path) -> Path:
    """Write a model again whose tokens have other numbers; it says the same."""
    model, tokenizer = load(folder, "masked-lm")
    special = set(tokenizer.all_special_ids)
    words = [number for number in range(len(tokenizer)) if number not in special]
    shuffled = dict(zip(words, np.random.default_rng(0).permutation(words).tolist(), strict=True))
    said = json.loads(tokenizer.backend_tokenizer.to_str())
    said["model"]["vocab"] = {t: shuffled.get(n, n) for t, n in said["model"]["vocab"].items()}
    out.mkdir()
    tokenizer.save_pretrained(out)
    (out / "tokenizer.json").write_text(json.dumps(said))
    order = torch.tensor([shuffled.get(n, n) for n in range(len(tokenizer))])
    with torch.no_grad():
        matrix = model.get_input_embeddings().weight
        matrix[order] = matrix.clone()
        bias = model.get_output_embeddings().bias
        bias[order] = torch.arange(len(bias)).float()
    model.save_pretrained(out)
    return out


def test_a_model_with_its_own_tokenizer_is_itself(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "bert", "masked-lm", texts=[KNOWN])
    out, report = transplant(tmp_path, base, base)
    assert report["new"] == 0
    before, after = load_file(base / "model.safetensors"), load_file(out / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(outputs(base, "masked-lm", KNOWN)[0], outputs(out, "masked-lm", KNOWN)[0])
    assert report["digits"]["base"] == report["digits"]["result"]


def test_other_numbers_of_the_same_tokens_change_no_output(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "bert", "masked-lm", texts=[KNOWN])
    donor = permuted(base, tmp_path / "donor")
    out, report = transplant(tmp_path, base, donor)
    assert report["new"] == 0
    ours, tokens = outputs(base, "masked-lm", KNOWN)
    theirs, same = outputs(out, "masked-lm", KNOWN)
    assert tokens == same
    _, tokenizer = load(out, "masked-lm")
    old, new = load(base, "masked-lm")[1].get_vocab(), tokenizer.get_vocab()
    assert old != new
    names = sorted(old)
    assert torch.equal(ours[..., [old[t] for t in names]], theirs[..., [new[t] for t in names]])


@pytest.mark.parametrize(("family", "task"), FAMILIES)
def test_every_family_loads_and_reads_known_words_as_before(tmp_path: Path, family: str, task: Any) -> None:
    base = write_model(tmp_path / "base", family, task, texts=[KNOWN])
    if task == "masked-lm":
        _fill_bias(base)
    donor = write_model(tmp_path / "donor", family, task, texts=[f"{OTHERS} {OTHERS} {KNOWN}"], seed=1)
    out, report = transplant(tmp_path, base, donor)
    assert report["new"] == len(set(OTHERS.split()))
    _, tokens = outputs(base, task, KNOWN)
    made, same = outputs(out, task, KNOWN)
    assert tokens == same
    model, tokenizer = load(out, task)
    assert model.config.vocab_size == len(tokenizer) == model.get_input_embeddings().num_embeddings == report["rows"]
    old, new = load(base, task)[1].get_vocab(), tokenizer.get_vocab()
    expected = outputs(base, task, KNOWN)[0]
    if task == "encoder":
        assert torch.equal(made, expected)
    else:
        shared = sorted(old)
        ids = ([old[t] for t in shared], [new[t] for t in shared])
        assert torch.allclose(made[..., ids[1]], expected[..., ids[0]], atol=1e-6)
        head, before = model.get_output_embeddings(), load(base, task)[0].get_output_embeddings()
        if getattr(head, "bias", None) is not None:
            assert torch.equal(head.bias[ids[1]], before.bias[ids[0]])
            assert float(before.bias.std()) > 0.5
            assert float(head.bias[new["foxes"]]) != 0
    row = model.get_input_embeddings().weight[new["foxes"]].detach()
    assert 0.1 < float(row.norm()) < 100
    for role in ("pad", "eos", "bos"):
        number = getattr(model.config, f"{role}_token_id", None)
        assert number is None or number == getattr(tokenizer, f"{role}_token_id")
    assert torch.isfinite(outputs(out, task, f"{KNOWN} {OTHERS}")[0]).all()


def _fill_bias(folder: Path) -> None:
    """Give the output a bias that is not 0."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    rows = max(tensor.shape[0] for name, tensor in tensors.items() if "word_embeddings" in name)
    for name, tensor in tensors.items():
        if name.endswith("bias") and tensor.shape == (rows,):
            tensors[name] = torch.randn(rows, generator=torch.Generator().manual_seed(3))
    save_file(tensors, path, {"format": "pt"})


def test_separate_matrices_are_rebuilt_separately_and_the_bias_as_one_more_dimension(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "llama", "causal-lm", texts=[KNOWN], tie_word_embeddings=False)
    donor = write_model(
        tmp_path / "donor", "llama", "causal-lm", texts=[f"{KNOWN} {OTHERS}"], seed=1, tie_word_embeddings=False
    )
    out, report = transplant(tmp_path, base, donor, k=3)
    assert {"input", "output"} <= set(report)
    from spaniel_omp_tokenizer.pursuit import combine, pursue

    (mb, tb), (md, td), (mo, to) = (load(folder, "causal-lm") for folder in (base, donor, out))
    shared = sorted(set(tb.get_vocab()) & set(td.get_vocab()), key=td.get_vocab().get)
    a, b = ([t.get_vocab()[token] for token in shared] for t in (td, tb))
    fox = td.get_vocab()["foxes"]
    for name in ("get_input_embeddings", "get_output_embeddings"):
        theirs, ours, made = (getattr(m, name)().weight.detach() for m in (md, mb, mo))
        expected = combine(*pursue(theirs[[fox]], theirs[a], 3).weights(), ours[b])
        assert torch.allclose(made[to.get_vocab()["foxes"]], expected[0], atol=1e-6)
    tied = write_model(tmp_path / "tied", "llama", "causal-lm", texts=[KNOWN], tie_word_embeddings=True)
    bound, said = transplant(tmp_path, tied, donor, "bound", k=3)
    assert "output" not in said
    assert "lm_head.weight" not in load_file(bound / "model.safetensors")


def test_vectors_in_the_span_of_shared_ones_are_exact(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "bert", texts=[KNOWN])
    donor = write_model(tmp_path / "donor", "bert", texts=[f"{KNOWN} {OTHERS}"], seed=1)
    tensors, weights = load_file(donor / "model.safetensors"), load_file(base / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    ids, old = load(donor, "encoder")[1].get_vocab(), load(base, "encoder")[1].get_vocab()
    rotation = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0))).Q
    for token in old:
        tensors[name][ids[token]] = weights[name][old[token]] @ rotation
    tensors[name][ids["foxes"]] = 3 * tensors[name][ids["cat"]] - tensors[name][ids["dogs"]]
    save_file(tensors, donor / "model.safetensors", {"format": "pt"})
    out, report = transplant(tmp_path, base, donor, k=21, examples=["foxes"])
    made = load_file(out / "model.safetensors")[name]
    expected = 3 * weights[name][old["cat"]] - weights[name][old["dogs"]]
    assert torch.allclose(made[load(out, "encoder")[1].get_vocab()["foxes"]], expected, atol=1e-4)
    parts = dict(report["input"]["examples"]["foxes"])
    assert parts["cat"] == pytest.approx(3, abs=1e-3)
    assert parts["dogs"] == pytest.approx(-1, abs=1e-3)


METHODS = [
    "interpolation",
    "clp",
    "focus",
    "wechsel",
    "landmark-pca",
    "sparse-basis",
    "subword",
    "mean",
    "zero",
    "normal",
    "gaussian",
]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_model(tmp_path: Path, method: str) -> None:
    base = write_model(tmp_path / "base", "bert", "masked-lm", texts=[KNOWN])
    donor = write_model(tmp_path / "donor", "bert", "masked-lm", texts=[f"{KNOWN} {OTHERS}"], seed=1)
    out, _ = transplant(tmp_path, base, donor, method=method)
    again, _ = transplant(tmp_path, base, donor, "again", method=method)
    first, second = (load_file(folder / "model.safetensors") for folder in (out, again))
    assert all(torch.equal(first[name], second[name]) for name in first)
    name = "bert.embeddings.word_embeddings.weight"
    row = first[name][load(out, "masked-lm")[1].get_vocab()["foxes"]]
    old = load_file(base / "model.safetensors")[name]
    if method == "zero":
        assert not row.any()
    elif method in ("mean", "subword"):  # the base reads a new word as its unknown token
        expected = old.mean(0) if method == "mean" else old[load(base, "masked-lm")[1].unk_token_id]
        assert torch.allclose(row, expected, atol=1e-6)
    else:
        assert 0 < float(row.norm()) < 50
    assert torch.isfinite(outputs(out, "masked-lm", OTHERS)[0]).all()


def test_rope_pursuit_needs_rotary_models(tmp_path: Path) -> None:
    texts = [f"{KNOWN} {OTHERS}"]
    bert = write_model(tmp_path / "bert", "bert", texts=[KNOWN])
    llama = write_model(tmp_path / "llama", "llama", "causal-lm", texts=[KNOWN])
    donor = write_model(tmp_path / "donor", "llama", "causal-lm", texts=texts, seed=1)
    out, _ = transplant(tmp_path, llama, donor, method="rope-pursuit")
    assert torch.isfinite(outputs(out, "causal-lm", OTHERS)[0]).all()
    with pytest.raises(UsageError, match="rotary"):
        transplant(tmp_path, bert, donor, "no", method="rope-pursuit")


def test_noise_comes_before_scale_and_spares_what_is_copied(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "bert", texts=[KNOWN])
    donor = write_model(tmp_path / "donor", "bert", texts=[f"{KNOWN} {OTHERS}"], seed=1)
    name = "embeddings.word_embeddings.weight"
    plain, noisy = (
        load_file(transplant(tmp_path, base, donor, f"o{noise}", scale=2.0, noise=noise)[0] / "model.safetensors")[name]
        for noise in (0.0, 0.5)
    )
    once = load_file(transplant(tmp_path, base, donor, "once")[0] / "model.safetensors")[name]
    ids = load(tmp_path / "once", "encoder")[1].get_vocab()
    new, old = [ids[w] for w in set(OTHERS.split())], [ids[w] for w in set(KNOWN.split())]
    assert torch.allclose(plain[new], 2 * once[new])
    assert torch.equal(noisy[old], once[old])
    assert 0.8 < float((noisy[new] - plain[new]).std()) < 1.2


def test_an_encoder_keeps_its_frame_pooling_and_length(tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    inner = write_model(tmp_path / "inner", "bert", texts=[KNOWN], max_length=24)
    base = tmp_path / "base"
    with quietly():
        made = Transformer(str(inner), max_seq_length=24)
        sentence_transformers.SentenceTransformer(modules=[made, Pooling(32, "cls")], device="cpu").save(str(base))
    donor = write_model(tmp_path / "donor", "llama", "causal-lm", texts=[f"{KNOWN} {OTHERS}"], seed=1)
    out, report = transplant(tmp_path, base, donor, template="auto")
    assert report["special tokens added"] == ["[MASK]"]
    texts = ["the cat sat", f"{KNOWN} " * 5]
    before, after = (sentence_transformers.SentenceTransformer(str(f), device="cpu").encode(texts) for f in (base, out))
    assert np.allclose(before, after, atol=1e-6)
    _, tokenizer = load(out, "encoder")
    assert tokenizer.model_max_length == 24
    ids = tokenizer("the cat", "a mat")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<s>", "the", "cat", "</s>", "a", "mat", "</s>"]
    assert tokenizer("the cat", "a mat")["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]
    assert tokenizer.cls_token == "<s>"
    assert tokenizer.sep_token == "</s>"


def test_digits_are_kept_as_the_base_splits_them(tmp_path: Path) -> None:
    from tokenizers import pre_tokenizers

    numbers = " ".join("0123456789")
    base = write_model(tmp_path / "base", "llama", "causal-lm", texts=[f"{KNOWN} {numbers}"])
    tokenizer = load(base, "causal-lm")[1]
    split = pre_tokenizers.Digits(individual_digits=True)
    raw = tokenizer.backend_tokenizer
    raw.pre_tokenizer = pre_tokenizers.Sequence([split, raw.pre_tokenizer])
    raw.save(str(base / "tokenizer.json"))
    donor = write_model(
        tmp_path / "donor", "llama", "causal-lm", texts=[f"{KNOWN} {numbers} 12 123 1234 12345 1234567"], seed=1
    )
    out, report = transplant(tmp_path, base, donor, "warned")
    assert report["digits"]["differences"]["1234"] == {"base": [1, 1, 1, 1], "donor": [4]}
    assert report["warnings"]
    assert "warnings" not in transplant(tmp_path, base, donor, "silent", digits="as-donor")[1]
    out, report = transplant(tmp_path, base, donor, "kept", digits="keep-base")
    assert report["digits"] == {"base": "single", "result": "single"}
    text = "the cat 1234"
    assert load(out, "causal-lm")[1].tokenize(text) == load(base, "causal-lm")[1].tokenize(text)
    with pytest.raises(UsageError, match="only single digits"):
        transplant(tmp_path, donor, base, "no", digits="keep-base")


def test_mistakes_are_told_and_leave_nothing(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "bert", texts=[KNOWN])
    donor = write_model(tmp_path / "donor", "bert", texts=[OTHERS], seed=1)
    same = write_model(tmp_path / "same", "bert", texts=[f"{KNOWN} {OTHERS}"], seed=1)
    with pytest.raises(UsageError, match="k=64: the two tokenizers share 5"):
        transplant(tmp_path, base, donor, k=64)
    with pytest.raises(UsageError, match="'cat' is no new token"):
        transplant(tmp_path, base, same, examples=["cat"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no config\.json"):
        transplant(tmp_path, base, tmp_path / "empty")
    roberta = write_model(tmp_path / "roberta", "roberta", texts=[KNOWN])
    far = write_model(tmp_path / "far", "roberta", texts=[" ".join(f"w{n}" for n in range(2000))], seed=1)
    _move_padding(far)
    with pytest.raises(UsageError, match="counts positions from the padding"):
        transplant(tmp_path, roberta, far)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".out", "out"))]


def _move_padding(folder: Path) -> None:
    said = json.loads((folder / "tokenizer.json").read_text())
    vocabulary, pad = said["model"]["vocab"], "<pad>"
    last = next(token for token, number in vocabulary.items() if number == 2000)
    vocabulary[last], vocabulary[pad] = vocabulary[pad], vocabulary[last]
    for token in said["added_tokens"]:
        token["id"] = vocabulary[token["content"]]
    (folder / "tokenizer.json").write_text(json.dumps(said))


def test_positions_that_count_from_the_padding_move_with_it(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "roberta", texts=[KNOWN])
    donor = write_model(tmp_path / "donor", "bert", texts=[f"{KNOWN} {OTHERS}"], seed=1)
    out, _ = transplant(tmp_path, base, donor, template="base")
    assert load(base, "encoder")[1].pad_token_id == 1
    assert load(out, "encoder")[1].pad_token_id == 0
    ours, theirs = outputs(base, "encoder", "the cat sat"), outputs(out, "encoder", "the cat sat")
    assert torch.allclose(ours[0], theirs[0], atol=1e-6)


def test_a_static_embedding_can_be_the_donor(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "bert", texts=[KNOWN])
    donor = tmp_path / "static"
    tokenizer = write_tokenizer(tmp_path / "words", [f"{KNOWN} {OTHERS}"], "bert")
    donor.mkdir()
    tokenizer.backend_tokenizer.save(str(donor / "tokenizer.json"))
    vectors = torch.randn(len(tokenizer), 20, generator=torch.Generator().manual_seed(0))
    save_file({"embedding.weight": vectors}, donor / "model.safetensors")
    out, report = transplant(tmp_path, base, donor, template="base")
    assert report["new"] == len(set(OTHERS.split()))
    assert torch.allclose(outputs(base, "encoder", KNOWN)[0], outputs(out, "encoder", KNOWN)[0], atol=1e-6)


def test_shards_stay_shards(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "bert", texts=[KNOWN])
    donor = write_model(tmp_path / "donor", "bert", texts=[f"{KNOWN} {OTHERS}"], seed=1)
    model, _ = load(base, "encoder")
    (base / "model.safetensors").unlink()
    model.save_pretrained(base, max_shard_size="20KB")
    assert len(list(base.glob("*.safetensors"))) > 2
    out, _ = transplant(tmp_path, base, donor)
    assert sorted(p.name for p in out.glob("*.safetensors")) == sorted(p.name for p in base.glob("*.safetensors"))
    size = sum(t.numel() * 4 for p in out.glob("*.safetensors") for t in load_file(p).values())
    assert json.loads((out / "model.safetensors.index.json").read_text())["metadata"]["total_size"] == size
    assert torch.equal(outputs(base, "encoder", KNOWN)[0], outputs(out, "encoder", KNOWN)[0])


def test_the_command(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "bert", texts=[KNOWN])
    donor = write_model(tmp_path / "donor", "bert", texts=[f"{KNOWN} {OTHERS}"], seed=1)
    ran = Cli(tmp_path)("adapt", f"omp-tokenizer(donor='{donor}', k=4)", str(base), "-o", str(tmp_path / "out"))
    assert ran.exit_code == 0, ran.stderr
    assert "new: 9" in ran.stdout
    assert json.loads((tmp_path / "out.json").read_text())["report"]["exact"] == 5 + len(set(KNOWN.split()))
