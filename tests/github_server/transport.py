"""TLS for the test GitHub, and git's own protocol over it, so that a repository can be fetched from it as from
GitHub.
"""

import base64
import binascii
import os
import re
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.github_server.world import Account, Answer, World

GIT_PATH = re.compile(r"/(?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/(?P<rest>info/refs|git-upload-pack)")


def certificate(folder: Path) -> Path:
    """A certificate for localhost that signs itself; the file serves server and callers."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "localhost.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    usage = x509.KeyUsage(True, False, False, False, False, True, False, False, False)  # signing, also certificates
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


def context(file: Path) -> ssl.SSLContext:
    """The server's side of TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file)
    return made


def caller_of(world: World, headers: dict[str, str]) -> Account:
    """Who fetches: git sends a token as the password of a basic authorisation. Raises ``Answer`` (401)."""
    try:
        given = base64.b64decode(headers.get("authorization", "").removeprefix("Basic "), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        given = ""
    caller = world.tokens.get(given.partition(":")[2])
    if caller is None:
        raise Answer(401, "Requires authentication")
    return caller


def fetch(world: World, method: str, target: str, headers: dict[str, str], raw: bytes) -> tuple[int, str, bytes]:
    """One request of git's smart protocol, carried out by git's own server program. Reading only."""
    path, _, query = target.partition("?")
    found = GIT_PATH.fullmatch(path)
    if found is None or "git-receive-pack" in query:
        raise Answer(404, "Not Found")
    repo = world.seen_by(found["name"], caller_of(world, headers))
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(repo.mirror.path.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "PATH_INFO": f"/{repo.mirror.path.name}/{found['rest']}",
        "REQUEST_METHOD": method,
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(raw)),
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        "GIT_PROTOCOL": headers.get("git-protocol", ""),
    }
    done = subprocess.run(["git", "http-backend"], env=environment, input=raw, capture_output=True, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    return int(fields.get("Status", "200").split()[0]), fields["Content-Type"], body
