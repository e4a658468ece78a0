"""The command `serve`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Annotated, Any

from ..setting_rules.ranges import Range, argument
from .picture_commands import MODEL, add_engine_options, positive

__all__ = ["add_commands"]

EXAMPLE = """\
example:
  bridgetower serve build/quickstart/vqa --port 8080
      then open http://127.0.0.1:8080, or http://127.0.0.1:8080/docs for the API
"""


def add_commands(commands: Any) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser("serve", help="serve a model: a JSON API and a web page", epilog=EXAMPLE,
                                 description="Serve a model: a JSON API and a web page.",
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help=MODEL)
    parser.add_argument("--index", type=Path, help="an index that bridgetower index made with the model, to search")
    parser.add_argument("--port", type=argument(Annotated[int, Range(0, 65_535)]), default=8080,
                        help="8080 by default; 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1",
                        help="address to listen at; 127.0.0.1, the default, is reached from this machine only")
    add_engine_options(parser)
    parser.add_argument("--max_batch", type=positive, default=16, metavar="N",
                        help="requests that pass the model together (16)")
    parser.add_argument("--max_waiting", type=positive, default=128, metavar="N",
                        help="requests that may wait; more are refused with 503 (128)")
    parser.add_argument("--max_megabytes", type=positive, default=16, metavar="N", help="size of a request (16)")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> None:
    from ..serving.server import open_port

    with open_port(options.host, options.port) as opened:
        from .command_line import quiet

        quiet()
        from ..serving.application import build_application
        from ..serving.request_limits import Limits
        from ..serving.served_model import ServedModel
        from ..serving.server import run_server

        limits = Limits(max_bytes=options.max_megabytes << 20, max_batch=options.max_batch,
                        max_waiting=options.max_waiting)
        model = ServedModel(options.model, options.index, options.device, options.max_batch, options.engine,
                            options.precision)
        host, port = opened.getsockname()[:2]
        print(f"serving {options.model} ({', '.join(model.tasks)}) at http://{host}:{port}", flush=True)
        run_server(build_application(model, limits), opened)
