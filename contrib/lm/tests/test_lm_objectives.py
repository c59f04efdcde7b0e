"""Black-box objectives, and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Context, UsageError
from spaniel.testing import contract
from spaniel_lm.labels import LabelScorer
from spaniel_lm.objectives import AnswerReward, BlackBox, LabelReward
from spaniel_lm.protocol import Generation


def test_pairs_are_evaluated_once_and_within_the_budget(lm_context: Context) -> None:
    asked: list[Any] = []

    def evaluate(pairs: Any) -> list[float]:
        asked.extend(pairs)
        return [len(prompt) * 10 + index for prompt, index in pairs]

    box = BlackBox(evaluate, examples=4, budget=7, context=lm_context)
    with lm_context.stage("search") as stage:
        assert box.evaluate(["a", "bbb", "a"], [0, 2]).tolist() == [[10, 12], [30, 32], [10, 12]]
        assert box.evaluate(["bbb"], [2, 3, 3]).tolist() == [[32, 33, 33]]
    assert asked == [("a", 0), ("a", 2), ("bbb", 0), ("bbb", 2), ("bbb", 3)]
    assert (box.calls, box.left, box.cost(["a", "c"], [0, 1])) == (5, 2, 3)
    assert stage.cost == {"evaluations": 5, "evaluations reused": 4}
    with pytest.raises(UsageError, match="takes 4 calls, and 2 of 7 are left"):
        box.evaluate(["zz"])
    assert len(asked) == 5
    with pytest.raises(UsageError, match="no example 4; there are 4"):
        box.evaluate(["a"], [4])
    assert box.evaluate([], [0]).shape == (0, 1)
    with pytest.raises(ValueError, match="finite rewards"):
        BlackBox(lambda pairs: [float("nan")] * len(pairs), 1).evaluate(["a"])


def test_rewards_are_those_of_the_model(lm_model: Callable[..., Any]) -> None:
    model = lm_model()
    examples = ["the dog", "cat"]
    reward = AnswerReward(
        model, examples, lambda prompt, text: f"{prompt} {text}", lambda text, answer: answer.score, Generation(4)
    )
    box = BlackBox(reward, len(examples), budget=4)
    made = box.evaluate(["ship", "star"])
    expected = [[model.generate([f"{p} {t}"], Generation(4))[0].score for t in examples] for p in ("ship", "star")]
    assert np.abs(made - np.array(expected)).max() < 1e-4
    labelled = [("the dog", 1), ("cat", 0)]
    made = BlackBox(LabelReward(model, labelled, ["yes", "no"]), 2).evaluate(["good {text} :", "ship "])
    for row, prompt in enumerate(["good {text} :", "ship {text}"]):
        scores = LabelScorer(model, prompt=prompt, normalise=True).score(["the dog", "cat"], ["yes", "no"])
        assert made[row].tolist() == pytest.approx([scores[0, 1], scores[1, 0]], abs=1e-5)


def test_commands(run_cli: Any, lm_models: Callable[[str], Path], tmp_path: Path) -> None:
    lm = f'transformers(model="{lm_models("chat")}")'
    assert {one["name"] for one in run_cli("lm", "list", "--json").json} >= {
        "transformers",
        "smollm2",
        "openai",
        "recorded",
    }
    assert "transformers" in run_cli("lm", "list").stdout
    assert "chat" in run_cli("lm", "show", lm, "--json").json["capabilities"]
    assert "can: beams" in run_cli("lm", "show", lm).stdout
    file = tmp_path / "prompts"
    file.write_text("the dog\ncat\n")
    made = run_cli("lm", "generate", lm, "-f", str(file), "--max-tokens", "4", "--json").json
    assert [one["prompt"] for one in made["answers"]] == ["the dog", "cat"]
    assert made["cost"]["model calls"] == 2
    plain = run_cli("lm", "generate", lm, "the dog", "cat", "--max-tokens", "4").stdout
    assert plain.splitlines() == [one["text"] for one in made["answers"]]
    drawn = run_cli("lm", "generate", lm, "cat", "--text", "--temperature", "1", "-n", "3", "--max-tokens", "3").stdout
    assert len(drawn.splitlines()) == 3
    scores = run_cli("lm", "score", lm, "the dog", "yes", "no", "--normalise", "--json").json["scores"]
    assert sum(np.exp(one["score"]) for one in scores) == pytest.approx(1, abs=1e-5)
    assert scores[0]["score"] >= scores[1]["score"]
    for arguments, message in (
        (("generate", lm), "nothing to answer"),
        (("generate", lm, "a", "--text", "--system", "x"), "--system is for chats"),
        (("generate", "transformers(model=nowhere/at-all)", "a", "--offline"), "is not on this machine"),
        (("generate", 'transformers(model="x.gguf")', "a"), "there is no GGUF file"),
        (("generate", 'transformers(model="package:no_such/x.gguf")', "a"), "there is no GGUF file"),
        (("score", lm, "a", "b", "--prompt", "x"), "has no {text}"),
        (("export", lm, str(tmp_path / "x")), "is not recorded"),
        (("serve", "recorded(lm=smollm2)"), "does not run here"),
        (("generate", 'replay(path="nowhere")', "a"), "no file of recorded answers"),
        (("generate", 'openai(model=x, url="ftp://x")', "a"), "url"),
    ):
        result = run_cli("lm", *arguments)
        assert result.exit_code == 2, result.stderr
        assert message in result.stderr


test_openai_contract = contract("language_model/openai", options={"model": "tiny", "url": "http://127.0.0.1:9/v1"})
test_recorded_contract = contract("language_model/recorded", options={"lm": "smollm2"})
test_replay_contract = contract("language_model/replay", options={"path": "answers.jsonl"})
