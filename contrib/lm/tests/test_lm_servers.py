"""What servers of many makes say: ends, parts, errors, fields that they do not take."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from spaniel import Context, Stage, UsageError
from spaniel_lm.protocol import Generation
from spaniel_lm.remote.dialect import objection
from spaniel_lm.remote.faults import describe, judge, seconds
from spaniel_lm.remote.limits import Budget
from spaniel_lm.remote.parsing import Malformed, answer, usage
from spaniel_lm.remote.sending import RequestsFailed

EIGHT = Generation(8)


def chat(content: Any = "x", finish: Any = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish, **more}
    return {"choices": [choice], "usage": {"prompt_tokens": 4, "completion_tokens": 3}}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        *[
            (word, "stop")
            for word in ("stop", "eos_token", "eos", "stop_sequence", "end_turn", "STOP", None, "", "unheard of")
        ],
        *[(word, "length") for word in ("length", "max_tokens", "MAX_TOKENS", "max_length", "model_length")],
    ],
)
def test_answers_end_for_reasons_of_many_names(said: Any, meant: str) -> None:
    assert (answer(chat("x", said), EIGHT).text, answer(chat("x", said), EIGHT).finish) == ("x", meant)


def test_what_does_not_say_why_it_ended_was_full_where_it_has_all_tokens() -> None:
    assert answer(chat("x", None), Generation(3)).finish == "length"
    assert answer({"choices": [{"text": "x"}]}, EIGHT).finish == "stop"


@pytest.mark.parametrize("said", ["content_filter", "SAFETY", "error", "abort", "insufficient_system_resource"])
def test_what_was_broken_off_is_named(said: str) -> None:
    with pytest.raises(Malformed, match="broken off"):
        answer(chat("x", said), EIGHT)


@pytest.mark.parametrize("tokens", [9, 10, 500])
def test_more_tokens_than_asked_for_are_whole(tokens: int) -> None:
    made = answer(chat("x", logprobs={"content": [{"token": "a", "logprob": -1}] * tokens}), EIGHT)
    assert (made.text, made.answer_tokens, len(made.logprobs)) == ("x", tokens, tokens)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}], "a"),
        ([{"type": "output_text", "text": "a", "annotations": []}], "a"),
        ([{"text": {"value": "a", "annotations": []}}], "a"),
        (["a", "b"], "ab"),
        ({"type": "text", "text": "a"}, "a"),
        ("", ""),
    ],
)
def test_contents_in_parts_are_put_together(content: Any, text: str) -> None:
    assert answer(chat(content), EIGHT).text == text


def test_choices_of_either_interface_are_read() -> None:
    table = {"token_logprobs": [-1.0, -0.5], "tokens": ["a", "b"]}
    assert answer({"choices": [{"text": "ab", "logprobs": table}]}, EIGHT).logprobs == (-1.0, -0.5)
    assert answer({"choices": [{"message": None, "text": "ab"}]}, EIGHT).text == "ab"
    two = {"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]}
    assert answer(two, EIGHT).text == "a"
    with pytest.raises(Malformed, match=r"2 choices, not 3.*ask with returns=1"):
        answer(two, Generation(8, temperature=1.0, returns=3))


@pytest.mark.parametrize(("text", "kept"), [("one. two", "one"), ("one.", "one"), ("one", "one")])
def test_texts_that_end_an_answer_are_no_part_of_it(text: str, kept: str) -> None:
    made = answer(chat(text, "length", logprobs={"content": [{"logprob": -1}]}), Generation(8, stop=(".", "!")))
    assert (made.text, made.finish) == (kept, "length" if text == "one" else "stop")
    assert len(made.logprobs) == (0 if "two" in text else 1)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"prompt_tokens": 4, "completion_tokens": 3}, (4, 3)),
        ({"prompt_tokens": 4.0, "completion_tokens": 3}, (4, 3)),
        ({"prompt_tokens": 4}, (4, 0)),
        *[
            ({"prompt_tokens": bad, "completion_tokens": 3}, None)
            for bad in (-1, 10**400, 1e308, float("nan"), "4", None, True)
        ],
        (None, None),
        ([], None),
    ],
)
def test_counts_that_are_none_are_taken_for_the_most(said: Any, read: Any) -> None:
    assert usage({"usage": said}) == read


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}, "too long"),
        ({"detail": "Not here"}, "Not here"),
        ({"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}, "body.messages: field required"),
        ({"error": "Input validation error", "error_type": "validation"}, "Input validation error"),
        ({"error": {"message": "no", "code": "bad_model"}}, "bad_model no"),
        ([{"error": {"code": 400, "message": "Invalid", "status": "X"}}], "Invalid"),
        ({"errors": [{"message": "one"}, {"message": "two"}]}, "one two"),
        ({"message": {"detail": [{"msg": "odd"}]}}, "odd"),
        ({"fault": {"faultstring": "gateway"}}, "gateway"),
        ({"title": "Bad", "detail": "worse", "status": 400}, "worse Bad"),
        ("just words", "just words"),
        ({"error": {"message": "a\x1b[31m\nb"}}, "a [31m b"),
    ],
)
def test_errors_of_every_form_are_told(body: Any, said: str) -> None:
    assert describe(body) == said
    assert judge(400, {}, json.dumps(body).encode()).problem == f"HTTP 400: {said}"


def test_errors_that_are_no_json_are_told() -> None:
    assert judge(502, {}, b"<html><head><title>502 Bad Gateway</title></head>").problem == "HTTP 502: 502 Bad Gateway"
    assert judge(503, {}, b"upstream connect error").problem == "HTTP 503: upstream connect error"
    assert judge(400, {}, b"\xff" * 9000).problem.startswith("HTTP 400: \ufffd")
    assert judge(400, {}, b"[" * 200_000).problem.startswith("HTTP 400: [[[")
    assert judge(500, {}, b"").problem == "HTTP 500"
    assert judge(401, {}, b'{"error": "wrong key sk-abc"}', "sk-abc").problem == "HTTP 401: wrong key \u2026"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *[(status, "refused") for status in (409, 425, 429, 503, 529)],
        *[(status, "unsure") for status in (103, 408, 500, 502, 504, 520, 524, 599)],
        *[(status, "unusable") for status in (400, 406, 413, 422, 501, 505)],
        *[(status, "fatal") for status in (301, 308, 401, 402, 403, 404, 405, 410)],
    ],
)
def test_statuses_say_what_was_done(status: int, outcome: str) -> None:
    assert judge(status, {}, b"").outcome == outcome


def test_a_quota_that_is_used_up_is_no_pause() -> None:
    assert judge(429, {}, b'{"error": {"message": "no credit", "type": "insufficient_quota"}}').outcome == "fatal"


def test_waits_are_read_as_seconds_and_as_dates() -> None:
    assert [seconds(given) for given in ("3", "0.5", "-1", "nan", "soon", None, "")] == [3, 0.5, 0, 0, 0, 0, 0]
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert 10**9 < seconds("Wed, 21 Oct 2099 07:28:00 GMT") < 10**10


FIELDS = {
    **{"max_tokens": 8, "temperature": 0.0, "top_p": 0.9, "top_k": 4, "seed": 1},
    **{"logprobs": True, "stop": ["."], "response_format": {}},
}


@pytest.mark.parametrize(
    ("error", "change"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            {"max_tokens": "max_completion_tokens"},
        ),
        (
            {"message": "no", "param": "max_tokens", "code": "unsupported_parameter"},
            {"max_tokens": "max_completion_tokens"},
        ),
        ("Unsupported value: 'temperature' does not support 0.0 with this model.", {"temperature": None}),
        ("`temperature` must be strictly positive", {"temperature": None}),
        ("Unsupported parameter: 'top_p' is not supported with this model.", {"top_p": None}),
        ("`temperature` and `top_p` cannot both be specified for this model", {"top_p": None}),
        ("property 'logprobs' is unsupported", {"logprobs": None}),
        ("Argument not supported on this model: stop", {"stop": None}),
        ("This response_format type is unavailable now", {"response_format": None}),
        ("json_schema is not supported", {"response_format": None}),
        ('Unknown name "seed": Cannot find field.', {"seed": None}),
        (
            [{"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}],
            {"top_k": None},
        ),
        ("max_tokens is too large: 4096. The maximum context length is 2048", {}),
        ("temperature must be less than or equal to 1", {}),
        ("Invalid prompt", {}),
    ],
)
def test_refusals_say_which_field_is_not_taken(error: Any, change: dict[str, Any]) -> None:
    body = {"detail": error} if isinstance(error, list) else {"error": error}
    assert objection(FIELDS, judge(422, {}, json.dumps(body).encode())) == change


Respond = Callable[[dict[str, Any], dict[str, str]], tuple[int, Any]]


@pytest.fixture
def picky(lm_context: Context, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes a model whose server is a function of body and headers; bodies and keys that were sent are kept."""
    from spaniel_lm.remote.transport import Transport

    def make(respond: Callable[[dict[str, Any]], tuple[int, Any]], **options: Any) -> Any:
        model = lm_context.create(
            "language_model", Stage("openai", model="m", url="http://x", concurrency=1, **options)
        )
        model.sent, model.keys = [], []

        def post(self: Any, path: str, content: Any, headers: dict[str, str]) -> Any:
            model.sent.append(content)
            model.keys.append(headers["Idempotency-Key"])
            status, body = respond(content)
            return judge(status, {}, json.dumps(body).encode())

        monkeypatch.setattr(Transport, "post", post)
        return model

    return make


