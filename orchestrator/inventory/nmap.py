"""nmap's XML (`-oX`): hosts that are up and have a port open that a login could go to."""

from __future__ import annotations

import io
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from orchestrator.inventory.found import Found, InventoryError, Refusal

PORTS, SERVICES = frozenset({"22", "445"}), frozenset({"ssh", "microsoft-ds"})


def read(text: str) -> Iterator[Found | Refusal]:
    """Raises InventoryError. Lines are counted by hosts' opening tags: nmap begins a line with each."""
    lines = iter([number for number, line in enumerate(text.splitlines(), 1) if "<host " in line or "<host>" in line])
    root = ""
    try:
        for event, element in iterparse(io.BytesIO(text.encode()), events=("start", "end")):
            if not root:
                root = _nmaprun(element.tag)
            if event == "end" and element.tag == "host":
                yield from _host(next(lines, 0), element)
                element.clear()
    except ParseError as error:
        raise InventoryError(f"is no XML that ends as it should: {error}", error.position[0]) from None
    except DefusedXmlException as error:
        raise InventoryError(f"holds what no scan of nmap does ({type(error).__name__}); it is not read") from None
    except InventoryError:
        raise
    except (LookupError, ValueError):  # of the codec; the others here are ValueErrors too
        raise InventoryError("names an encoding that it is not in; save it as UTF-8", 1) from None


def _nmaprun(root: str) -> str:
    if root != "nmaprun":
        raise InventoryError(f"is XML of something else (<{root[:40]}>), not of nmap -oX", 1)
    return root


def _host(line: int, host: Element) -> Iterator[Found | Refusal]:
    status = host.find("status")
    if status is not None and status.get("state") != "up":
        return
    addresses = {a.get("addrtype", ""): a.get("addr", "") for a in host.findall("address")}
    address = addresses.get("ipv4") or addresses.get("ipv6") or ""
    if not address:
        yield Refusal(line, "is a host without an IP address")
        return
    if not any(_is_login(port) for port in host.iterfind("ports/port")):
        yield Refusal(line, f"{address} has neither SSH (22) nor SMB (445) open; it is left out", ignored=True)
        return
    names = {n.get("type", ""): n.get("name", "") for n in host.iterfind("hostnames/hostname")}
    name = names.get("user") or names.get("PTR") or ""
    yield Found(line, address, fqdn=name if "." in name.strip(".") else "")


def _is_login(port: Element) -> bool:
    state, service = port.find("state"), port.find("service")
    if state is None or state.get("state") != "open" or port.get("protocol") != "tcp":
        return False
    return port.get("portid") in PORTS or (service is not None and service.get("name") in SERVICES)
