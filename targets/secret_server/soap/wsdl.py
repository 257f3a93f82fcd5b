"""The contract as WSDL 1.1 with its XML Schema: SOAP 1.1 and 1.2, document/literal wrapped. Pure, generated."""

from __future__ import annotations

from collections.abc import Iterable

from targets.secret_server.soap import markup
from targets.secret_server.soap.contract import OPERATIONS
from targets.secret_server.soap.schema import NAMESPACE, Array, Member, Operation, Simple, Structure, Type

SERVICE = "SSWebService"
_TRANSPORT = "http://schemas.xmlsoap.org/soap/http"
_NAMESPACES = {
    "wsdl": "http://schemas.xmlsoap.org/wsdl/",
    "soap": "http://schemas.xmlsoap.org/wsdl/soap/",
    "soap12": "http://schemas.xmlsoap.org/wsdl/soap12/",
    "s": "http://www.w3.org/2001/XMLSchema",
    "tns": NAMESPACE,
}


def document(location: str) -> bytes:
    """`location`: the URL that its ports name."""
    operations = OPERATIONS.values()
    names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in _NAMESPACES.items())
    parts = [
        f'{markup.DECLARATION}<wsdl:definitions {names} targetNamespace="{NAMESPACE}">',
        f'<wsdl:types><s:schema elementFormDefault="qualified" targetNamespace="{NAMESPACE}">',
        *(_wrappers(operation) for operation in operations),
        *(_complex(kind) for kind in _types(operations)),
        "</s:schema></wsdl:types>",
        *(_messages(operation) for operation in operations),
        f'<wsdl:portType name="{SERVICE}Soap">',
        *(_port_operation(operation) for operation in operations),
        "</wsdl:portType>",
        *(_binding(prefix, operations) for prefix in ("soap", "soap12")),
        f'<wsdl:service name="{SERVICE}">',
        *(_port(prefix, location) for prefix in ("soap", "soap12")),
        "</wsdl:service></wsdl:definitions>",
    ]
    return "".join(parts).encode()


def _wrappers(operation: Operation) -> str:
    name = operation.name
    result = f'<s:element minOccurs="0" maxOccurs="1" name="{name}Result" type="tns:{operation.result.name}" />'
    asked = "".join(_element(parameter, always=parameter.always) for parameter in operation.parameters)
    return _wrapper(name, asked) + _wrapper(f"{name}Response", result)


def _wrapper(name: str, inner: str) -> str:
    return f'<s:element name="{name}"><s:complexType><s:sequence>{inner}</s:sequence></s:complexType></s:element>'


def _types(operations: Iterable[Operation]) -> list[Structure | Array]:
    """Every structure and array, each once, in the order in which they are first needed."""
    found: dict[str, Structure | Array] = {}

    def need(kind: Type) -> None:
        if isinstance(kind, Simple) or kind.name in found:
            return
        found[kind.name] = kind
        for inner in (m.type for m in kind.members) if isinstance(kind, Structure) else (kind.item,):
            need(inner)

    for operation in operations:
        for parameter in operation.parameters:
            need(parameter.type)
        need(operation.result)
    return list(found.values())


def _complex(kind: Structure | Array) -> str:
    if isinstance(kind, Array):
        item = f'name="{kind.item_name}" type="{_type_name(kind.item)}"'
        nil = ' nillable="true"' if kind.item is Simple.STRING or isinstance(kind.item, Structure) else ""
        inner = f'<s:element minOccurs="0" maxOccurs="unbounded"{nil} {item} />'
    else:
        # An answer with errors has nothing but them.
        is_result = any(kind is operation.result for operation in OPERATIONS.values())
        inner = "".join(_element(member, always=member.always and not is_result) for member in kind.members)
    return f'<s:complexType name="{kind.name}"><s:sequence>{inner}</s:sequence></s:complexType>'


def _element(member: Member, *, always: bool) -> str:
    nil = ' nillable="true"' if member.nullable else ""
    what = f'name="{member.name}" type="{_type_name(member.type)}"'
    return f'<s:element minOccurs="{int(always)}" maxOccurs="1"{nil} {what} />'


def _type_name(kind: Type) -> str:
    return f"s:{kind}" if isinstance(kind, Simple) else f"tns:{kind.name}"


def _messages(operation: Operation) -> str:
    ways = {"In": operation.name, "Out": f"{operation.name}Response"}
    return "".join(
        f'<wsdl:message name="{operation.name}Soap{way}"><wsdl:part name="parameters" element="tns:{element}" />'
        "</wsdl:message>"
        for way, element in ways.items()
    )


def _port_operation(operation: Operation) -> str:
    name = operation.name
    return (
        f'<wsdl:operation name="{name}"><wsdl:input message="tns:{name}SoapIn" />'
        f'<wsdl:output message="tns:{name}SoapOut" /></wsdl:operation>'
    )


def _binding(prefix: str, operations: Iterable[Operation]) -> str:
    body = f'<{prefix}:body use="literal" />'
    each = "".join(
        f'<wsdl:operation name="{operation.name}">'
        f'<{prefix}:operation soapAction="{operation.action}" style="document" />'
        f"<wsdl:input>{body}</wsdl:input><wsdl:output>{body}</wsdl:output></wsdl:operation>"
        for operation in operations
    )
    bound = f'name="{_port_name(prefix)}" type="tns:{SERVICE}Soap"'
    return f'<wsdl:binding {bound}><{prefix}:binding transport="{_TRANSPORT}" />{each}</wsdl:binding>'


def _port(prefix: str, location: str) -> str:
    name = _port_name(prefix)
    address = f'<{prefix}:address location="{markup.attribute(location)}" />'
    return f'<wsdl:port name="{name}" binding="tns:{name}">{address}</wsdl:port>'


def _port_name(prefix: str) -> str:
    return SERVICE + prefix.capitalize()
