"""The server of the page: on this machine's own address alone, until Ctrl-C."""

import socket
import warnings
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from nicegui import ui

from objabn.viewing.local_only import LOCAL_NAMES, guard
from objabn.viewing.page import Page, Viewer

ADDRESS = LOCAL_NAMES[0]


def reserve_port(port: int) -> socket.socket:
    """Return a socket that holds a port of this machine's own address, any free one for 0; RuntimeError where it is taken."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A server that has just ended leaves its port in a state that only this passes over.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((ADDRESS, port))
    except OSError as error:
        holder.close()
        raise RuntimeError(
            f"Port {port} cannot be used ({error.strerror}); give another one by --port, or 0 for any that is free."
        ) from None
    return holder


def serve(viewer: Viewer, holder: socket.socket, on_ready: Callable[[str], None]) -> None:
    """Serve the page until a signal ends it; `on_ready` is told its address once it answers."""
    config = uvicorn.Config(build_app(viewer), log_level="warning", timeout_graceful_shutdown=1)
    address = f"http://{ADDRESS}:{holder.getsockname()[1]}/"
    PageServer(config, on_ready=lambda: on_ready(address), on_end=viewer.is_ending.set).run([holder])


def build_app(viewer: Viewer) -> FastAPI:
    """Return the application; NiceGUI has one for each process."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(
        app,
        root=lambda: show(viewer),
        title=f"{viewer.title} · objabn view",
        favicon="👁",
        dark=None,
        tailwind=False,
        reconnect_timeout=10,
        show_welcome_message=False,
    )
    guard(app)
    return app


def show(viewer: Viewer) -> None:
    """Build a page for a browser that asks for it."""
    Page(viewer)


class PageServer(uvicorn.Server):
    """A server that says when it answers, and when it is about to end."""

    def __init__(self, config: uvicorn.Config, *, on_ready: Callable[[], None], on_end: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_ready, self.on_end = on_ready, on_end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        with warnings.catch_warnings():
            # NiceGUI looks for its server among all objects there are, and some of torch's warn when they are looked at.
            warnings.simplefilter("ignore", FutureWarning)
            await super().startup(sockets)
        self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, and end."""
        self.on_end()
        await super().shutdown(sockets)
