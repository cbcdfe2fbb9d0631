"""Answers on $PORT with nothing but the standard library."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GREETING = "hello from stdlib-http"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/env":
            self.answer(json.dumps(dict(os.environ), sort_keys=True))
        elif self.path == "/headers":
            self.answer(json.dumps(self.headers.items()))
        elif self.path.startswith("/log/"):
            print(self.path.removeprefix("/log/"), flush=True)
            self.answer("logged\n")
        elif self.path == "/":
            self.answer(f"{GREETING}\n")
        else:
            self.answer("not here\n", status=404)

    do_HEAD = do_GET

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        self.answer(self.rfile.read(length))

    def answer(self, body, status=200):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        """The router logs requests."""


def main():
    # The first process of a container has no default action for SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()


if __name__ == "__main__":
    main()
