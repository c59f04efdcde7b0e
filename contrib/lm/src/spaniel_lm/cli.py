"""``spaniel lm``."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from spaniel import Context, UsageError
from spaniel.cli.common import running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json, print_table

from spaniel_lm.protocol import Generation, LanguageModel, Message

KIND = "language_model"

_LIMITS = {
    "answers": ("max-n", "Answers to a prompt (n) at most."),
    "prompts": ("max-prompts", "Prompts of a request at most."),
    "prompt_tokens": ("max-prompt-tokens", "Tokens of a prompt at most, beside the model's window."),
    "answer_tokens": ("max-tokens", "Tokens of an answer (max_tokens) at most."),
    "request_tokens": ("max-request-tokens", "Tokens of a request at most: prompts and answers, n times."),
    "body": ("max-body", "Bytes of a request's body at most."),
    "queue": ("queue", "Requests that wait or are being answered at most."),
    "client_queue": ("client-queue", "Those of one client (IPv4 address, or IPv6 network of 64 bits)."),
    "connections": ("connections", "Connections at most."),
    "head_seconds": ("head-seconds", "Seconds for a request's headers, and between two requests."),
    "body_seconds": ("body-seconds", "Seconds for a request's body, and for a client to take its answer."),
    "seconds": ("seconds", "Seconds until an answer is given up, waiting included."),
    "grace": ("grace", "Seconds for what is under way when the server is told to end."),
}


def limit_options(command: Any) -> Any:
    """Add the ceilings of a server."""
    from spaniel_lm.serving.limits import Limits

    for limit in reversed(fields(Limits)):
        option, words = _LIMITS[limit.name]
        whole = isinstance(limit.default, int)
        kind = click.IntRange(1) if whole else click.FloatRange(0, min_open=limit.name != "grace")
        command = click.option(
            f"--{option}", limit.name, default=limit.default, show_default=True, type=kind, help=words
        )(command)
    return command


@click.group()
def lm() -> None:
    """List, ask, score and serve language models. LM is an expression, such as smollm2 or openai(model=…, url=…)."""


def _model(context: Context, expression: str) -> LanguageModel:
    made: LanguageModel = context.create(KIND, expression)
    return made


@lm.command(name="list")
@json_option
@click.pass_obj
def list_(state: State, as_json: bool) -> None:
    """List the language models that have a name."""
    found = state.registry.components(KIND)
    if as_json:
        print_json([{"name": r.name, "distribution": r.distribution, "summary": r.component.summary} for r in found])
        return
    print_table(["name", "what it is"], [[r.name, r.component.summary] for r in found])


@lm.command()
@click.argument("lm", metavar="LM")
@json_option
@running_options
@click.pass_obj
def show(state: State, /, lm: str, as_json: bool, **settings: Any) -> None:
    """Show what a model can do, and what identifies it."""
    with running(state, **settings) as context:
        model = _model(context, lm)
        can, known = sorted(model.capabilities), dict(model.fingerprint())
    if as_json:
        print_json({"capabilities": can, "fingerprint": known})
        return
    click.echo(f"can: {', '.join(can)}")
    for name, value in known.items():
        click.echo(f"{name}: {value}")


@lm.command()
@click.argument("lm", metavar="LM")
@click.argument("prompts", nargs=-1, metavar="PROMPT...")
@click.option("-f", "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A prompt a line.")
@click.option(
    "--chat/--text", default=None, help="Ask in a chat, or go on with the text; by default chat where possible."
)
@click.option("--system", help="What a chat begins with.")
@click.option(
    "--max-tokens", default=128, show_default=True, type=click.IntRange(1), help="Tokens of an answer at most."
)
@click.option(
    "--temperature", default=0.0, show_default=True, help="0 takes the likeliest token, above 0 one is drawn."
)
@click.option("--top-p", default=1.0, show_default=True, help="Draw among the likeliest tokens with this probability.")
@click.option("--top-k", default=0, show_default=True, help="Draw among this many likeliest tokens; 0 among all.")
@click.option("--beams", default=1, show_default=True, type=click.IntRange(1), help="Width of beam search.")
@click.option("-n", "--returns", default=1, show_default=True, type=click.IntRange(1), help="Answers a prompt.")
@click.option("--stop", multiple=True, help="Text that ends an answer; repeatable.")
@json_option
@running_options
@click.pass_obj
def generate(
    state: State,
    /,
    lm: str,
    prompts: tuple[str, ...],
    file: Path | None,
    chat: bool | None,
    system: str | None,
    max_tokens: int,
    temperature: float,
    top_p: float,
    top_k: int,
    beams: int,
    returns: int,
    stop: tuple[str, ...],
    as_json: bool,
    **settings: Any,
) -> None:
    """Answer prompts."""
    texts = [*prompts, *(file.read_text(encoding="utf-8").splitlines() if file is not None else [])]
    if not texts:
        raise UsageError("nothing to answer: give a PROMPT, or --file with one a line")
    wanted = Generation(max_tokens, temperature, top_p, top_k, beams, returns, stop)
    with running(state, **settings) as context:
        model = _model(context, lm)
        as_chat = chat if chat is not None else "chat" in model.capabilities
        before = [Message("system", system)] if system is not None else []
        if before and not as_chat:
            raise UsageError("--system is for chats; add --chat")
        asked = [(*before, Message("user", text)) if as_chat else text for text in texts]
        with (
            context.stage(f"generate {lm}", len(texts), "prompts") as stage,
            context.following(len(texts), context.advance),
        ):
            answers = model.generate(asked, wanted)
    if as_json:
        made = [{"prompt": text, **answer.to_json()} for text, answer in zip(texts, answers, strict=True)]
        print_json({"answers": made, "cost": stage.cost})
        return
    for answer in answers:
        for one in (answer, *answer.others):
            click.echo(one.text)


@lm.command()
@click.argument("lm", metavar="LM")
@click.argument("text")
@click.argument("labels", nargs=-1, required=True, metavar="LABEL...")
@click.option(
    "--prompt", default="{text}", show_default=True, help="What stands around the text, with {text} in its place."
)
@click.option("--chat", is_flag=True, help="Give the prompt as a chat; the labels are its answers.")
@click.option(
    "--reduce", type=click.Choice(["sum", "mean", "first"]), default="sum", show_default=True, help="Over tokens."
)
@click.option("--normalise", is_flag=True, help="Print log-probabilities over the labels.")
@json_option
@running_options
@click.pass_obj
def score(
    state: State,
    /,
    lm: str,
    text: str,
    labels: tuple[str, ...],
    prompt: str,
    chat: bool,
    reduce: Any,
    normalise: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Score LABELs behind a TEXT by their log-probability, the best first."""
    from spaniel_lm.labels import PLACE, LabelScorer

    if PLACE not in prompt:
        raise UsageError(f"the prompt {prompt!r} has no {PLACE}")
    with running(state, **settings) as context:
        model = _model(context, lm)
        make: Any = (lambda one: (Message("user", prompt.replace(PLACE, one)),)) if chat else prompt
        with (
            context.stage(f"score {lm}", len(labels), "labels") as stage,
            context.following(len(labels), context.advance),
        ):
            scores = LabelScorer(model, reduce, make, normalise).score([text], labels)[0].tolist()
    ordered = sorted(zip(labels, scores, strict=True), key=lambda one: -one[1])
    if as_json:
        print_json({"scores": [{"label": label, "score": value} for label, value in ordered], "cost": stage.cost})
        return
    for label, value in ordered:
        click.echo(f"{value:>10.4f}  {label}")


