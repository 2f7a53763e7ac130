"""What a request may cost at most, what is let through, and what is booked."""

import json
from pathlib import Path

import pytest

from subagents.backends.door import Chunks, Door, TooExpensive
from subagents.purse import Entry, Purse, cost_with_what_was_under_way, purse_of
from subagents.spending import HOUR, LEAST_ANSWER, PICTURE_TOKENS, Request, UsageMeter, request_cost
from tests.subagents.conftest import World

SONNET = "claude-sonnet-5-5"  # 2 dollars for a million tokens of input, 10 of output, 2.5 written to the cache, 4 for an hour
FIGURES = {"input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 1_000_000}


def body(*, text: str = "", max_tokens: int = 32_000, model: str = SONNET, **more: object) -> bytes:
    return json.dumps({"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": text}], **more}).encode()


def test_what_is_written_to_the_cache_for_an_hour_costs_what_an_hour_costs() -> None:
    assert request_cost(SONNET, FIGURES) == pytest.approx(2.5)
    assert request_cost(SONNET, {**FIGURES, HOUR: 1_000_000}) == pytest.approx(4.0)
    assert request_cost(SONNET, {**FIGURES, HOUR: 400_000}) == pytest.approx(0.4 * 4 + 0.6 * 2.5)
    meter = UsageMeter()
    created = {"ephemeral_1h_input_tokens": 1_000_000, "ephemeral_5m_input_tokens": 0}
    meter.start_request("msg_1", SONNET, {"cache_creation_input_tokens": 1_000_000, "cache_creation": created})
    assert meter.cost_usd == pytest.approx(4.0) and meter.figures()["requests"][0][HOUR] == 1_000_000


