"""Runs for ever and opens no port."""

import time

print("busy with something else", flush=True)
while True:
    time.sleep(60)