@lm.command()
@click.argument("lm", metavar="LM")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@running_options
@click.pass_obj
def export(state: State, /, lm: str, file: Path, **settings: Any) -> None:
    """Write what a recorded LM has answered to a FILE, for replay(path=FILE)."""
    from spaniel_lm.recording import RecordedModel

    with running(state, **settings) as context:
        model = context.create(KIND, lm)
        if not isinstance(model, RecordedModel):
            raise UsageError(f"{lm} is not recorded; write recorded(lm={lm})")
        records = list(model.records())
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
    click.echo(f"wrote {len(records)} answers to {file}")


@lm.command()
@click.argument("lm", metavar="LM")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 for any free one."
)
@click.option("--name", help="Name under which clients ask for the model; by default LM as it is written.")
@click.option(
    "--key-variable",
    default="SPANIEL_LM_KEY",
    show_default=True,
    help="Environment variable with the key that clients must send; unset: none, and if named here, an error.",
)
@limit_options
@running_options
@click.pass_context
def serve(
    click_context: click.Context,
    /,
    lm: str,
    host: str,
    port: int,
    name: str | None,
    key_variable: str,
    **settings: Any,
) -> None:
    """Offer a local LM by OpenAI's protocol: chat completions, completions with echo and logprobs, models.

    A request beyond a limit is refused with 400 or 413, one for which there is no room with 429 and Retry-After. Answers
    that nobody waits for any more are ended. On SIGTERM or SIGINT what waits is refused with 503, what is under way has
    --grace seconds, and the server ends.
    """
    from spaniel_lm.local.model import LocalModel

    state: State = click_context.obj
    try:
        from spaniel_lm.serving.limits import Limits
        from spaniel_lm.serving.server import serve as run
    except ImportError as error:
        raise UsageError(f'serving needs {error.name}: pip install "spaniel-lm[serve]"') from error
    limits = Limits(**{one.name: settings.pop(one.name) for one in fields(Limits)})
    key = os.environ.get(key_variable, "")
    if not key and click_context.get_parameter_source("key_variable") is not click.core.ParameterSource.DEFAULT:
        raise UsageError(f"--key-variable: {key_variable} is not set, or empty")
    with running(state, **settings) as context:
        model = context.create(KIND, lm)
        if not isinstance(model, LocalModel):
            raise UsageError(f"{lm} does not run here; transformers(model=…) and smollm2 do")
        run(model, name or lm, host, port, key, limits)
