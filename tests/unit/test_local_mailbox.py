from __future__ import annotations

import json
import uuid

from shop.local.mailbox import Mail, parse


def _message(timestamp: str, **fields: object) -> dict[str, str]:
    notification = {
        "Type": "Notification",
        "MessageId": str(uuid.uuid4()),
        "TopicArn": "arn:aws:sns:us-east-1:000000000000:orders",
        "Message": "text",
        "Timestamp": timestamp,
        **fields,
    }
    return {"MessageId": "2", "Body": json.dumps(notification)}


def test_a_mail_has_what_subscribers_get() -> None:
    attributes = {"event": {"Type": "String", "Value": "order.created"}, "n": {"Type": "Number", "Value": "3"}}
    message = _message("2026-11-21T10:00:00.000Z", Subject="New order A-1", MessageAttributes=attributes)

    assert parse([message]) == [
        Mail(
            topic="arn:aws:sns:us-east-1:000000000000:orders",
            subject="New order A-1",
            message="text",
            attributes={"event": "order.created", "n": "3"},
            received_at="2026-11-21T10:00:00.000Z",
        )
    ]


def test_a_mail_may_lack_subject_and_attributes() -> None:
    [mail] = parse([_message("2026-11-21T10:00:00.000Z")])
    assert (mail.subject, mail.attributes) == ("", {})


def test_the_oldest_is_first_and_equal_times_keep_the_queues_order() -> None:
    times = ["2026-11-21T10:00:00.002Z", "2026-11-21T10:00:00.001Z", "2026-11-21T10:00:00.001Z"]
    mails = parse(_message(time, Message=str(index)) for index, time in enumerate(times))
    assert [mail.message for mail in mails] == ["1", "2", "0"]


def test_what_was_put_back_twice_is_one_mail() -> None:
    message = _message("2026-11-21T10:00:00.000Z")
    assert len(parse([message, message])) == 1
