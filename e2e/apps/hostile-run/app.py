"""Answers / with what came of each attack; other paths try to use up the machine."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attacks


def fork_bomb():
    children = 0
    try:
        for _ in range(5000):
            if os.fork() == 0:
                import time

                time.sleep(20)
                os._exit(0)
            children += 1
    except OSError as error:
        return f"contained after {children} ({type(error).__name__})\n"
    return "NOT CONTAINED\n"


def disk_filler():
    written = 0
    try:
        with open("/workspace/filler", "wb") as file:
            for _ in range(4096):
                file.write(b"x" * 1024 * 1024)
                file.flush()
                written += 1
    except OSError as error:
        os.unlink("/workspace/filler")
        return f"contained after {written} MiB ({error.strerror})\n"
    return "NOT CONTAINED\n"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/attacks":
            text = "".join(f"attack {line}\n" for line in attacks.all_attacks())
        elif self.path == "/fork":
            text = fork_bomb()
        elif self.path == "/disk":
            text = disk_filler()
        elif self.path == "/die":
            os._exit(1)
        else:
            text = "harmless\n"
        body = text.encode()
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
