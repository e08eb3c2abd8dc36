"""What keeps the page to the person at this machine: other sites and oversized uploads are refused before anything reads them."""

from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_NAMES = ("127.0.0.1", "localhost")
LARGEST_UPLOAD = 2**30
"""Bytes."""
POLICY = "; ".join(
    [
        "default-src 'self'",
        # The page's own templates are compiled in the browser, and its first elements stand in the page.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self' ws://127.0.0.1:* ws://localhost:*",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ]
)
"""The browser loads nothing from elsewhere, and shows the page in nobody's frame."""


class TooLargeError(Exception):
    """More was uploaded than is taken."""


def guard(app: Starlette, *, largest_upload: int = LARGEST_UPLOAD) -> None:
    """Put before an application what refuses others."""
    app.add_middleware(LocalOnly, largest_upload=largest_upload)
    # Another site's name may be made to point here; its pages would then be of this server's own site.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL_NAMES), www_redirect=False)


class LocalOnly:
    """Answers nothing that another site's page asks for, nor uploads above a size.

    A browser sends the name of the site with what its pages send elsewhere. Sockets are no exception here: the rule that keeps
    sites from each other's pages does not hold for them.
    """

    def __init__(self, app: ASGIApp, *, largest_upload: int = LARGEST_UPLOAD) -> None:
        self.app = app
        self.largest_upload = largest_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes from here."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            await PlainTextResponse("This page answers its own site alone.", 403)(scope, receive, send)
            return
        announced = headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > self.largest_upload:
            await self.refuse(scope, receive, send)
            return
        await self.pass_on(scope, receive, send)

    async def pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have it answered, counting what comes in and adding the policy to what goes out."""
        received, has_begun = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if scope["type"] == "http" and received > self.largest_upload:
                raise TooLargeError
            return message

        async def with_policy(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        try:
            await self.app(scope, counted, with_policy)
        except TooLargeError:
            if not has_begun:
                await self.refuse(scope, receive, send)

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say that it is too much."""
        text = f"The file is too large; at most {self.largest_upload // 2**20} MiB are taken."
        await PlainTextResponse(text, 413)(scope, receive, send)