def modern(content: dict[str, Any]) -> tuple[int, Any]:
    """A server whose model refuses what models of today refuse."""
    for name in ("max_tokens", "temperature", "top_p", "logprobs"):
        if name in content:
            return 400, {"error": {"message": f"Unsupported parameter: '{name}' is not supported", "param": name}}
    return 200, chat(content["messages"][-1]["content"])


def test_what_a_server_does_not_take_is_learned_once(picky: Any, lm_context: Context) -> None:
    model = picky(modern)
    with (
        lm_context.stage("ask") as stage,
        pytest.warns(UserWarning, match="does not take temperature, top_p, logprobs: "),
    ):
        answers = model.generate(["a", "b", "c"], Generation(8, temperature=0.5, top_p=0.9))
    assert [one.text for one in answers] == ["a", "b", "c"]
    assert len(model.sent) == 4 + 3  # four refusals, once
    assert len(set(model.keys)) == len(model.keys)
    assert set(model.sent[-1]) == {"model", "max_completion_tokens", "seed", "messages"}
    assert stage.cost["model calls"] == 3
    assert [one.text for one in model.generate(["d"], Generation(8))] == ["d"]
    assert len(model.sent) == 8


def test_what_was_not_set_is_not_sent(picky: Any) -> None:
    model = picky(lambda content: (200, chat()))
    model.generate(["a"])
    assert set(model.sent[0]) == {"model", "max_tokens", "temperature", "logprobs", "messages"}


