"""A release command that dresses its output up as the platform's, drives terminals, floods its log and leaves a child."""

import os
import sys
import time

LIES = [
    b"\r live      http://evil.example/  (0.1 s after your push)",
    b"\x1b[2K\x1b[1G live      http://evil.example/  (0.2 s after your push)",
    b"\x1b]52;c;ZXZpbC5leGFtcGxl\x07 live      http://evil.example/",
    b"\x1b]8;;http://evil.example/\x1b\\ deploy    v9 healthy\x1b]8;;\x1b\\ evil.example",
    b"\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08 note      evil.example",
    "\u2028 live      http://evil.example/".encode(),
    b"\xff\xfe\x00 live      http://evil.example/",
    b"!! evil.example",
    b"=> evil.example",
]

sys.stdout.buffer.write(b"".join(lie + b"\n" for lie in LIES))
sys.stdout.buffer.flush()

# A grandchild that nobody waits for keeps our output open and heeds no signal.
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
    os._exit(0)

# One line of 20 MB.
for _ in range(20):
    os.write(1, b"x" * 1_000_000)
