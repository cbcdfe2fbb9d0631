"""Answers until it is asked to eat: `/eat` in a child process, `/eat-self` in its own."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def eat():
    eaten = []
    while True:
        eaten.append(bytearray(16 * 1024 * 1024))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = "hungry\n"
        if self.path == "/eat-self":
            eat()
        if self.path == "/eat":
            child = os.fork()
            if child == 0:
                eat()
            _, status = os.waitpid(child, 0)
            text = f"child ended by signal {os.WTERMSIG(status)}\n"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())


ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
