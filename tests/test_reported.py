"""Errors that tools report in words, told from text that only speaks of them."""

import pytest

from store.domain.looking import looks_up, only_looks
from store.domain.reported import reported


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Error: gift card balance is not enough", "Error: gift card balance is not enough"),
        ("\n  error: no such user\nmore", "error: no such user"),
        ("ValueError: bad date\n", "ValueError: bad date"),
        ("botocore.exceptions.ClientError: denied", "botocore.exceptions.ClientError: denied"),
        ("Error executing tool search: timeout", "Error executing tool search: timeout"),
        ("❌ Failed: nothing was sent", "❌ Failed: nothing was sent"),
        ("Traceback (most recent call last):\n  File", "Traceback (most recent call last):"),
        ("<tool_use_error>File does not exist.</tool_use_error>", "File does not exist."),
        ("<error>not yours</error>", "not yours"),
        ("Order #W12 not found.", "Order #W12 not found."),
        ("Cannot cancel a delivered order.", "Cannot cancel a delivered order."),
        ("Unable to reach the server", "Unable to reach the server"),
        ("404 Not Found", "404 Not Found"),
        ("Permission denied", "Permission denied"),
        ('{"error": "user not found"}', "user not found"),
        ('{"error": {"code": 5, "message": "quota is used up"}}', "quota is used up"),
        ('{"success": false, "message": "seat is taken"}', "seat is taken"),
        ('{"status": "error", "detail": "no slot"}', "no slot"),
        ('{"statusCode": 503, "body": ""}', '{"statusCode": 503, "body": ""}'),
        ('{"isError": true, "content": []}', '{"isError": true, "content": []}'),
    ],
)
def test_what_a_tool_says_of_its_failure(text: str, said: str | None) -> None:
    found = reported(text)
    assert (text[found.start : found.end] if found else None) == said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "12.0",
        "Transfer successful",
        '{"reservation_id": "4OG6T3", "status": "cancelled"}',
        '{"error": null, "items": []}',
        '{"errors": [], "ok": true}',
        '{"rows": [{"error": "an old one"}]}',
        '{"note": "\\"error\\": \\"told\\""}',
        '{"status": 200, "code": 12}',
        "errors.py:12: class NotFound(Error):",
        "Errors are counted by hour.",
        "An error: that is what the customer calls it.",
        "Error handling is described in the guide.",
        "Invalid dates are shown in red, as the manual says at length. " * 8,
        "failure_count = 3",
        "The flight was found to be full; a seat in another was not found until later that day.",
    ],
)
def test_what_only_speaks_of_errors_is_none(text: str) -> None:
    assert reported(text) is None


@pytest.mark.parametrize(
    "name", ["get_user", "listOrders", "mcp__shop__find_item", "search", "db.query", "Grep", "think"]
)
def test_tools_that_only_look(name: str) -> None:
    assert only_looks(name)


@pytest.mark.parametrize(
    "name", ["cancel_order", "bookFlight", "mcp__get__delete_all", "transfer_to_human", "", "submit"]
)
def test_tools_that_may_change_something(name: str) -> None:
    assert not only_looks(name)


def test_thinking_is_no_looking_up() -> None:
    assert not looks_up("calculate")
    assert looks_up("get_weather")
