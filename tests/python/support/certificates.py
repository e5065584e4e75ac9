"""Certificates for tests, made when they are asked for."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and of its key.

    Attributes:
        cert: In PEM.
        key: In PEM.
    """

    cert: Path
    key: Path


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def write_key(path: Path, key: ec.EllipticCurvePrivateKey, password: str = "") -> None:
    """Writes a key, encrypted if there is a password."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password.encode())
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )


@dataclass(frozen=True)
class ClientCertificates:
    """What a client trusts, and what it presents.

    Attributes:
        ca: The file of the CA of the server's certificate.
        pair: Its own certificate, if it has one.
    """

    ca: Path
    pair: Pair | None = None

    def context(self) -> ssl.SSLContext:
        """For a session at the sessions' listener."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.set_alpn_protocols(["h2"])
        if self.pair is not None:
            context.load_cert_chain(self.pair.cert, self.pair.key)
        return context

    def credentials(self) -> grpc.ChannelCredentials:
        """For gRPC."""
        own = (self.pair.key.read_bytes(), self.pair.cert.read_bytes()) if self.pair else ()
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), *own)


class Authority:
    """A CA with a certificate of its own.

    Args:
        folder: Where its files are written.
        name: Of the CA, and of its file.

    Attributes:
        cert: The file of its certificate.
    """

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.cert = folder / f"{name}.pem"
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 100 * DAY)
            .not_valid_after(now + 100 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            # Python 3.13 checks what RFC 5280 wants of authorities and of certificates.
            .add_extension(_signs_certificates(), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        file: str,
        *names: str,
        common_name: str = "",
        days: tuple[int, int] = (-1, 10),
        usages: Sequence[x509.ObjectIdentifier] = (SERVER, CLIENT),
        password: str = "",
    ) -> Pair:
        """Writes a certificate and its key.

        Args:
            file: The name of both files, without the suffix.
            names: Alternative names: hosts, addresses or URIs.
            common_name: Of the subject; the file's name if there is none.
            days: From when until when it is valid, counted from today.
            usages: What it is for.
            password: Encrypts the key.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name or file))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        pair = Pair(self._folder / f"{file}.pem", self._folder / f"{file}.key")
        certificate = builder.sign(self._key, hashes.SHA256())
        pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        write_key(pair.key, key, password)
        return pair


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
