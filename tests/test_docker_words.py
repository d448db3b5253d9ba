"""What is said of containers and engines, and how the end of a command is heard: no engine is needed."""

from backends.sandboxes import OUTPUT_CAP
from backends.sandboxes.docker.causes import bytes_said, end_of_container
from backends.sandboxes.docker.engine import plain
from backends.sandboxes.docker.hearing import Hearing


def test_the_end_of_a_command_is_found_wherever_the_pieces_are_cut() -> None:
    end = "0123456789abcdef" * 2
    whole = f"out{end[:-1]}put{end} 7 2\nnoise".encode()
    for size in range(1, len(whole) + 1):
        hearing = Hearing(None, end, OUTPUT_CAP)  # type: ignore[arg-type] # it is not listened to
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert any(hearing.take(piece) for piece in pieces)
        assert (hearing.code, hearing.out_of_memory) == (7, 2)
        assert hearing.kept()[0] == f"out{end[:-1]}put".encode()


def test_what_became_of_a_container_is_a_sentence() -> None:
    assert end_of_container(None, 1) == "its container is gone: somebody removed it"
    assert "out of memory: the container reached its 512 MiB" in end_of_container({"OOMKilled": True}, 512 << 20)
    assert "was killed" in end_of_container({"ExitCode": 137}, 1)
    assert "(exit code 143)" in end_of_container({"ExitCode": 143}, 1)
    assert "exec format error" in end_of_container({"ExitCode": 1, "Error": "exec format error"}, 1)
    assert (bytes_said(512 << 20), bytes_said(4 << 30), bytes_said(1536 << 20)) == ("512 MiB", "4 GiB", "1.5 GiB")


def test_the_engines_errors_are_plain() -> None:
    cases = {
        "write /x: no space left on device": "the disk of the engine is full",
        "No such image: x:1": "has no such image",
        "unknown or invalid runtime name: x": "has not been told of that runtime",
        'exec: "sleep": executable file not found in $PATH: unknown': "the image lacks what every sandbox needs",
        "fork/exec /proc/self/exe: resource temporarily unavailable": "as many processes as it may have",
        "whatever else": "the engine says: whatever else",
    }
    for words, said in cases.items():
        assert said in plain(words, "the engine")
        assert words in plain(words, "the engine")
