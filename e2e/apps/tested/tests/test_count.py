import os
import socket

from count import count


def test_words():
    assert count("one two") == 2


def test_nothing():
    assert count("") == 0


def test_where_it_runs():
    assert os.environ["CNB_EXEC_ENV"] == "test"
    assert os.environ["WINDLASS_ENVIRONMENT"] == "test"
    assert not [name for name in os.environ if "TOKEN" in name or "SECRET" in name]
    # Neither a tool's network nor the platform: every address is one of the build's listeners.
    assert not os.path.exists("/sys/class/net/eth0")
    assert socket.create_server(("127.0.0.1", 0)).getsockname()[1] > 0
