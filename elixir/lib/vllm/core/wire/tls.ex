defmodule Vllm.Core.Wire.TLS do
  @moduledoc false
  # The client's side of TLS: options for OTP's :ssl, and errors that say what failed.
  #
  # The files are read here and not by :ssl, which keeps what it has read for two minutes. So each
  # connection uses the files as they are now, and what is wrong with one is known.

  alias Vllm.Core.Options
  alias Vllm.Error

  @table [
    {:cacertfile, :path, nil,
     "the CAs, in PEM, that the worker's certificate is checked with. By default those of the system."},
    {:certfile, :path, nil,
     "the client's certificate in PEM, with those between it and its CA, for a worker that has " <>
       "`--tls-client-ca`."},
    {:keyfile, :path, nil, "the key of `:certfile` in PEM, not encrypted."},
    {:server_name, :string, nil,
     "the name that the worker's certificate must have: a host or an IP address. By default the host " <>
       "of the address."}
  ]

  @type options :: %{
          cacertfile: Path.t() | nil,
          certfile: Path.t() | nil,
          keyfile: Path.t() | nil,
          server_name: String.t() | nil
        }

  # What OTP finds wrong with the worker's certificate.
  @bad_certificate %{
    cert_expired: "has expired, or is not valid yet",
    unknown_ca: "is not signed by a CA that is known here; :cacertfile names the CAs",
    selfsigned_peer: "is signed by itself; to trust it, name its file with :cacertfile",
    invalid_issuer: "is not signed by the CA that it names",
    invalid_signature: "has a signature that is not its CA's",
    invalid_key_usage: "is for another purpose",
    invalid_ext_key_usage: "is for another purpose",
    hostname_check_failed: :name
  }

  # Alerts of the worker. After the handshake of TLS 1.3 they arrive in place of its first data.
  @refused %{
    certificate_required:
      "it wants a client certificate; give :certfile and :keyfile in the option :tls",
    unknown_ca: "it does not know the CA of the client's certificate",
    certificate_expired: "the client's certificate has expired, or is not valid yet",
    certificate_revoked: "the client's certificate is revoked",
    certificate_unknown: "it does not accept the client's certificate",
    bad_certificate: "it does not accept the client's certificate",
    unsupported_certificate: "the client's certificate is for another purpose",
    decrypt_error: "the key in :keyfile is not that of the certificate in :certfile",
    access_denied: "it does not accept the client's certificate"
  }

  @doc "The options, as documentation."
  @spec options_docs() :: String.t()
  def options_docs, do: Options.docs(@table)

  @doc "Checks the option `:tls` of an instance. The files are read for each connection."
  @spec validate(keyword()) :: {:ok, options()} | {:error, Error.t()}
  def validate(options) do
    with {:ok, tls} <- Options.validate(@table, options, "the option :tls") do
      if is_nil(tls.certfile) == is_nil(tls.keyfile),
        do: {:ok, tls},
        else: {:error, invalid("the option :tls needs both :certfile and :keyfile, or neither")}
    end
  end

  @doc "Connects, and verifies the worker's certificate."
  @spec connect(String.t(), :inet.port_number(), [term()], options(), timeout()) ::
          {:ok, :ssl.sslsocket()} | {:error, Error.t() | term()}
  def connect(host, port, socket_options, tls, timeout) do
    name = tls.server_name || host
    verified = make_ref()

    with {:ok, options} <- ssl_options(tls, name, verified) do
      host = String.to_charlist(host)

      # Under TLS 1.3 a worker may refuse the client's certificate when the handshake is over here. Its
      # alert is sent to the owner of an active socket, and lost for another.
      options = Enum.reject(socket_options, &match?({:active, _}, &1)) ++ options

      case :ssl.connect(host, port, [{:active, :once} | options], timeout) do
        {:ok, socket} -> {:ok, socket}
        {:error, reason} -> {:error, bad_certificate(verified, name) || connecting(reason)}
      end
    end
  end

  @doc "The error for a reason of :ssl; `nil` for one that :inet has too."
  @spec error(term()) :: Error.t() | nil
  def error({:tls_alert, {alert, text}}) do
    if to_string(text) =~ "SERVER ALERT", do: refused(alert), else: failed(alert)
  end

  def error({:options, _reason}),
    do: invalid("the files of the option :tls do not fit together, or are of a kind unknown here")

  def error(_reason), do: nil

  # Before there is a connection; later :timeout has the meaning that it has without TLS.
  defp connecting(:timeout) do
    message = "the TLS handshake did not end in time, or the other side is silent"
    Error.new(:worker_down, message)
  end

  defp connecting(reason), do: error(reason) || reason

  defp refused(alert) when is_map_key(@refused, alert) do
    details = %{"alert" => to_string(alert)}
    Error.new(:unauthenticated, "the worker refused: #{@refused[alert]}", details: details)
  end

  # What a worker of this library sends at an address without TLS.
  defp refused(:unexpected_message) do
    Error.new(
      :protocol,
      "the worker takes no TLS at this address: start it with --tls-cert and --tls-key, or connect " <>
        "to tcp:HOST:PORT"
    )
  end

  # Before TLS 1.3 there is no alert of its own for a client without a certificate.
  defp refused(:handshake_failure) do
    Error.new(
      :unauthenticated,
      "the worker refused the handshake: it wants a client certificate (:certfile and :keyfile in " <>
        "the option :tls), or accepts no version and cipher that the client has",
      details: %{"alert" => "handshake_failure"}
    )
  end

  defp refused(alert) do
    details = %{"alert" => to_string(alert)}
    Error.new(:protocol, "the worker ended TLS with the alert #{alert}", details: details)
  end

  defp failed(alert) do
    Error.new(
      :protocol,
      "TLS with the worker failed (#{alert}); check that the address is one that takes TLS",
      details: %{"alert" => to_string(alert)}
    )
  end

  ## Options of :ssl

  defp ssl_options(tls, name, verified) do
    with {:ok, cacerts} <- cacerts(tls.cacertfile),
         {:ok, own} <- own(tls.certfile, tls.keyfile) do
      {:ok,
       [
         versions: [:"tlsv1.3", :"tlsv1.2"],
         verify: :verify_peer,
         cacerts: cacerts,
         alpn_advertised_protocols: ["h2"],
         # The error says what went wrong.
         log_level: :none,
         reuse_sessions: false
       ] ++ server_name(name, verified) ++ own}
    end
  end

  # OTP compares an address with the names of hosts only, so it is compared here.
  defp server_name(name, verified) do
    case :inet.parse_address(String.to_charlist(name)) do
      {:ok, address} ->
        [
          server_name_indication: :disable,
          verify_fun: {&__MODULE__.verify/3, {self(), verified, address}}
        ]

      {:error, :einval} ->
        match = :public_key.pkix_verify_hostname_match_fun(:https)

        [
          server_name_indication: String.to_charlist(name),
          customize_hostname_check: [match_fun: match],
          verify_fun: {&__MODULE__.verify/3, {self(), verified, nil}}
        ]
    end
  end

  @doc false
  # Called by :ssl in its own process. Sends the caller what is wrong with the worker's certificate.
  def verify(_certificate, {:bad_cert, reason}, state), do: refuse(reason, state)
  def verify(_certificate, {:extension, _extension}, state), do: {:unknown, state}
  def verify(_certificate, :valid, state), do: {:valid, state}
  def verify(_certificate, :valid_peer, {_caller, _verified, nil} = state), do: {:valid, state}

  def verify(certificate, :valid_peer, {_caller, _verified, address} = state) do
    if :public_key.pkix_verify_hostname(certificate, ip: address),
      do: {:valid, state},
      else: refuse(:hostname_check_failed, state)
  end

  defp refuse(reason, {caller, verified, _address}) do
    send(caller, {verified, reason})
    {:fail, {:bad_cert, reason}}
  end

  defp bad_certificate(verified, name) do
    receive do
      {^verified, reason} -> untrusted(reason, name)
    after
      0 -> nil
    end
  end

  defp untrusted(reason, name) do
    reason = if is_tuple(reason), do: elem(reason, 0), else: reason

    what =
      case @bad_certificate do
        %{^reason => :name} -> "is not for #{inspect(name)}; :server_name names another"
        %{^reason => what} -> what
        %{} -> "is refused: #{reason}"
      end

    Error.new(:unauthenticated, "the worker's certificate #{what}",
      details: %{"certificate" => to_string(reason)}
    )
  end

  ## Files

  defp cacerts(nil) do
    {:ok, :public_key.cacerts_get()}
  rescue
    # No file of the system's CAs is where OTP looks.
    ErlangError ->
      {:error, invalid("the system has no CAs; name those of the worker with :cacertfile")}
  end

  defp cacerts(path) do
    with {:ok, entries} <- entries(:cacertfile, path) do
      case for {:Certificate, der, :not_encrypted} <- entries, do: der do
        [] -> {:error, invalid("the file of :cacertfile, #{path}, holds no certificate in PEM")}
        ders -> {:ok, ders}
      end
    end
  end

  defp own(nil, nil), do: {:ok, []}

  defp own(certfile, keyfile) do
    with {:ok, entries} <- entries(:certfile, certfile),
         {:ok, cert} <- chain(entries, certfile),
         {:ok, entries} <- entries(:keyfile, keyfile),
         {:ok, key} <- key(entries, keyfile),
         do: {:ok, [cert: cert, key: key]}
  end

  defp chain(entries, path) do
    case for {:Certificate, der, :not_encrypted} <- entries, do: der do
      [] -> {:error, invalid("the file of :certfile, #{path}, holds no certificate in PEM")}
      ders -> {:ok, ders}
    end
  end

  @keys [:PrivateKeyInfo, :RSAPrivateKey, :DSAPrivateKey, :ECPrivateKey]

  defp key(entries, path) do
    case Enum.find(entries, fn {type, _der, _cipher} -> type in @keys end) do
      {type, der, :not_encrypted} -> {:ok, {type, der}}
      {_type, _der, _cipher} -> {:error, invalid("the key in :keyfile, #{path}, is encrypted")}
      nil -> {:error, invalid("the file of :keyfile, #{path}, holds no key in PEM")}
    end
  end

  defp entries(option, path) do
    case File.read(path) do
      {:ok, pem} ->
        {:ok, :public_key.pem_decode(pem)}

      {:error, reason} ->
        reason = :file.format_error(reason)
        {:error, invalid("the file of #{inspect(option)}, #{path}, cannot be read: #{reason}")}
    end
  rescue
    # Of a part that is no base64.
    _exception -> {:error, invalid("the file of #{inspect(option)}, #{path}, is no PEM")}
  end

  defp invalid(message), do: Error.new(:invalid, message, details: %{"option" => "tls"})
end
