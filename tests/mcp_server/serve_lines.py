"""A server of our own connections in this process, and lines to it; bounds can be made small."""

import asyncio
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from serve_needs import need

accepting = need("quorate.mcp.accepting")
connections = need("quorate.mcp.connections")
uvicorn = need("uvicorn")


@contextmanager
def listening(app, certificate=None, before=lambda loop: None, little=False):
    """Serve ``app``; gives the address. ``before`` is called with the loop, before it listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    if little:
        # So little that the kernel takes that the rest is seen to lie unread.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    config = uvicorn.Config(
        app,
        http=connections.Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=600,
        ssl_certfile=certificate,
    )
    server = accepting.Accepting(config)

    async def serve():
        before(asyncio.get_running_loop())
        await server.serve(sockets=[listener])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(60)
        assert not thread.is_alive()


def connected(address, text="", little=False):
    line = socket.socket()
    if little:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.settimeout(30)
    line.connect(address)
    line.sendall(text.encode())
    return line


def asking(path="/", method="GET", **headers):
    told = "".join(f"{name.title()}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{told}\r\n"


def status(line):
    """The status of the answer that comes; ``None`` where the line ends instead."""
    try:
        found = line.recv(12)
        while 0 < len(found) < 12:
            found += line.recv(12 - len(found))
    except ConnectionResetError:
        return None
    return int(found[9:]) if found else None


def asked(address, path="/", method="GET", **headers):
    """The status that one request gets, on a line of its own."""
    with connected(address, asking(path, method, **headers)) as line:
        return status(line)


def until(happens):
    """Wait until something is so; what takes half a minute never is."""
    end = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.01)


def certificate(folder):
    """A certificate of localhost with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / "tls.pem"
    path.write_bytes(signed.public_bytes(pem) + key.private_bytes(pem, form, plain))
    return str(path)


def trusted(line, path):
    """Agree on TLS over a line."""
    context = ssl.create_default_context(cafile=path)
    return context.wrap_socket(line, server_hostname="localhost")
