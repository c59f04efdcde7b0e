"""Options of the language models and of listwise reranking."""

from __future__ import annotations

import json
import threading
from typing import Any, Literal

from pydantic import Field, field_validator
from spaniel import Config
from spaniel.config import Expression, ref

_OWN = ("model", "messages", "prompt", "n", "stream", "echo")
"""Fields of a request's body that answers depend on as they are read; :data:`_LIMITS` are set aside from the budget."""
_LIMITS = ("max_tokens", "max_completion_tokens")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


class LocalConfig(Config):
    """Options of a model that runs here."""

    model: str = Field(
        description="folder of the model, a GGUF file, `package:NAME/PATH` for either in a Python package, or its name on "
        "the Hugging Face hub",
        min_length=1,
    )
    revision: str | None = Field(None, description="branch, tag or commit of a model on the hub")
    task: Literal["auto", "causal-lm", "masked-lm", "seq2seq"] = Field(
        "auto", description="what the model is; auto: what its configuration says"
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="arithmetic of the model; auto: float32 on a CPU, the stored precision on an accelerator"
    )
    window: int | None = Field(
        None, description="tokens that a prompt and its answer may have together; by default what the model reads", ge=2
    )
    batch_tokens: int | None = Field(
        None,
        description="tokens of a batch at most, padding and answers included; by default what suits the device",
        ge=1,
    )


class RemoteConfig(Config):
    """Options of a server that speaks OpenAI's protocol."""

    model: str = Field(description="name of the model, as the server knows it", min_length=1)
    url: str = Field(
        "https://api.openai.com/v1",
        description="address of the server, up to and with `/v1`",
        pattern=r"^https?://[^\s/]+",
    )
    key_variable: str = Field(
        "OPENAI_API_KEY", description="environment variable that holds the key; unset: no key is sent"
    )
    api: Literal["chat", "completions"] = Field(
        "chat", description="which of the server's two ways to ask; completions take texts as they are"
    )
    echo: bool = Field(
        False, description="whether completions return the log-probabilities of the prompt (`echo`), as vLLM's do"
    )
    answer_logprobs: bool = Field(
        True, description="ask for the log-probabilities of answers' tokens; some servers refuse requests that do"
    )
    tokenizer: str | None = Field(
        None, description="folder or hub name of the model's tokenizer, for counting and cutting tokens here"
    )
    window: int | None = Field(
        None,
        description="tokens that a prompt and its answer may have together, where they are to be fitted to it",
        ge=2,
    )
    body: str | None = Field(
        None,
        description='further fields of every request, as a JSON object, such as `{"reasoning_effort": "low"}`; they replace '
        "those that are sent otherwise, and null leaves one out",
    )
    concurrency: int = Field(
        8, description="requests under way at once, and connections that are kept open for them", ge=1, le=256
    )
    attempts: int = Field(
        5, description="times that a request is sent at most, where the server refused the earlier ones", ge=1
    )
    timeout: float = Field(
        120.0,
        description="seconds after which a request without a whole answer is given up",
        gt=0,
        le=threading.TIMEOUT_MAX,
    )
    backoff: float = Field(
        0.5, description="seconds before the second attempt; each further one waits twice as long", ge=0
    )
    longest_wait: float = Field(
        60.0, description="seconds between two attempts at most, whatever the server asks for", ge=0
    )
    resend_unsure: bool = Field(
        False,
        description="send again what was cut off or timed out, and may have been paid for; safe with servers that know "
        "idempotency keys, which every request carries",
    )
    requests_per_minute: int | None = Field(None, description="requests sent in a minute at most", ge=1)
    tokens_per_minute: int | None = Field(None, description="tokens of prompts and answers in a minute at most", ge=1)
    max_calls: int | None = Field(None, description="requests that a session pays for at most", ge=0)
    max_tokens: int | None = Field(
        None, description="tokens of prompts and answers that a session pays for at most", ge=0
    )
    max_cost: float | None = Field(None, description="what a session pays at most, in the unit of the prices", ge=0)
    price_prompt: float = Field(0.0, description="price of a million tokens of prompts", ge=0)
    price_answer: float = Field(0.0, description="price of a million tokens of answers", ge=0)

    @field_validator("body")
    @classmethod
    def _check_body(cls, given: str | None) -> str | None:
        if given is None:
            return given
        try:
            fields = json.loads(given, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"no JSON ({error})") from None
        if not isinstance(fields, dict):
            raise ValueError('a JSON object, such as {"reasoning_effort": "low"}')
        own = [name for name in fields if name in _OWN or (name in _LIMITS and fields[name] is not None)]
        if own:
            raise ValueError(f"{own[0]} is set by the request itself")
        return given


class RecordedConfig(Config):
    """Options of a recorded model."""

    lm: Expression = ref("language_model", description="the model that answers what is not recorded yet")
    chunk: int = Field(64, description="answers written at once; a run that is killed loses at most these", ge=1)


class ReplayConfig(Config):
    """Options of replaying."""

    path: str = Field(description="file of recorded answers, written by `spaniel lm export`", min_length=1)
    tokenizer: str | None = Field(
        None, description="folder or hub name of the model's tokenizer, for counting and cutting tokens"
    )


class ListwiseConfig(Config):
    """Options of listwise reranking."""

    lm: Expression = ref("language_model", "smollm2", description="orders the passages")
    k: int = Field(100, description="documents of each list that are reranked; the rest follow as they were", ge=1)
    schedule: Literal["sliding", "once", "tournament"] = Field(
        "sliding",
        description="which passages are shown together: windows from the end of the list to its front, all at once, or "
        "groups whose better half meets again",
    )
    window: int = Field(20, description="passages in a prompt at most", ge=2)
    step: int = Field(10, description="passages by which a window moves to the front", ge=1)
    passes: int = Field(1, description="times that sliding windows go over the list", ge=1)
    decoding: Literal["auto", "free", "structured", "constrained"] = Field(
        "auto",
        description="free: write freely, and repair; structured: write JSON by a schema, and repair; constrained: write "
        "nothing but permutations, which local models can; auto: structured where the model takes schemas, else free",
    )
    thought_tokens: int = Field(
        0, description="tokens of an answer beside the order itself, for models that think before they answer", ge=0
    )
    chat: Literal["auto"] | bool = Field("auto", description="ask in a chat; auto: where the model takes chats")
    passage_tokens: int | None = Field(
        None, description="tokens of a passage at most; without it and without a budget, passages are whole", ge=1
    )
    budget: int | None = Field(
        None,
        description="tokens of a prompt and its answer at most, to which passages are cut alike; by default the model's "
        "window, where it tells",
        ge=16,
    )
    instruction: str | None = Field(
        None, description="said to the model before the passages, instead of the usual words"
    )
