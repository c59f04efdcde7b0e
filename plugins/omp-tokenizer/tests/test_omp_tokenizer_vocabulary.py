"""Equal tokens are found across families; special ones by role; numbers by how they are split."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from spaniel import UsageError
from spaniel_neural.testing import word_tokenizer
from spaniel_omp_tokenizer.digits import differences, scheme_of
from spaniel_omp_tokenizer.matching import match
from spaniel_omp_tokenizer.training import undertrained
from spaniel_omp_tokenizer.vocabulary import Key, Vocabulary, read_vocabulary

TEXTS = ["the naïve cat sat on the mat", "Cats sit, dogs bark; 12 dogs & 345 cats", "naïvely chasing cats and dogs"] * 3


def trained(family: str, size: int = 400, special: tuple[str, ...] = (), **roles: str) -> Any:
    """Return a real tokenizer of a family, trained on a few words."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    marks = [*roles.values(), *special]
    if family == "bytes":
        raw = Tokenizer(models.BPE())
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        raw.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(vocab_size=size, special_tokens=marks, initial_alphabet=alphabet)
    elif family == "pieces":
        raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        raw.pre_tokenizer = pre_tokenizers.Metaspace()
        raw.decoder = decoders.Metaspace()
        marks = [*dict.fromkeys([*marks, "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))])]
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=marks)
    else:
        raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        raw.normalizer = normalizers.BertNormalizer(lowercase=True)
        raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=[*dict.fromkeys([*marks, "[UNK]"])])
    raw.train_from_iterator(TEXTS, trainer)
    if family == "pieces":  # bytes are no special tokens in real ones
        import json

        said = json.loads(raw.to_str())
        said["added_tokens"] = [token for token in said["added_tokens"] if not token["content"].startswith("<0x")]
        raw = Tokenizer.from_str(json.dumps(said))
    extra = {"additional_special_tokens": list(special)} if special else {}
    return PreTrainedTokenizerFast(tokenizer_object=raw, **{f"{r}_token": t for r, t in roles.items()}, **extra)


def read(family: str, **options: Any) -> Vocabulary:
    return read_vocabulary(trained(family, **options))


def pairs(base: Vocabulary, donor: Vocabulary, **options: Any) -> dict[str, str]:
    matching = match(base, donor, **options)
    return {donor.written[ours]: base.written[theirs] for ours, theirs in matching.exact.tolist()}


def test_tokens_of_all_families_are_named_alike() -> None:
    byte, piece, word = read("bytes"), read("pieces"), read("wordpiece")
    assert [v.family for v in (byte, piece, word)] == ["bytes", "pieces", "wordpiece"]
    assert byte.keys[byte.tokenizer.get_vocab()["\u0120the"]] == Key("word", "the")
    assert piece.keys[piece.tokenizer.get_vocab()["\u2581the"]] == Key("word", "the")
    assert word.keys[word.tokenizer.get_vocab()["the"]] == Key("word", "the")
    assert word.index[Key("raw", "s")] == word.tokenizer.get_vocab()["##s"]
    naive = next(number for number, token in byte.written.items() if token == "\u0120na\u00c3\u00afve")
    assert byte.keys[naive] == Key("word", "naïve") == piece.keys[piece.tokenizer.get_vocab()["\u2581naïve"]]
    assert byte.keys[byte.tokenizer.get_vocab()["\u00c3"]] == Key("bytes", "c3")
    assert Key("word", "the").plain == " the"
    found = pairs(piece, byte)
    assert found["\u0120na\u00c3\u00afve"] == "\u2581naïve"
    assert found["\u0120cats"] == "\u2581cats"
    assert pairs(word, byte)["\u0120cats"] == "cats"
    assert byte.size == len(byte.tokenizer)
    assert max(read_vocabulary(byte.tokenizer, 100).keys) == 99


def test_capitals_are_folded_where_the_base_has_none() -> None:
    byte, word = read("bytes"), read("wordpiece")
    assert word.lowercases
    assert not byte.lowercases
    matching = match(word, byte)
    folded = {byte.written[ours]: word.written[theirs] for ours, theirs in matching.folded.tolist()}
    assert folded["S"] == "##s"
    assert "\u0120cats" not in folded
    # What is folded, the base reads as that very token.
    for token, piece in folded.items():
        key = byte.keys[byte.tokenizer.get_vocab()[token]]
        if key.sort == "word":
            assert word.split(key.text) == [word.tokenizer.get_vocab()[piece]]


def test_bytes_and_prefixes_match_where_that_is_asked_for() -> None:
    byte, piece = read("bytes"), read("pieces")
    assert not len(match(piece, byte).bytes)
    found = {byte.written[a]: piece.written[b] for a, b in match(piece, byte, bytes_too=True).bytes.tolist()}
    assert found["Q"] == "<0x51>"
    assert found["\u010a"] == "<0x0A>"
    back = {piece.written[a]: byte.written[b] for a, b in match(byte, piece, bytes_too=True).bytes.tolist()}
    assert back["<0x51>"] == "Q"
    small = read("bytes", size=290)
    longest = match(small, byte, prefixes=True)
    known = {small.keys[number] for number in small.keys}
    assert len(longest.prefix)
    for ours, theirs in longest.prefix.tolist():
        key, stands = byte.keys[ours], small.keys[theirs]
        assert key.sort == stands.sort
        assert key.text.startswith(stands.text)
        assert stands.text.strip()
        between = range(len(stands.text) + 1, len(key.text))
        assert all(Key(key.sort, key.text[:end]) not in known for end in between)
    left = set(match(small, byte).new.tolist())
    assert left == set(longest.new.tolist()) | set(longest.prefix[:, 0].tolist())


def test_special_tokens_match_by_role_and_others_by_text() -> None:
    bert = read_vocabulary(word_tokenizer(["a b"], "bert"))
    roberta = read_vocabulary(word_tokenizer(["a b"], "roberta"))
    llama = read_vocabulary(word_tokenizer(["a b"], "llama"))
    found = pairs(roberta, bert)
    assert found == {
        "[PAD]": "<pad>",
        "[UNK]": "<unk>",
        "[CLS]": "<s>",
        "[SEP]": "</s>",
        "[MASK]": "<mask>",
        "a": "a",
        "b": "b",
    }
    assert pairs(bert, llama) == {
        "<unk>": "[UNK]",
        "<s>": "[CLS]",
        "</s>": "[SEP]",
        "<pad>": "[PAD]",
        "a": "a",
        "b": "b",
    }
    assert match(llama, bert).unmapped == ("[MASK]",)
    assert pairs(llama, bert, special=("[MASK] -> <unk>",))["[MASK]"] == "<unk>"
    with pytest.raises(UsageError, match="base has no token '<no>'"):
        match(llama, bert, special=("[MASK] -> <no>",))
    with pytest.raises(UsageError, match="an arrow"):
        match(llama, bert, special=("[MASK]",))


def test_special_tokens_without_a_role_stay_apart() -> None:
    donor = read("bytes", special=("<|user|>", "<|bot|>"), eos="<end>")
    base = read("bytes", special=("<|bot|>", "<|user|>", "<|tool|>"), bos="<end>", eos="<stop>")
    found = pairs(base, donor)
    assert found["<|user|>"] == "<|user|>"
    assert found["<|bot|>"] == "<|bot|>"
    assert found["<end>"] == "<stop>"
    both = read("bytes", bos="<x>", eos="<x>")
    assert pairs(base, both)["<x>"] == "<end>"
    assert both.roles_of(both.roles["eos"]) == ["bos", "eos"]


def test_schemes_of_numbers_are_told_apart() -> None:
    from tokenizers import Regex, pre_tokenizers

    def with_split(split: Any, merges: bool) -> Vocabulary:
        tokenizer = trained("bytes", size=300)
        raw = tokenizer.backend_tokenizer
        if merges:
            raw.add_tokens([f"{n:0{w}d}" for w in (2, 3) for n in range(10**w)])
        raw.pre_tokenizer = pre_tokenizers.Sequence([split, raw.pre_tokenizer])
        return read_vocabulary(tokenizer)

    single = with_split(pre_tokenizers.Digits(individual_digits=True), False)
    again = with_split(pre_tokenizers.Digits(individual_digits=True), False)
    assert scheme_of(single).name == "single"
    assert differences(scheme_of(single), scheme_of(again)) == {}
    groups = with_split(pre_tokenizers.Split(Regex(r"\d{1,3}"), "isolated"), True)
    assert scheme_of(groups).name == "groups"
    told = differences(scheme_of(single), scheme_of(groups))
    assert told["1234"] == {"base": [1, 1, 1, 1], "donor": [3, 1]}
    assert "7" not in told


def test_tokens_that_were_never_trained_are_found() -> None:
    vocabulary = read_vocabulary(word_tokenizer([" ".join(f"w{n}" for n in range(400)), "unused_token_7"], "bert"))
    rows = len(vocabulary.keys) + 3
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(rows, 16, generator=generator)
    empty = torch.randn(16, generator=generator)
    inputs[-3:] = empty
    dull, named = vocabulary.tokenizer.get_vocab()["w5"], vocabulary.tokenizer.get_vocab()["unused_token_7"]
    inputs[dull], inputs[named] = 2 * empty, empty
    found = undertrained(vocabulary, inputs, None)
    assert found == {dull, named, rows - 1, rows - 2, rows - 3}
    inputs[17] *= 1e-3
    assert undertrained(vocabulary, inputs, torch.randn(rows, 16, generator=generator)) >= {17, named}
    assert 17 not in undertrained(vocabulary, inputs, None)
