"""Keys in text are hidden, all else stays where it is."""

import base64
import json
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import keys
from store.domain.safe_text import safe
from store.domain.secrets import mask

_RANDOM = random.Random(7)


def letters(count: int, alphabet: str = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789") -> str:
    return "".join(_RANDOM.choice(alphabet) for _ in range(count))


HEX = "0123456789abcdef"
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1234567890","name":"Ada"}', b"\x01\x02" * 16)
)
PEM = "-----BEGIN {0}PRIVATE KEY-----\n" + "\n".join(letters(64) for _ in range(4)) + "\n-----END {0}PRIVATE KEY-----"

KNOWN = {
    "sk-ant-api03-": "sk-ant-api03-" + letters(93) + "AA",
    "sk-ant-admin01-": "sk-ant-admin01-" + letters(93) + "AA",
    "sk-ant-oat01-": "sk-ant-oat01-" + letters(40) + "-" + letters(40),
    "sk-proj-": "sk-proj-" + letters(74) + "T3BlbkFJ" + letters(74),
    "sk-svcacct-": "sk-svcacct-" + letters(60),
    "sk-": "sk-" + letters(20) + "T3BlbkFJ" + letters(20),
    "sk-or-v1-": "sk-or-v1-" + letters(64, HEX),
    "AIza": "AIza" + letters(35),
    "ya29.": "ya29." + letters(60),
    "AKIA": "AKIA" + letters(16, "ABCDEFGHIJKLMNOP234567"),
    "ghp_": "ghp_" + letters(36),
    "github_pat_": "github_pat_" + letters(22) + "_" + letters(59),
    "glpat-": "glpat-" + letters(20),
    "xoxb-": "xoxb-" + "123456789012-123456789012-" + letters(24),
    "xapp-": "xapp-1-A0123456789-1234567890123-" + letters(64, HEX),
    "sk_live_": "sk_live_" + letters(24),
    "rk_test_": "rk_test_" + letters(24),
    "whsec_": "whsec_" + letters(32),
    "hf_": "hf_" + letters(34),
    "gsk_": "gsk_" + letters(52),
    "npm_": "npm_" + letters(36),
    "pypi-": "pypi-AgEIcHlwaS5vcmc" + letters(100),
    "eyJ": JWT,
    "mt-": keys.new_secret(),
}
AROUND = ["{}", "key={}", '{{"key": "{}"}}', "first\n{}\nlast", "({}),", "\\n{}\\n", "%3D{}%26", "'{}'", "é{}ü"]


@pytest.mark.parametrize("prefix", KNOWN)
def test_a_key_is_hidden_wherever_it_stands_and_says_what_it_was(prefix: str) -> None:
    key = KNOWN[prefix]
    for around in AROUND:
        text = around.format(key)
        assert mask(text) == text.replace(key, prefix + "*" * (len(key) - len(prefix)))


@pytest.mark.parametrize("colour", ["[31m", "[m", "[K", "[01;31m\x1b[K", "[38;5;196m", "[1;4;38;5;9m"])
def test_a_key_that_a_tool_has_coloured_is_hidden(colour: str) -> None:
    key = KNOWN["sk-ant-api03-"]
    for text in (f"key: \x1b{colour}{key}\x1b[m", f"key: ␛{colour}{key}␛[m", f'"\\u001b{colour}{key}\\u001b[m"'):
        assert key[20:] not in mask(text), text


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA "])
def test_a_private_key_is_hidden_line_by_line(kind: str) -> None:
    pem = PEM.format(kind)
    for text in (
        pem,
        f"cat key\n{pem}\ndone\n",
        json.dumps({"key": pem}),
        "\n".join("  > " + x for x in pem.split("\n")),
    ):
        masked = mask(text)
        assert len(masked) == len(text)
        assert f"-----BEGIN {kind}PRIVATE KEY-----" in masked and f"-----END {kind}PRIVATE KEY-----" in masked
        assert not any(line in masked for line in pem.split("\n")[1:-1])
        assert masked.count("\n") == text.count("\n")


@pytest.mark.parametrize("before", ["-----BEGIN PRIVATE KEY-----", '"-----BEGIN RSA PRIVATE KEY-----" in text: "'])
def test_a_private_key_is_hidden_right_after_somebody_named_its_first_line(before: str) -> None:
    begin, _, rest = PEM.format("").partition("\n")
    assert mask(f"{before}{begin}\n{rest}").startswith(f"{before}{begin}\n****")


