"""Words of the first documents of a run."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spaniel import Corpus, Queries, Run, UsageError
from spaniel.data import Variants
from spaniel.store import Need

from spaniel_queries import config as options
from spaniel_queries.cooccurrence import expanded
from spaniel_queries.vocabulary import Vocabulary, open_vocabulary, vocabulary_need

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel_text.protocol import Analyzer


class FeedbackWords:
    """Adds the words with the greatest sum over the documents of frequency / length · log(documents / those with it).

    So a retriever of any sort is asked what an earlier one found: ``bm25 >> feedback-words >> dense``.
    """

    def __init__(self, config: options.FeedbackWords, context: Context) -> None:
        self.config = config
        self.context = context

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The vocabulary."""
        return [vocabulary_need(self.context, self.config.analyzer, corpus)]

    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Variants:
        """Return the queries with words added.

        Raises:
            UsageError: there is no run.
        """
        if run is None:
            raise UsageError("feedback-words needs a run to work on")
        analyzer: Analyzer = self.context.create("analyzer", self.config.analyzer)
        vocabulary = open_vocabulary(self.context, self.config.analyzer, corpus.need)
        head = run.cut(self.config.k)
        documents = analyzer.analyze(corpus.contents(head.rows)).lists()
        own = analyzer.analyze(queries.texts).lists()
        texts = []
        for at, text in enumerate(queries.texts):
            read = documents[head.offsets[at] : head.offsets[at + 1]]
            texts.append([expanded(text, self._words(read, set(own[at]), vocabulary), self.config.repeat)])
        return Variants.from_lists(texts)

    def _words(self, documents: Sequence[list[str]], own: set[str], vocabulary: Vocabulary) -> list[str]:
        weights: defaultdict[str, float] = defaultdict(float)
        most = max(1.0, self.config.share * vocabulary.documents)
        for words in documents:
            for word, frequency in Counter(words).items():
                count = vocabulary.count(word)
                if word not in own and 0 < count <= most:
                    weights[word] += frequency / len(words) * math.log(vocabulary.documents / count)
        best = sorted((-weight, word) for word, weight in weights.items() if weight > 0)
        return [word for _, word in best[: self.config.terms]]
