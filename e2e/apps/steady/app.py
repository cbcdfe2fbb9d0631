"""Answers what a load generator can check: every answer names the number that was asked for."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

GREETING = "steady one"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without it the kernel holds back the second of two small writes.
    disable_nagle_algorithm = True

    def do_GET(self):
        address = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path == "/slow":
            self.slow(float(asked.get("seconds", "5")))
        elif address.path == "/held":
            self.held(asked.get("seconds", "3600"))
        elif address.path == "/upgrade":
            self.upgrade()
        else:
            self.answer(f"{GREETING}\n{asked.get('number', '')}\n")

    def do_POST(self):
        """Length and digest of what arrived."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(f"{len(body)} {hashlib.sha256(body).hexdigest()}\n")

    def answer(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def slow(self, seconds):
        """A download of one line each tenth of a second; its length is said first."""
        lines = [f"line {number}\n".encode() for number in range(int(seconds * 10))]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(sum(map(len, lines))))
        self.end_headers()
        for line in lines:
            self.wfile.write(line)
            time.sleep(0.1)

    def held(self, seconds):
        """A download that stops after its first line until a `sleep` of so many seconds has ended."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(b"line 0\nline 1\n")))
        self.end_headers()
        self.wfile.write(b"line 0\n")
        subprocess.run(["sleep", seconds])
        self.wfile.write(b"line 1\n")

    def upgrade(self):
        """Changes to a protocol that sends back what it gets."""
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "echo")
        self.end_headers()
        self.close_connection = True
        while part := self.connection.recv(65536):
            self.connection.sendall(part)

    def log_message(self, *_):
        """The router logs requests."""


class Server(ThreadingHTTPServer):
    # A burst of new connections waits instead of being dropped.
    request_queue_size = 512


def main():
    # The first process of a container has no default action for SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(("", int(os.environ["PORT"])), Handler).serve_forever()


if __name__ == "__main__":
    main()
