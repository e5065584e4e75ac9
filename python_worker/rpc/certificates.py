"""The worker's certificate, its key and the CAs of its clients, for both listeners.

The files are looked at whenever a client connects, and read again when they have changed. Files
that do not fit together, as in the middle of a change, are left alone: the earlier ones stay.
Sessions that are open go on as they are.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

import grpc

from python_worker.rpc.watched_files import WatchedFiles
from python_worker.settings import SettingsError, TlsFiles

logger = logging.getLogger(__name__)

# What clients and gRPC's own listener agree on.
APPLICATION_PROTOCOL = "h2"

# A session that is resumed skips the check of the client's certificate, and another context may
# want another one. A handshake that begins anew costs the server as much as the first.
OPTIONS = ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION

PASSWORD_REASON = "the key is encrypted, and nobody could be asked for its password"


class Certificates:
    """What the listeners present and ask for.

    Args:
        files: Where it is read.

    Raises:
        SettingsError: It cannot be read, or does not fit together.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        # gRPC asks in threads of its own.
        self._lock = threading.Lock()
        paths = [files.cert, files.key, *([files.client_ca] if files.client_ca else [])]
        self._watched = WatchedFiles(paths)
        self._context, self._for_grpc = read(files)
        # How often the files were read again.
        self._reads = 0
        self._given_to_grpc = 0

    def context(self) -> ssl.SSLContext:
        """The context for a connection that begins now."""
        with self._lock:
            self._refresh()
            return self._context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """The same for gRPC's server, which asks at each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._for_grpc,
            # None for no change, of which the stubs do not know.
            cast("Callable[[], grpc.ServerCertificateConfiguration]", self._changed_for_grpc),
            bool(self._files.client_ca),
        )

    def _changed_for_grpc(self) -> grpc.ServerCertificateConfiguration | None:
        with self._lock:
            self._refresh()
            if self._given_to_grpc == self._reads:
                return None
            self._given_to_grpc = self._reads
            return self._for_grpc

    def _refresh(self) -> None:
        if not self._watched.changed():
            return
        try:
            self._context, self._for_grpc = read(self._files)
        except SettingsError as error:
            logger.warning("the files of TLS have changed and are not used: %s", error)
            return
        self._reads += 1
        logger.info("the files of TLS have changed and were read again")


def read(files: TlsFiles) -> tuple[ssl.SSLContext, grpc.ServerCertificateConfiguration]:
    """Read the files, for the sessions' listener and for gRPC's.

    Raises:
        SettingsError: They cannot be read, or do not fit together.
    """
    cert, key = content("--tls-cert", files.cert), content("--tls-key", files.key)
    client_ca = content("--tls-client-ca", files.client_ca) if files.client_ca else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= OPTIONS
    context.num_tickets = 0
    context.set_alpn_protocols([APPLICATION_PROTOCOL])
    try:
        context.load_cert_chain(files.cert, files.key, password=_refuse_password)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise SettingsError(
            f"--tls-cert {files.cert} and --tls-key {files.key} cannot be used: {_reason(error)}"
        ) from None
    if files.client_ca:
        try:
            context.load_verify_locations(files.client_ca)
        except (ssl.SSLError, OSError) as error:
            raise SettingsError(
                f"--tls-client-ca {files.client_ca} cannot be used: {_reason(error)}"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context, grpc.ssl_server_certificate_configuration([(key, cert)], client_ca)


def content(option: str, path: str) -> bytes:
    """The bytes of a file.

    Raises:
        SettingsError: It cannot be read; the option that names it is named.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{option} {path} cannot be read: {_reason(error)}") from None


def _refuse_password() -> NoReturn:
    raise ValueError(PASSWORD_REASON)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "it is no PEM").replace("_", " ").lower()
        return "they do not belong together" if reason == "key values mismatch" else reason
    if isinstance(error, OSError):
        return error.strerror or "it cannot be opened"
    return str(error)


def names_of(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The names in a client's certificate, as ``ssl`` shows one: subject and alternative names."""
    if not certificate:
        return frozenset()
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    common = {value for name, value in subject if name == "commonName"}
    return frozenset(common | {value for _kind, value in certificate.get("subjectAltName", ())})


def names_in(auth_context: Mapping[str, Any]) -> frozenset[str]:
    """The same of a client of gRPC, from the ``auth_context`` of its call."""
    fields = ("x509_common_name", "x509_subject_alternative_name")
    values = [value for field in fields for value in auth_context.get(field, ())]
    return frozenset(value.decode(errors="replace") for value in values)
