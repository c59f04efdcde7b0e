"""Options of the components for tests."""

from __future__ import annotations

from pydantic import Field

from spaniel.config import Config, Expression, ref


class Oracle(Config):
    """Which judgments decide, and how much noise is added."""

    data: str = Field(description="folder in BEIR layout whose judgments are known")
    split: str = Field("test", description="split of the judgments")
    noise: float = Field(
        0.0, description="standard deviation of what is added to a grade, the same for a pair always", ge=0
    )


class OracleRetriever(Oracle):
    """Which judgments decide, how much noise is added, and how many documents are retrieved."""

    k: int = Field(1000, description="documents retrieved per query", ge=1)


class Spy(Config):
    """Whose scores are watched."""

    scorer: Expression = ref("rerank", description="a reranker that scores pairs")


class Failing(Config):
    """When it fails."""

    after: int = Field(0, description="pairs scored before it fails", ge=0)
