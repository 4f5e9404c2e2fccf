"""A Kafka broker that asks who one is, over TLS: by password, by SCRAM, or by a token of an issuer on loopback.

Nothing of it is made up: the broker is Kafka's own, with its own verifiers; tokens are signed and expire.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from pipeline import wait_for

from local.home import free_port, is_open
from local.services import java, write_properties

USER = "landing"
# What JAAS, Java's properties and SQL would each take for something else.
PASSWORD = "a \"b\\c\\n' $d;=,{é東}\r\n\\"
ALLOWED_URLS = "org.apache.kafka.sasl.oauthbearer.allowed.urls"


@dataclass(frozen=True)
class SecureKafka:
    """The broker, as its clients reach it.

    Attributes:
        servers: where it asks for a login.
        open_servers: where it doesn't, for a test to put messages.
        certificate: the authority to trust, as PEM.
        token_url: where a client gets its token.
        client_secret: with which it does, as client `USER`.
    """

    servers: str
    open_servers: str
    certificate: str
    token_url: str
    client_secret: str


@contextlib.contextmanager
def secure_kafka(folder: Path) -> Iterator[SecureKafka]:
    """Start the broker with its issuer of tokens, and stop both afterwards."""
    folder.mkdir()
    key, certificate = self_signed()
    client_secret = secrets.token_urlsafe(12)
    with issuer(client_secret) as url:
        ports = {name: free_port() for name in ("OPEN", "LOGIN", "CONTROLLER")}
        address = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        properties = write_properties(
            folder / "server.properties",
            {
                name: escaped(value)
                for name, value in {
                    "process.roles": "broker,controller",
                    "node.id": "1",
                    "controller.quorum.voters": f"1@{address['CONTROLLER']}",
                    "controller.listener.names": "CONTROLLER",
                    "inter.broker.listener.name": "OPEN",
                    "listeners": ",".join(f"{name}://{place}" for name, place in address.items()),
                    "advertised.listeners": f"OPEN://{address['OPEN']},LOGIN://{address['LOGIN']}",
                    "listener.security.protocol.map": "OPEN:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL",
                    "log.dirs": str(folder / "data"),
                    "offsets.topic.replication.factor": "1",
                    "offsets.topic.num.partitions": "1",
                    "group.initial.rebalance.delay.ms": "0",
                    "ssl.keystore.type": "PEM",
                    "ssl.keystore.key": key,
                    "ssl.keystore.certificate.chain": certificate,
                    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
                    "listener.name.login.plain.sasl.jaas.config": (
                        "org.apache.kafka.common.security.plain.PlainLoginModule required "
                        f"user_{USER}={json.dumps(PASSWORD, ensure_ascii=False)};"
                    ),
                    **{
                        f"listener.name.login.scram-sha-{bits}.sasl.jaas.config": (
                            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                        )
                        for bits in (256, 512)
                    },
                    "listener.name.login.oauthbearer.sasl.jaas.config": (
                        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
                    ),
                    "listener.name.login.oauthbearer.sasl.server.callback.handler.class": (
                        "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
                    ),
                    "listener.name.login.sasl.oauthbearer.jwks.endpoint.url": f"{url}/keys",
                    "listener.name.login.sasl.oauthbearer.expected.audience": "kafka",
                }.items()
            },
        )
        scram = [word for bits in (256, 512) for word in ("--add-scram", scram_user(bits))]
        subprocess.run(
            [
                *java("kafka", "kafka.tools.StorageTool"),
                "format",
                "-t",
                uuid.uuid4().hex[:22],
                "-c",
                properties,
                *scram,
            ],
            check=True,
            capture_output=True,
        )
        *command, main = java("kafka", "kafka.Kafka", memory="256m")
        with (folder / "log").open("w") as log:
            broker = subprocess.Popen(
                [*command, f"-D{ALLOWED_URLS}={url}/keys", main, properties], stdout=log, stderr=log
            )
        try:
            wait_for(lambda: is_open(ports["LOGIN"]) or broker.poll() is not None, "the broker is up")
            assert broker.poll() is None, (folder / "log").read_text()
            yield SecureKafka(address["LOGIN"], address["OPEN"], certificate, f"{url}/token", client_secret)
        finally:
            broker.kill()  # nothing of it is kept
            broker.wait()


def escaped(value: str) -> str:
    """A value as Java reads it from a properties file."""
    text = value.replace("\\", "\\\\").replace("\n", "\\n")
    return "".join(char if char.isascii() else f"\\u{ord(char):04x}" for char in text)


def scram_user(bits: int) -> str:
    """The user as `kafka-storage format --add-scram` takes it, without the password itself."""
    salt = secrets.token_bytes(12)
    salted = hashlib.pbkdf2_hmac(f"sha{bits}", PASSWORD.encode(), salt, 4096)
    encoded = [base64.b64encode(part).decode() for part in (salt, salted)]
    return f'SCRAM-SHA-{bits}=[name={USER},iterations=4096,salt="{encoded[0]}",saltedpassword="{encoded[1]}"]'


def self_signed() -> tuple[str, str]:
    """A key and a certificate for 127.0.0.1, as PEM, which nobody trusts who isn't told to."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


@contextlib.contextmanager
def issuer(client_secret: str) -> Iterator[str]:
    """A server of tokens (RFC 6749, client credentials; RFC 7519) and of the key they are signed with: its URL."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = key.public_key().public_numbers()
    public = {
        "kty": "RSA",
        "kid": "1",
        "alg": "RS256",
        "use": "sig",
        "n": base64url(numbers.n.to_bytes(256, "big")),
        "e": base64url(numbers.e.to_bytes(3, "big")),
    }

    def token(scope: str) -> str:
        claims = {"sub": USER, "aud": "kafka", "scope": scope, "iat": int(time.time()), "exp": int(time.time()) + 600}
        head, body = (base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "1"}, claims))
        signature = key.sign(f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{head}.{body}.{base64url(signature)}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, {"keys": [public]})

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            login = "Basic " + base64.b64encode(f"{USER}:{client_secret}".encode()).decode()
            if self.headers["Authorization"] != login or form["grant_type"] != ["client_credentials"]:
                self.answer(401, {"error": "invalid_client"})
            else:
                answer = {"access_token": token(form["scope"][0]), "token_type": "bearer", "expires_in": 600}
                self.answer(200, answer)

        def answer(self, status: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