def test_a_refusal_that_stays_teaches_nothing(picky: Any) -> None:
    model = picky(lambda content: (400, {"error": "the prompt 'temperature is not supported' is invalid"}))
    with pytest.raises(RequestsFailed, match="the prompt"):
        model.generate(["a"])
    assert model.sender.dialect.known == {}


def test_further_fields_are_sent_and_never_left_out(picky: Any, lm_context: Context) -> None:
    model = picky(modern, body='{"reasoning_effort": "low", "temperature": null, "logprobs": null}')
    model.generate(["a"])
    assert model.sent[-1]["reasoning_effort"] == "low"
    assert len(model.sent) == 2
    assert json.loads(model.fingerprint()["body"])["reasoning_effort"] == "low"
    with pytest.raises(RequestsFailed, match="'temperature' is not supported"):
        picky(modern, body='{"temperature": 0.3}').generate(["a"])
    for body, message in (
        ("[1]", "a JSON object"),
        ("{", "no JSON"),
        ('{"n": 2}', "n is set by"),
        ('{"max_tokens": 2}', "set by"),
    ):
        with pytest.raises(UsageError, match=message):
            picky(modern, body=body)


def test_orders_are_asked_for_as_json_where_a_server_offers_it(picky: Any, lm_context: Context) -> None:
    from spaniel_lm.listwise.prompts import Prompter
    from spaniel_lm.listwise.ranking import ListRanker
    from spaniel_lm.listwise.schedules import once

    def offers(content: dict[str, Any]) -> tuple[int, Any]:
        wanted = content["response_format"]["json_schema"]["schema"]["properties"]["order"]
        return 200, chat(json.dumps({"order": wanted["items"]["enum"][::-1]}))

    def refuses(content: dict[str, Any]) -> tuple[int, Any]:
        if "response_format" in content:
            return 400, {"error": {"message": "response_format is not supported", "param": "response_format"}}
        return 200, chat("Sure: [3] > [1] > [2]")

    passages = [["a", "see [3] > [2]", "c"], ["d", "e"]]
    for server, orders in ((offers, [(2, 1, 0), (1, 0)]), (refuses, [(2, 0, 1), (0, 1)])):
        model = picky(server)
        ranker = ListRanker(model, Prompter(model, chat=True, structured=True), once())
        if server is refuses:
            with pytest.warns(UserWarning, match="response_format"):
                made = ranker.rank(["q", "r"], passages)
        else:
            made = ranker.rank(["q", "r"], passages)
        assert [one.order for one in made] == orders
    assert len(model.sent) == 3
    prompts = [one["messages"][0]["content"] for one in model.sent]
    assert any("[2] see (3) > (2)\n" in prompt and '{"order": [2, 1, 3]}' in prompt for prompt in prompts)


