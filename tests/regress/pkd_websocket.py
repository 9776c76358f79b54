"""A small WebSocket client (RFC 6455), for the tests of realtime sessions."""
import base64
import hashlib
import os
import socket
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Refused(Exception):
    def __init__(self, status, headers, body):
        super().__init__(f"{status} {body[:200]}")
        self.status, self.headers, self.body = status, headers, body


class Gone(Exception):
    """The other side has closed the connection without a close frame."""


class WebSocket:
    """Connects to 127.0.0.1:`port`; Refused when the answer is not 101."""

    def __init__(self, port, path, headers=None, timeout=20, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.pending = b""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket",
                 f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += [f"{n}: {v}" for n, v in (headers or {}).items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.read_head()
        if self.status != 101:
            body = self.take(int(self.headers.get("content-length", 0)))
            self.socket.close()
            raise Refused(self.status, self.headers, body)
        want = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode())
                                .digest()).decode()
        assert self.headers["sec-websocket-accept"] == want, self.headers

    def read_head(self):
        while b"\r\n\r\n" not in self.pending:
            self.more()
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        first, *rest = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {n.lower(): v.strip() for n, v in (line.split(":", 1) for line in rest)}

    def more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise Gone()
        self.pending += piece

    def take(self, size):
        while len(self.pending) < size:
            self.more()
        piece, self.pending = self.pending[:size], self.pending[size:]
        return piece

    def frame(self, opcode, payload, fin=True):
        """The bytes of a client's frame."""
        payload = payload.encode() if isinstance(payload, str) else payload
        size, mask = len(payload), os.urandom(4)
        head = bytes([(0x80 if fin else 0) | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += b"\xfe" + struct.pack(">H", size)
        else:
            head += b"\xff" + struct.pack(">Q", size)
        pad = (mask * (size // 4 + 1))[:size]
        masked = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
        return head + mask + masked.to_bytes(size, "big")

    def send(self, opcode, payload, fin=True):
        self.socket.sendall(self.frame(opcode, payload, fin))

    def receive(self):
        """The next frame: opcode, payload, whether it is the last of its message."""
        first, second = self.take(2)
        size = second & 127
        assert not second & 128, "a server does not mask"
        if size == 126:
            size = struct.unpack(">H", self.take(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.take(8))[0]
        return first & 15, self.take(size), bool(first & 128)

    def close(self, code=1000):
        """The closing handshake, to the end of the connection."""
        self.send(CLOSE, struct.pack(">H", code))
        try:
            while self.receive()[0] != CLOSE:
                pass
            assert self.socket.recv(1) == b""
        finally:
            self.socket.close()

    def drop(self):
        self.socket.close()