@pytest.mark.parametrize(
    ("more", "cache", "usd"),
    [
        ({}, "", 2.0),
        ({"system": [{"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}]}, "5m", 2.5),
        ({"tools": [{"name": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}, "1h", 4.0),
    ],
)
def test_worst_case_is_the_whole_body_written_to_the_cache_and_the_longest_answer(more: dict[str, object], cache: str, usd: float) -> None:
    data = body(text="x" * 3_000_000, **more)
    asked = Request.of(data)
    assert asked.cache == cache and asked.input_tokens == pytest.approx(len(data) / 3, abs=1)
    assert asked.cost(0) == pytest.approx(usd, rel=0.01)
    assert asked.cost(32_000) - asked.cost(0) == pytest.approx(0.32)


def test_bytes_of_a_picture_are_not_taken_for_text() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 3_000_000}}
    data = body(messages=[{"role": "user", "content": [picture]}])
    assert PICTURE_TOKENS < Request.of(data).input_tokens < PICTURE_TOKENS + 200


def test_answer_is_as_long_as_what_is_left_pays_for_or_the_request_is_refused() -> None:
    asked = Request.of(body())
    assert asked.tokens_for(1.0) == 32_000
    assert asked.tokens_for(0.1) == pytest.approx(10_000, rel=0.02)
    assert asked.cost(asked.tokens_for(0.1)) <= 0.1
    assert asked.tokens_for(LEAST_ANSWER * 10 / 1e6) == 0, "too short an answer is worth nothing"
    thinks = Request.of(body(thinking={"type": "enabled", "budget_tokens": 20_000}))
    assert thinks.tokens_for(0.1) == 0, "an answer is longer than what is thought before it"
    assert Request.of(body(model="nobody-knows")).tokens_for(0.0) == 32_000


def door(path: Path, name: str, cap: float | None) -> Door:
    return Door(Purse(str(path / "purse.json"), name, cap), UsageMeter(), lambda: None)


def answer(passing: object, output: int) -> None:
    """An answer passes, in two events."""
    passing.begin([("Content-Type", "text/event-stream")])
    usage = {"input_tokens": 10, "output_tokens": 1}
    for event in (
        {"type": "message_start", "message": {"id": f"msg_{passing.name}", "model": SONNET, "usage": usage}},
        {"type": "message_delta", "usage": {"output_tokens": output}},
    ):
        passing.feed(f"data: {json.dumps(event)}\n\n".encode())
    passing.end()


def test_door_lets_through_what_fits_shortens_what_does_not_and_refuses_the_rest(tmp_path: Path) -> None:
    gate = door(tmp_path, "a", 0.35)
    sent, first = gate.admit(body())
    assert json.loads(sent)["max_tokens"] == 32_000
    sent, second = gate.admit(body())
    assert json.loads(sent)["max_tokens"] < 4_000 and gate.lowered, "the first may still need what it may cost"
    with pytest.raises(TooExpensive):
        gate.admit(body())
    answer(first, 1_000)
    answer(second, 1_000)
    assert gate.meter.cost_usd == pytest.approx(0.02004)
    sent, _ = gate.admit(body())
    assert json.loads(sent)["max_tokens"] == 32_000, "what was not needed is free again"


def test_attempts_of_a_batch_share_what_it_may_spend(tmp_path: Path) -> None:
    Purse(str(tmp_path / "purse.json")).keep(limit_usd=10.65, ended_usd=10.0, live=["a", "b"])
    one, other = door(tmp_path, "a", None), door(tmp_path, "b", None)
    _, first = one.admit(body())
    _, second = other.admit(body())
    with pytest.raises(TooExpensive):
        one.admit(body())
    answer(first, 1)
    other.admit(body())
    answer(second, 32_000)
    Purse(str(tmp_path / "purse.json")).keep(limit_usd=20, ended_usd=10.0, live=["b"])
    one.admit(body())


def test_what_was_under_way_when_an_attempt_was_killed_is_booked_at_its_estimate(world: World) -> None:
    spec = world.spec()
    gate = Door(Purse(purse_of(spec), spec.attempt_dir), UsageMeter(), lambda: None)
    _, first = gate.admit(body())
    answer(first, 1_000)
    assert cost_with_what_was_under_way(spec, 0.01002, 1_010) == (pytest.approx(0.01002), "")
    gate.admit(body(text="x" * 3_000_000))
    cost, words = cost_with_what_was_under_way(spec, 0.01002, 1_010)
    assert cost == pytest.approx(2.01, rel=0.01) and words.startswith("1 request was under way: $2.0")
    assert cost_with_what_was_under_way(spec, None, 1_010) == (None, ""), "a price that is not known stays so"
    assert cost_with_what_was_under_way(world.spec(), None, None) == (None, "")


def test_request_without_a_word_of_an_answer_counts_as_estimated_and_a_refused_one_costs_nothing(tmp_path: Path) -> None:
    gate = door(tmp_path, "a", None)
    _, refused = gate.admit(body())
    refused.sent = True
    refused.refuse()
    assert gate.meter.cost_usd is None
    _, cut = gate.admit(body(text="x" * 300_000))
    cut.sent = True
    gate.close()
    assert gate.meter.cost_usd == pytest.approx(0.2, rel=0.01) and gate.meter.figures()["requests"][0]["estimated"]
    assert gate.purse.booked() == Entry(pytest.approx(0.2, rel=0.01), 0.0, 0.0, 0)


def test_whole_answer_is_read_too(tmp_path: Path) -> None:
    gate = door(tmp_path, "a", None)
    _, passing = gate.admit(body())
    passing.begin([("Content-Type", "application/json")])
    data = json.dumps({"type": "message", "id": "m", "model": SONNET, "usage": {"input_tokens": 10, "output_tokens": 1_000}}).encode()
    passing.feed(data[:20])
    passing.feed(data[20:])
    passing.end()
    assert gate.meter.cost_usd == pytest.approx(0.01002)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_chunks_are_taken_apart_however_they_arrive(size: int) -> None:
    wire = b"5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n"
    chunks = Chunks(chunked=True)
    assert b"".join(chunks.feed(wire[at : at + size]) for at in range(0, len(wire), size)) == b"hello world"
