"""Rules of the kernel's packet filter (nf_tables), spoken over netlink: what is needed of it is
less than a program such as `nft` in the image would be.

The table belongs to this socket (NFT_TABLE_F_OWNER, Linux 5.12): the kernel removes it when the
socket closes, also when SIGKILL closes it.

Source: linux/netlink.h (attributes), linux/netfilter/nfnetlink.h (batches),
linux/netfilter/nf_tables.h; names below are theirs.
"""

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Final

TABLE: Final = "devnet"
TIMEOUT_S: Final = 5.0
"""For an answer of the kernel, which comes in microseconds."""
RECEIVED_BYTES: Final = 1 << 16

_NETFILTER: Final = 12
_REQUEST, _ACK, _DUMP, _CREATE, _APPEND = 0x1, 0x4, 0x300, 0x400, 0x800
_ERROR, _DONE = 2, 3
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NFTABLES: Final = 10
_NEWTABLE, _NEWCHAIN, _NEWRULE, _GETRULE = 0, 3, 6, 7
_NESTED: Final = 0x8000
_TYPE_MASK: Final = 0x3FFF
_INET: Final = 1
_OWNER: Final = 2
_HOOKS: Final = {"in": 1, "out": 3}
"""NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT: what ends and what begins in this network."""
_TCP: Final = socket.IPPROTO_TCP
_PORTS_AT: Final = {"source": 0, "destination": 2}
"""In a TCP header."""


class Refused(Exception):
    """The kernel's word for why not."""


class PacketFilter:
    """Of the network that this process is in. Raises (all): Refused."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
            self._socket.bind((0, 0))
        except OSError as error:
            raise Refused(f"no netfilter socket: {error.strerror}") from error
        self._socket.settimeout(TIMEOUT_S)
        self._sequence = 0

    def close(self) -> None:
        """All that was dropped passes."""
        self._socket.close()

    def drop(self, ports: Mapping[str, int]) -> None:
        """TCP packets from or to these ports, on their way in and out; whole or not at all.

        ports: label -> port; the labels are those of `dropped`.
        """
        flags = _number(2, _OWNER)
        wanted = [(_NEWTABLE, _CREATE, _text(1, TABLE) + flags)]
        for chain, hook in _HOOKS.items():
            hooked = _nested(4, _number(1, hook), _number(2, 0))
            words = _text(1, TABLE) + _text(3, chain) + hooked + _text(7, "filter")
            wanted.append((_NEWCHAIN, _CREATE, words))
        wanted += [
            (_NEWRULE, _CREATE | _APPEND, _rule(chain, offset, port, label))
            for label, port in ports.items()
            for chain in _HOOKS
            for offset in _PORTS_AT.values()
        ]
        self._carry_out(wanted)

    def dropped(self) -> dict[str, int]:
        """Label -> packets that its rules, which are there now, have dropped."""
        counts: dict[str, int] = {}
        self._send(
            _message(_of_nftables(_GETRULE), _REQUEST | _DUMP, self._next(), _INET, _table())
        )
        for kind, body in self._answers():
            if kind == _of_nftables(_NEWRULE):
                label, packets = _read_rule(body)
                counts[label] = counts.get(label, 0) + packets
        return counts

    # ---------------------------------------------------------------------------- messages

    def _carry_out(self, wanted: list[tuple[int, int, bytes]]) -> None:
        """In one transaction."""
        batch = _message(_BATCH_BEGIN, _REQUEST, self._next(), 0, b"", _NFTABLES)
        for kind, flags, body in wanted:
            number = self._next()
            batch += _message(_of_nftables(kind), _REQUEST | _ACK | flags, number, _INET, body)
        batch += _message(_BATCH_END, _REQUEST, self._next(), 0, b"", _NFTABLES)
        self._send(batch)
        acknowledged = 0
        while acknowledged < len(wanted):
            for kind, body in _messages(self._receive()):
                _raise_error(kind, body)
                acknowledged += kind == _ERROR

    def _answers(self) -> Iterator[tuple[int, bytes]]:
        while True:
            for kind, body in _messages(self._receive()):
                if kind == _DONE:
                    return
                _raise_error(kind, body)
                yield kind, body

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            raise Refused(str(error.strerror)) from error

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(RECEIVED_BYTES)
        except TimeoutError as error:
            raise Refused(f"the kernel did not answer within {TIMEOUT_S:.0f} s") from error
        except OSError as error:
            raise Refused(str(error.strerror)) from error


def _raise_error(kind: int, body: bytes) -> None:
    """An acknowledgement is an error of number 0."""
    if kind != _ERROR:
        return
    (number,) = struct.unpack_from("=i", body)
    if number:
        raise Refused(os.strerror(-number))


def _of_nftables(kind: int) -> int:
    return _NFTABLES << 8 | kind


def _message(kind: int, flags: int, number: int, family: int, body: bytes, of: int = 0) -> bytes:
    """nlmsghdr and nfgenmsg before the attributes."""
    head = struct.pack("=BBH", family, 0, socket.htons(of))
    return struct.pack("=IHHII", 16 + len(head) + len(body), kind, flags, number, 0) + head + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind, and what follows the header; of the filter's own answers without nfgenmsg."""
    while data:
        length, kind = struct.unpack_from("=IH", data)
        own = kind >> 8 == _NFTABLES
        yield kind, data[20 if own else 16 : length]
        data = data[_padded(length) :]


def _rule(chain: str, offset: int, port: int, label: str) -> bytes:
    """TCP, that port at that place of its header: count it and drop it."""
    return (
        _text(1, TABLE)
        + _text(2, chain)
        + _nested(
            4,
            _expression("meta", _number(2, 16), _number(1, 1)),  # NFT_META_L4PROTO
            _equals(bytes([_TCP])),
            _expression("payload", *(_number(i, n) for i, n in enumerate((1, 2, offset, 2), 1))),
            _equals(port.to_bytes(2, "big")),
            _expression("counter"),
            _expression("immediate", _number(1, 0), _nested(2, _nested(2, _number(1, 0)))),
        )
        + _attribute(7, label.encode())
    )


def _read_rule(body: bytes) -> tuple[str, int]:
    """Label and packets."""
    found = dict(_attributes(body))
    for _, each in _attributes(found[4]):
        expression = dict(_attributes(each))
        if expression[1].rstrip(b"\0") == b"counter":
            packets = dict(_attributes(expression[2]))[2]
            return found[7].decode(), int.from_bytes(packets, "big")
    raise Refused(f"a rule without a counter in the table {TABLE}")


def _equals(value: bytes) -> bytes:
    """What the expression before it put into register 1."""
    return _expression("cmp", _number(1, 1), _number(2, 0), _nested(3, _attribute(1, value)))


def _expression(name: str, *attributes: bytes) -> bytes:
    return _nested(1, _text(1, name), _nested(2, *attributes))


def _table() -> bytes:
    return _text(1, TABLE)


def _nested(kind: int, *parts: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(parts))


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, number: int) -> bytes:
    return _attribute(kind, struct.pack(">I", number))


def _attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + bytes(_padded(length) - length)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & _TYPE_MASK, data[4:length]
        data = data[_padded(length) :]


def _padded(length: int) -> int:
    return (length + 3) & ~3
