"""The command `bark serve`: an HTTP server in OpenAI's shape."""

import os
from collections.abc import Sequence

from bark.commandline import (
    DEVICE,
    EXIT_CODES,
    FOLDER,
    MODEL,
    WORD,
    OneLineParser,
    choice,
    whole,
)
from bark.extras import from_extra
from bark.storage.files import expand
from booth.serve.config import KEY_VARIABLE, ServeSettings


def build_parser() -> OneLineParser:
    """Return the parser of ``bark serve``."""
    parser = OneLineParser(
        prog="bark serve",
        description="Answer HTTP requests in the shape of OpenAI's audio API.",
        epilog=f"${KEY_VARIABLE} is the secret that clients send as their API key. {EXIT_CODES}",
    )
    usual = ServeSettings()
    parser.flag("--model", MODEL, "large (default), small, nano, a folder, a hub id", usual.model)
    parser.flag("--device", DEVICE, "auto (default), cpu, cuda or mps", usual.device)
    dtypes = choice("auto", "float32", "bfloat16", "float16", "int8")
    parser.flag("--dtype", dtypes, "of the weights (default: auto)", usual.dtype)
    parser.add_argument("--fast", action="store_true", help="8-bit weights on a CPU where they pay")
    parser.flag(
        "--host", WORD, f"where to listen (default: {usual.host}, this computer)", usual.host
    )
    parser.flag("--port", whole(0, 65535), f"default: {usual.port}; 0 takes a free one", usual.port)
    parser.flag("--voices", FOLDER, "the folder of your voices, instead of $BARK_VOICES")
    parser.flag("--jobs", FOLDER, "the folder of long jobs (default: beside the voices)")
    meaning = f"requests taken at once, more are told to come back (default: {usual.queue})"
    parser.flag("--queue", whole(1), meaning, usual.queue)
    meaning = f"requests spoken side by side at most (default: {usual.max_batch})"
    parser.flag("--max-batch", whole(1, 64), meaning, usual.max_batch)
    meaning = f"letters of one request (default: {usual.text_letters})"
    parser.flag("--max-letters", whole(1), meaning, usual.text_letters)
    meaning = "local (default): one model in this process; ray: replicas that Ray Serve keeps"
    parser.flag("--engine", choice("local", "ray"), meaning, usual.engine)
    meaning = (
        f"models that Ray keeps, a GPU for each where there are any (default: {usual.replicas})"
    )
    parser.flag("--replicas", whole(1), meaning, usual.replicas)
    parser.flag("--max-replicas", whole(1), "models at most, under load (default: --replicas)")
    parser.add_argument(
        "--origin", type=WORD, action="append", default=[], metavar="URL",
        help="a web page elsewhere that may use the server; may be repeated",
    )  # fmt: skip
    return parser


def run(argv: Sequence[str]) -> int:
    """Serve until the process is told to end; return the exit code."""
    options = build_parser().parse_args(argv)
    settings = ServeSettings(
        model=options.model,
        device=options.device,
        dtype=options.dtype,
        fast=options.fast,
        host=options.host,
        port=options.port,
        api_key=os.environ.get(KEY_VARIABLE),
        origins=tuple(options.origin),
        voices=None if options.voices is None else expand(options.voices),
        jobs=None if options.jobs is None else expand(options.jobs),
        queue=options.queue,
        max_batch=options.max_batch,
        text_letters=options.max_letters,
        engine=options.engine,
        replicas=options.replicas,
        most_replicas=options.max_replicas,
    )
    if settings.engine == "ray":
        with from_extra("serve", "the server needs FastAPI and uvicorn"):
            from booth.serve.ray import serve_many
        return serve_many(settings)
    with from_extra("serve", "the server needs FastAPI and uvicorn"):
        from booth.serve.app import serve
    return serve(settings)
