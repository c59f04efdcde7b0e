"""Searches over batches of prompts, and the answers that come of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

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
        rows: answers of a batch at most.
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
        seeds: Sequence[int | None] | None = None,
        waited_for: Callable[[int], bool] | None = None,
    ) -> list[Answer]:
        """Return an answer for the tokens of each prompt.

        Args:
            constraints: one a prompt.
            seeds: one a prompt, instead of the settings' one.
            waited_for: whether anybody still waits for a prompt's answer; else it is what there is of it.

        Raises:
            UsageError: a constraint lets no path end.
        """
        ending = Ending(self.tokenizer, self.ends, settings.stop)
        with self.decoder.sharing(prompts):
            if settings.beams > 1:
                found = self._searched(prompts, settings, processors, constraints, ending)
            else:
                given = seeds if seeds is not None else [settings.seed] * len(prompts)
                found = self._walked(prompts, settings, processors, constraints, ending, given, waited_for)
        return [_answer(paths, len(prompt), ending) for paths, prompt in zip(found, prompts, strict=True)]

    def _searched(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Generation,
        processors: Sequence[Processor],
        constraints: Sequence[Constraint] | None,
        ending: Ending,
    ) -> list[list[Found]]:
        lengths = np.array([len(row) + settings.max_tokens for row in prompts], np.int64)
        found: list[list[Found]] = [[] for _ in prompts]
        transformer = self.decoder.transformer
        for batch in batch_by_length(lengths, max(1, self.budget // settings.beams), self.rows):
            repeated = [int(at) for at in batch for _ in range(settings.beams)]
            bound = [constraints[at] for at in repeated] if constraints is not None else None
            tokens = history([prompts[at] for at in repeated], transformer.padding, transformer.device)
            rules = Rules(processors, bound, tokens)
            paths = search(self.decoder, [prompts[at] for at in batch], settings, rules, ending)
            for at, best in zip(batch, paths, strict=True):
                found[at] = best[: settings.returns]
            transformer.finished(len(batch))
        return found

    def _walked(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Generation,
        processors: Sequence[Processor],
        constraints: Sequence[Constraint] | None,
        ending: Ending,
        seeds: Sequence[int | None],
        waited_for: Callable[[int], bool] | None,
    ) -> list[list[Found]]:
        # Each answer to a prompt is a row of its own, so that many answers need no more memory than many prompts.
        rows = [(at, number) for at in range(len(prompts)) for number in range(settings.returns)]
        lengths = np.array([len(prompts[at]) + settings.max_tokens for at, _ in rows], np.int64)
        found = [[Found((), (), "length", 0.0)] * settings.returns for _ in prompts]
        left = [settings.returns] * len(prompts)
        transformer = self.decoder.transformer
        for batch in batch_by_length(lengths, self.budget, self.rows):
            chosen = [rows[place] for place in batch if waited_for is None or waited_for(rows[place][0])]
            owners = [at for at, _ in chosen]
            if chosen:
                tokens = [prompts[at] for at in owners]
                bound = [constraints[at] for at in owners] if constraints is not None else None
                rules = Rules(processors, bound, history(tokens, transformer.padding, transformer.device))
                drawn = [self._seed(seeds[at], prompts[at], number) for at, number in chosen]
                still = None if waited_for is None else _of_rows(waited_for, owners)
                walked = walk(self.decoder, tokens, settings, rules, ending, drawn, still)
                for (at, number), path in zip(chosen, walked, strict=True):
                    found[at][number] = path
            for place in batch:
                left[rows[place][0]] -= 1
            transformer.finished(sum(left[at] == 0 for at in {rows[place][0] for place in batch}))
        return found

    def _seed(self, given: int | None, prompt: Sequence[int], number: int) -> int:
        text = f"{given if given is not None else self.seed} {number} {' '.join(map(str, prompt))}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _of_rows(waited_for: Callable[[int], bool], owners: Sequence[int]) -> Callable[[int], bool]:
    return lambda row: waited_for(owners[row])


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
