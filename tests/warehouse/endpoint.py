"""What a client of Databricks knows: a workspace's address over HTTPS, and on it a warehouse's, which speaks Thrift."""

from __future__ import annotations

import base64
import datetime
import http.server
import ipaddress
import json
import ssl
import threading
import urllib.parse
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from databricks.sql.thrift_api.TCLIService import TCLIService
from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory
from thrift.transport.TTransport import TMemoryBuffer

HTTP_PATH = "/sql/1.0/warehouses/local"


class Endpoint(http.server.ThreadingHTTPServer):
    """A server on a free port of the loopback interface, known as `localhost`.

    Args:
        processor: answers Thrift's calls.
        token: what a client must show.
        client: id and secret of a service principal, who gets the token for them (OAuth, machine to machine).
        folder: where the certificate is written.
    """

    daemon_threads = True

    def __init__(self, processor: TCLIService.Processor, *, token: str, client: tuple[str, str], folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.processor = processor
        self.token = token
        self.client = client
        self.certificate, key = folder / "warehouse.pem", folder / "warehouse.key"
        make_certificate(self.certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def host(self) -> str:
        """Host and port, as `DATABRICKS_HOST` has them."""
        return f"localhost:{self.server_address[1]}"


class Answer(http.server.BaseHTTPRequestHandler):
    """One connection's requests."""

    server: Endpoint
    protocol_version = "HTTP/1.1"
    # Head and body are two small writes, and the client waits for both.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """What a client asks before it logs in: what host this is, and where tokens come from."""
        workspace = f"https://{self.server.host}"
        if self.path == "/.well-known/databricks-config":
            self.send_json({"host_type": "workspace", "oidc_endpoint": f"{workspace}/oidc"})
        elif self.path == "/oidc/.well-known/oauth-authorization-server":
            self.send_json(
                {
                    "authorization_endpoint": f"{workspace}/oidc/v1/authorize",
                    "token_endpoint": f"{workspace}/oidc/v1/token",
                }
            )
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """Thrift's calls, and a service principal's login."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/oidc/v1/token":
            self.log_in(body)
        elif self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self.send_body(b"", "text/plain", status=401)
        elif self.path == HTTP_PATH:
            call, reply = TMemoryBuffer(body), TMemoryBuffer()
            protocols = TBinaryProtocolFactory()
            self.server.processor.process(protocols.getProtocol(call), protocols.getProtocol(reply))
            self.send_body(reply.getvalue(), "application/x-thrift")
        else:
            self.send_error(404)

    def log_in(self, body: bytes) -> None:
        """OAuth's client credentials, by the header of basic authentication or in the form."""
        form = dict(urllib.parse.parse_qsl(body.decode()))
        client = (form.get("client_id", ""), form.get("client_secret", ""))
        kind, _, coded = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(coded).decode().partition(":")
            client = (urllib.parse.unquote(name), urllib.parse.unquote(secret))
        if client != self.server.client or form.get("grant_type") != "client_credentials":
            self.send_json({"error": "invalid_client", "error_description": "Client authentication failed"}, status=401)
        else:
            self.send_json({"access_token": self.server.token, "token_type": "Bearer", "expires_in": 3600})

    def send_json(self, value: object, status: int = 200) -> None:
        self.send_body(json.dumps(value).encode(), "application/json", status)

    def send_body(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a test's output is its own."""


def make_certificate(file: Path, key_file: Path) -> None:
    """Write a key, and a certificate that it signed itself, for `localhost` and a day, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
