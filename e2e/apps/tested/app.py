"""Counts words, and tells what its image holds; its tests are pytest's."""

import importlib.util
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from count import count


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/layers":
            body = "\n".join(path for path, _, _ in os.walk("/layers") if path.count("/") <= 3)
        elif self.path == "/pytest":
            body = str(importlib.util.find_spec("pytest"))
        else:
            body = f"{count('how many words')} words"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
