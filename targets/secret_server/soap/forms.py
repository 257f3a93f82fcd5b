"""The HTTP GET form of operations with simple parameters: a query in, the bare result out. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from targets.secret_server.soap import markup, values
from targets.secret_server.soap.contract import OPERATIONS
from targets.secret_server.soap.envelope import Call
from targets.secret_server.soap.schema import NAMESPACE, Operation
from targets.secret_server.soap.values import BadValueError, Values


def read(operation_name: str, query: Iterable[tuple[str, str]]) -> Call | str:
    """A call, or ASP.NET's words for what is wrong. Names of parameters are taken in any case; all must be there."""
    operation = OPERATIONS.get(operation_name)
    if operation is None or operation.form is None:
        return f"{operation_name} Web Service method name is not valid."
    given = {key.lower(): value for key, value in query}
    found: Values = {}
    for name, kind in operation.form:
        if name.lower() not in given:
            return f"Missing parameter: {name}."
        raw = given[name.lower()]
        try:
            found[name] = values.read_text(kind, raw)
        except BadValueError as error:
            return f"Cannot convert {raw} to {kind}. ---> {error}"
    return Call(operation, found)


def answer(operation: Operation, result: Values) -> bytes:
    """The result under its type's name."""
    name, names = operation.result.name, f'xmlns:xsi="{values.XSI}" xmlns="{NAMESPACE}"'
    inner = values.write(operation.result.members, result)
    return f"{markup.DECLARATION}<{name} {names}>{inner}</{name}>".encode()
