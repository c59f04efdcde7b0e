"""Searches over batches of prompts, and the answers that come of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from spaniel import UsageError
from spaniel_neural.batching import batch_by_length

from spaniel_lm.local.beams import search
from spaniel_lm.local.decoder import Decoder
from spaniel_lm.local.ending import Ending, Found
from spaniel_lm.local.rules import Rules, history
from spaniel_lm.local.searching import walk
from spaniel_lm.protocol import Answer, Constraint, Generation, Processor
from spaniel_lm.tokenizer import Tokenizer


class Answering:
    """Makes answers with a model.

    Args:
        decoder: the model.
        tokenizer: its tokenizer.
        seed: of what is drawn, where the settings leave it open.
        budget: tokens of a batch at most, padding and answers included.
        rows: prompts of a batch at most.
    """

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer, seed: int, budget: int, rows: int | None) -> None:
        self.decoder, self.tokenizer = decoder, tokenizer
        self.seed, self.budget, self.rows = seed, budget, rows
        said = decoder.model.generation_config.eos_token_id
        ends = {*(said if isinstance(said, list | tuple) else [said]), tokenizer.raw.eos_token_id}
        self.ends = [int(end) for end in ends if end is not None]

    def answers(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Generation,
        processors: Sequence[Processor] = (),
        constraints: Sequence[Constraint] | None = None,
    ) -> list[Answer]:
        """Return an answer for the tokens of each prompt.

        Args:
            constraints: one a prompt.

        Raises:
            UsageError: a constraint lets no path end.
        """
        copies = settings.beams if settings.beams > 1 else settings.returns
        lengths = np.array([len(row) + settings.max_tokens for row in prompts], np.int64)
        made: dict[int, Answer] = {}
        ending = Ending(self.tokenizer, self.ends, settings.stop)
        transformer = self.decoder.transformer
        with self.decoder.sharing(prompts):
            for batch in batch_by_length(lengths, max(1, self.budget // copies), self.rows):
                repeated = [int(at) for at in batch for _ in range(copies)]
                rows = [prompts[at] for at in repeated]
                bound = [constraints[at] for at in repeated] if constraints is not None else None
                rules = Rules(processors, bound, history(rows, transformer.padding, transformer.device))
                if settings.beams > 1:
                    paths = search(self.decoder, [prompts[at] for at in batch], settings, rules, ending)
                    paths = [best[: settings.returns] for best in paths]
                else:
                    seeds = [self._seed(settings, prompts[at], number) for at in batch for number in range(copies)]
                    walked = walk(self.decoder, rows, settings, rules, ending, seeds)
                    paths = [walked[start : start + copies] for start in range(0, len(walked), copies)]
                for at, found in zip(batch, paths, strict=True):
                    made[int(at)] = _answer(found, len(prompts[at]), ending)
                transformer.finished(len(batch))
        return [made[at] for at in range(len(prompts))]

    def _seed(self, settings: Generation, prompt: Sequence[int], number: int) -> int:
        given = settings.seed if settings.seed is not None else self.seed
        text = f"{given} {number} {' '.join(map(str, prompt))}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _answer(paths: Sequence[Found], prompt_tokens: int, ending: Ending) -> Answer:
    if not paths:
        raise UsageError("no answer is allowed: the constraint lets no path end within max_tokens")
    made = [
        Answer(
            ending.text(path.tokens),
            path.tokens,
            path.logprobs,
            path.finish,
            prompt_tokens,
            len(path.tokens),
            path.score,
        )
        for path in paths
    ]
    return Answer(**{**vars(made[0]), "others": tuple(made[1:])})