def test_a_private_key_without_its_end_is_hidden_as_far_as_it_goes() -> None:
    text = PEM.format("")[:200]
    assert set(mask(text)[len("-----BEGIN PRIVATE KEY-----") :]) == {"*", "\n"}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgres://ada:hunter2@db.example/x", "postgres://ada:*******@db.example/x"),
        ("https://:t0ken@git.example/a.git", "https://:*****@git.example/a.git"),
        ("redis://localhost:6379/0", None),
        ("http://127.0.0.1:8080/a@b", None),
        ("GET /v1/models?key=abcdefgh12345&x=1", "GET /v1/models?key=*************&x=1"),
        ("GET /x?a=1&Access_Token=abcdefgh", "GET /x?a=1&Access_Token=********"),
        ("?keys=abcdefgh12345", None),
        ("Authorization: Bearer abcdefghijklmnop.qrst", "Authorization: Bearer *********************"),
        ("authorization: Basic dXNlcjpwYXNzd29yZA==", "authorization: Basic ********************"),
        ('"Authorization": "token 0123456789abcdef"', '"Authorization": "token ****************"'),
        ("Authorization is a header", None),
        (
            "aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "aws_secret_access_key = " + "*" * 40,
        ),
        (
            "AWS_SECRET_ACCESS_KEY='wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'",
            "AWS_SECRET_ACCESS_KEY='" + "*" * 40 + "'",
        ),
        ("https://hooks.slack.com/services/T0000/B0000/" + "x" * 24, "https://hooks.slack.com/services/" + "*" * 36),
    ],
)
def test_what_stands_where_a_secret_stands(text: str, masked: str | None) -> None:
    assert mask(text) == (text if masked is None else masked)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The task-management-of-the-twenty-first-century is hard.",
        "risk-assessment-and-mitigation-planning-document",
        "sk-learn, sk-short, hf_hub, npm_config_registry, eyJhbGciOi is the start of a token",
        "AKIA is how an access key begins",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "a PRIVATE KEY is private",
        "def test_key(): return 'mt-' + 'a' * 32",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "toolu_01A09q90qw90lq917835lq9 msg_01XFDUDYJgAACzvnptvVoYEL req_011CSHoEeqs5C35K2UUqR7Fy",
        "7k3ab.2.3 2026-11-23T06:00:00Z 550e8400-e29b-41d4-a716-446655440000",
    ],
)
def test_all_else_is_left_alone(text: str) -> None:
    assert mask(text) == text


def test_two_keys_that_touch_are_both_hidden() -> None:
    one, two = KNOWN["AKIA"], KNOWN["ghp_"]
    for text in (one + two, two + one, f"{one},{two}", f"sk-{one}-{two}"):
        masked = mask(text)
        assert len(masked) == len(text) and mask(masked) == masked
        assert one[4:] not in masked and two[4:] not in masked


_BITS = [
    *("://", ":", "@", "a", "Z", "-", "_", ".", "\n", "*", "é", "\\n", "%3D", "İ", "authorization", "Bearer ", "?key="),
    *("&", "=", "PRIVATE KEY", "-----", "eyJ", "😀", "16 letters or so", "MIIEvQIBADANBgkqhkiG9w0"),
]
_PIECES = st.sampled_from([*KNOWN.values(), *KNOWN, PEM.format(""), PEM.format("RSA ")[:100], *_BITS])


@given(st.lists(_PIECES | st.text(max_size=20), max_size=12).map("".join))
def test_a_mask_is_as_long_as_the_text_and_masking_again_changes_nothing(text: str) -> None:
    masked = mask(text)
    assert len(masked) == len(text)
    assert all(a == b or b == "*" for a, b in zip(text, masked, strict=True))
    assert mask(masked) == masked


@given(st.text())
def test_any_text_can_be_masked(text: str) -> None:
    assert len(mask(safe(text))) == len(safe(text))


HOSTILE = [
    *(
        "sk-",
        "sk-ant-",
        "sk-aaaaaaaaaaaaaaaaaaaaaaaa ",
        "eyJ",
        "eyJ.",
        "-eyJ-",
        "eyJaaaaaaaa.",
        "://",
        "://a:",
        "://a:b",
        ":@",
    ),
    *("AKIA", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "PRIVATE KEY", "-----BEGIN PRIVATE KEY-----" + "1" * 40),
    *("authorization:", "authorization: ", "?key=", "&key=a", "xoxb-", "SG.aaaaaaaaaaaaaaaaaa", "secret_access_key ="),
    *("a", " ", "-", "\\n", "-----", "%3D", "glpat-.", "-----BEGIN PRIVATE KEY-----" + " " * 1000, "1 ", "1:"),
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_makes_it_slow(piece: str) -> None:
    """A search that starts over at each place would take hours for a text of this length."""
    text = piece * ((1 << 20) // len(piece))
    assert len(mask(text)) == len(text)


def test_no_pattern_hides_what_is_already_hidden() -> None:
    assert re.search(r"\*\*", mask(" ".join(KNOWN.values())))
    assert mask("*" * 100) == "*" * 100
