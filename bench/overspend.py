#!/usr/bin/env python
"""How far attempts go beyond their limit and their batch's budget: python bench/overspend.py [ATTEMPTS] [SEED].

Attempts of random budgets, models, prompt sizes and answer lengths ask a stand-in for the Messages API through the real API proxy,
four of a batch at once. A tenth of them is cut off in the middle of an answer. The stand-in charges what the provider would: the
tokens that the prompt really has, whatever the proxy took them for, written to its cache, some of it for an hour.
"""

import asyncio
import json
import random
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from subagents.backends.api_proxy import ApiProxy
from subagents.backends.door import Door
from subagents.purse import Purse
from subagents.spending import HOUR, UsageMeter, request_cost

AT_ONCE, PER_BATCH, PARTS = 4, 10, 10
MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5")


class Provider:
    """Answers requests, and knows what each attempt was charged."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.charged = chance, dict[str, float]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        raw = await reader.readexactly(int(headers["content-length"]))
        body = json.loads(raw)
        who, wanted = body["metadata"]["user_id"].split()
        tokens = round(len(raw) / self.chance.uniform(3.2, 4.5))
        output = min(int(wanted), body["max_tokens"])
        hour = tokens // 2 if self.chance.random() < 0.5 else 0
        usage = {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": tokens, "output_tokens": 1}
        usage["cache_creation"] = {"ephemeral_1h_input_tokens": hour, "ephemeral_5m_input_tokens": tokens - hour}
        figures = {"input_tokens": 0, "output_tokens": output, "cache_read_tokens": 0, "cache_write_tokens": tokens, HOUR: hour}
        message = {"id": f"msg_{self.chance.random()}", "model": body["model"], "usage": usage}
        part = "x" * (3 * output // PARTS)
        events = [{"type": "message_start", "message": message}, *[{"type": "content_block_delta", "delta": {"text": part}}] * PARTS]
        sent = 0
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for event in (*events, {"type": "message_delta", "usage": {"output_tokens": output}}):
                data = f"data: {json.dumps(event)}\n\n".encode()
                writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                await writer.drain()
                sent += 1
                await asyncio.sleep(self.chance.uniform(0, 0.004))
            writer.write(b"0\r\n\r\n")
        except ConnectionError:  # an answer that nobody reads any more is charged for as far as it came
            figures["output_tokens"] = output * min(sent, PARTS) // PARTS
        finally:
            cost = request_cost(body["model"], figures)
            assert cost is not None
            self.charged[who] = self.charged.get(who, 0.0) + cost
            writer.close()


async def attempt(name: str, purse: Purse, api: str, chance: random.Random) -> tuple[float, bool]:
    """Ask until the door lets nothing more through; (what was booked, whether it was cut off)."""
    over = asyncio.Event()
    meter = UsageMeter()
    proxy = ApiProxy(api, "key", lambda status, reset: None, Door(purse, meter, lambda: None), over.set)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    model, cut = chance.choice(MODELS), False
    while not over.is_set() and not cut:
        wanted = chance.randint(100, 30_000)
        system = [{"type": "text", "text": "word " * chance.randint(400, 60_000), "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
        body = {"model": model, "max_tokens": 32_000, "system": system, "messages": [], "metadata": {"user_id": f"{name} {wanted}"}}
        data = json.dumps(body).encode()
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(f"POST /v1/messages HTTP/1.1\r\nx-api-key: {proxy.password}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        cut = chance.random() < 0.02
        if cut:
            await reader.read(100)  # killed in the middle of an answer
            writer.close()
            await asyncio.sleep(0.1)
        else:
            await reader.read()
            writer.close()
    server.close()
    await proxy.close()
    return meter.known_usd, cut


async def main(attempts: int, seed: int) -> None:
    chance = random.Random(seed)
    provider = Provider(chance)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    api = "http://127.0.0.1:{1}".format(*server.sockets[0].getsockname())
    limits: dict[str, float] = {}
    budgets: dict[str, tuple[float, list[str]]] = {}
    booked: dict[str, float] = {}
    cuts: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(attempts // PER_BATCH):
            path, room = f"{folder}/{number}/purse.json", asyncio.Semaphore(AT_ONCE)
            names = [f"{number}-{each}" for each in range(PER_BATCH)]
            budget = chance.uniform(2, 12)
            budgets[str(number)] = (budget, names)
            Purse(path).keep(limit_usd=budget, ended_usd=0.0, live=names)

            async def one(name: str, path: str = path, room: asyncio.Semaphore = room) -> None:
                limits[name] = chance.uniform(0.3, 3)
                async with room:
                    booked[name], was_cut = await attempt(name, Purse(path, name, limits[name]), api, chance)
                    cuts.update({name} if was_cut else ())

            await asyncio.gather(*(one(name) for name in names))
    server.close()
    charged = provider.charged
    beyond = [max(0.0, charged.get(name, 0.0) / limit - 1) for name, limit in limits.items()]
    of_batches = [max(0.0, sum(charged.get(name, 0.0) for name in names) / budget - 1) for budget, names in budgets.values()]
    used = [charged.get(name, 0.0) / limit for name, limit in limits.items()]
    lost = [charged.get(name, 0.0) - booked[name] for name in limits if name not in cuts]
    lost_of_cut = [charged.get(name, 0.0) - booked[name] for name in cuts]
    print(f"{len(limits)} attempts of {len(budgets)} batches, {len(cuts)} cut off; ${sum(charged.values()):.2f} charged")
    print(f"beyond their own limit: {sum(one > 0 for one in beyond)}, by at most {max(beyond):.2%}")
    print(f"beyond their batch's budget: {sum(one > 0 for one in of_batches)}, by at most {max(of_batches):.2%}")
    print(f"of its limit an attempt used {statistics.median(used):.0%} (median)")
    print(f"charged and not booked: ${sum(lost):.4f}; of those that were cut off ${sum(lost_of_cut):.4f}")


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:3]]
    asyncio.run(main(*(arguments + [200, 7][len(arguments) :])))
