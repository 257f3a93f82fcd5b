"""The pages of those who watch: GET on loopback, and nothing else."""

from __future__ import annotations

import aiohttp
import anyio
import pytest

from appliance import listener
from appliance.listener import Endpoint, ListenError, Page, listening


async def page() -> Page:
    return Page("here\n", 201, "text/x; charset=utf-8")


async def asked(url: str, method: str = "GET") -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as client, client.request(method, url) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def test_a_page_and_what_is_none() -> None:
    async with listening(Endpoint("127.0.0.1", 0), {"/page": page}) as at:
        assert at.port
        assert await asked(f"{at.url}/page") == (201, "text/x; charset=utf-8", "here\n")
        assert (await asked(f"{at.url}/page?x=1"))[0] == 201
        for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            assert (await asked(f"{at.url}/page", method))[0] == 405
        for path in ("/", "/page/", "/other", "/page/../x"):
            assert (await asked(at.url + path))[0] == 404


async def test_a_page_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "PAGE_S", 0.05)

    async def never() -> Page:
        await anyio.sleep_forever()
        raise AssertionError

    async with listening(Endpoint("127.0.0.1", 0), {"/page": never}) as at:
        assert (await asked(f"{at.url}/page"))[::2] == (503, "no answer in 0.05 s\n")


async def test_a_port_that_is_taken() -> None:
    async with listening(Endpoint("127.0.0.1", 0), {}) as at:
        with pytest.raises(ListenError, match=r"cannot listen on .*: .*; name another port"):
            async with listening(at, {}):
                pass


def test_where_it_may_listen() -> None:
    assert Endpoint.parse("127.0.0.1:80") == Endpoint("127.0.0.1", 80)
    assert Endpoint.parse("127.9.9.9:0") == Endpoint("127.9.9.9", 0)
    assert Endpoint.parse("[::1]:80").url == "http://[::1]:80"


@pytest.mark.parametrize(
    "text", ["", "80", ":80", "localhost:80", "0.0.0.0:80", "[::]:80", "127.0.0.1:", "127.0.0.1:x"]
)
def test_where_it_may_not(text: str) -> None:
    with pytest.raises(ListenError):
        Endpoint.parse(text)