def test_prices_of_any_size_stay_numbers(lm_context: Context) -> None:
    model = lm_context.create("language_model", Stage("openai", model="m", price_answer=1e6))
    budget = Budget(model.config)
    budget.charge((2**40, 2**40))
    assert budget.cost == 2**40


def stream(*parts: dict[str, Any], done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(part)}\n\n" for part in parts]
    return "".join([": a comment\n\n", *lines, "data: [DONE]\n\n" if done else ""]).encode()


def delta(finish: Any = None, index: int = 0, **said: Any) -> dict[str, Any]:
    return {"id": "x", "choices": [{"index": index, "delta": said, "finish_reason": finish}], "usage": None}


def test_a_stream_that_nobody_asked_for_is_one_answer() -> None:
    logged = delta("length", content="b", index=1)
    logged["choices"][0]["logprobs"] = {"content": [{"token": "b", "logprob": -0.5}]}
    parts = [delta(role="assistant", content=""), delta(content="on"), delta(content="e"), delta("stop")]
    last = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    reply = judge(200, {}, stream(*parts, delta(content="a", index=1), logged, last))
    assert reply.outcome == "answered"
    made = answer(reply.content, Generation(8, temperature=1.0, returns=2))
    assert (made.text, made.finish, made.prompt_tokens) == ("one", "stop", 3)
    assert [(one.text, one.finish, one.logprobs) for one in made.others] == [("ab", "length", (-0.5,))]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (stream(delta(content="cut o"), done=False), "the answer is no JSON object"),
        (b"data: nothing\n\n", "the answer is no JSON object"),
        (b"<html><title>Log in</title></html>", "the answer is no JSON object: Log in"),
        (b"upstream sk-key is down", "the answer is no JSON object: upstream … is down"),
    ],
)
def test_what_is_no_whole_answer_is_told(data: bytes, problem: str) -> None:
    reply = judge(200, {}, data, "sk-key")
    assert (reply.outcome, reply.content) == ("unusable", None)
    assert reply.problem.startswith(problem)


def test_a_stream_that_ends_in_an_error_is_no_answer() -> None:
    reply = judge(200, {}, stream(delta(content="a"), {"error": {"message": "the provider is gone"}}))
    with pytest.raises(Malformed, match="no list of choices: the provider is gone"):
        answer(reply.content, EIGHT)


def test_what_a_provider_says_behind_a_proxy_is_told() -> None:
    body = {"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "limited upstream"}}}
    assert describe(body) == "Provider returned error limited upstream"
    with pytest.raises(Malformed, match=r"broken off \('error'\): 502 upstream died"):
        answer(chat("", "error", error={"code": "502", "message": "upstream died"}), EIGHT)


@pytest.mark.parametrize("content", [None, ""])
def test_thoughts_that_took_all_tokens_are_no_answer(content: Any) -> None:
    said = chat(content, "length")
    said["choices"][0]["message"]["reasoning_content"] = "hm"
    with pytest.raises(Malformed, match="thoughts and no text: allow more tokens"):
        answer(said, EIGHT)
