"""Serves the console page on the loopback address."""

import secrets
from collections.abc import Callable

from waitress.server import create_server

from shop import target
from shop.console.app import create_app
from shop.console.stage import Console
from shop.errors import ShopError
from shop.local import process

THREADS = 8
"""Panels that are asked for at the same time, some of which wait for AWS."""


def serve(stage: str, *, port: int | None, allow_actions: bool, say: Callable[[str], None]) -> None:
    """Serve a stage's page until interrupted, and say at which address; a free port without `port`.

    Ends with KeyboardInterrupt. Raises ShopError for a stage that is not known, or that nobody can ask for want of
    credentials, and where the port is taken.
    """
    target.check_stage(stage)
    if port is not None and not process.is_free(port):
        raise _taken(port)
    local = stage == target.LOCAL
    # The local cloud is open to all users of this machine as it is; a stage on AWS is open to who has credentials.
    token = None if local else secrets.token_urlsafe(32)
    console = Console(stage, may_act=local or allow_actions, token=token)
    if not local:
        console.connect()
    app = create_app(console)
    chosen = port or process.any_free_port()
    try:
        server = create_server(app, host=process.HOST, port=chosen, threads=THREADS, ident="")
    except OSError:  # by another program, since it was found free
        raise _taken(chosen) from None
    # By its number: another user's program may listen to what `localhost` names first, ::1, and would get the token.
    say(f"http://{process.HOST}:{chosen}/" + (f"?token={token}" if token else ""))
    server.run()
    raise KeyboardInterrupt  # the one thing that ends it, and keeps to itself


def _taken(port: int) -> ShopError:
    return ShopError(f"--port: {port} is taken on {process.HOST}")
