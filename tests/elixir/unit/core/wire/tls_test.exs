defmodule Vllm.Core.Wire.TLSTest do
  use ExUnit.Case, async: true

  alias Vllm.{Certificates, Error}
  alias Vllm.Core.Wire.{Socket, TLS}

  @moduletag :tmp_dir

  setup %{tmp_dir: dir} do
    ca = Certificates.authority(dir)
    %{ca: ca, server: Certificates.issue(ca, "server", ["localhost", {127, 0, 0, 1}])}
  end

  defp tls(options) do
    {:ok, tls} = TLS.validate(options)
    tls
  end

  # A server of OTP's own that accepts one client after the other. Returns its port.
  defp serve(pair, options \\ []) do
    files =
      Enum.map(Certificates.own(pair), fn {key, path} -> {key, String.to_charlist(path)} end)

    listening = [ip: {127, 0, 0, 1}, active: false, mode: :binary, log_level: :none]
    {:ok, listener} = :ssl.listen(0, listening ++ files ++ options)
    {:ok, {_address, port}} = :ssl.sockname(listener)
    accepting = spawn_link(fn -> accept(listener) end)
    on_exit(fn -> Process.exit(accepting, :kill) end)
    port
  end

  defp accept(listener) do
    {:ok, socket} = :ssl.transport_accept(listener)

    with {:ok, socket} <- :ssl.handshake(socket),
         {:ok, bytes} <- :ssl.recv(socket, 0),
         do: :ssl.send(socket, bytes)

    accept(listener)
  end

  # A server without TLS: what it does with the first client that has said something.
  defp plain(answer) do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, ip: {127, 0, 0, 1}, active: false])
    {:ok, port} = :inet.port(listener)

    serving =
      spawn_link(fn ->
        {:ok, socket} = :gen_tcp.accept(listener)
        # A client that gives up may not have come to its hello on a busy machine.
        with {:ok, _hello} <- :gen_tcp.recv(socket, 0), do: answer.(socket)
        receive do: (:never -> :ok)
      end)

    on_exit(fn -> Process.exit(serving, :kill) end)
    port
  end

  defp connect(port, options, host \\ "127.0.0.1", timeout \\ 60_000),
    do: Socket.connect("tls://#{host}:#{port}", tls(options), timeout)

  for version <- [:"tlsv1.2", :"tlsv1.3"] do
    test "sends and receives over #{version}", %{ca: ca, server: server} do
      port = serve(server, versions: [unquote(version)], alpn_preferred_protocols: ["h2"])

      for host <- ["127.0.0.1", "localhost"] do
        assert {:ok, {:ssl, inner} = socket} = connect(port, [cacertfile: ca.path], host)

        assert {:ok, [protocol: unquote(version)]} =
                 :ssl.connection_information(inner, [:protocol])

        assert :ssl.negotiated_protocol(inner) == {:ok, "h2"}
        assert Socket.send(socket, ["there ", "and back"]) == :ok
        assert Socket.recv(socket, 60_000) == {:ok, "there and back"}
        assert Socket.close(socket) == :ok
      end
    end
  end

  test "an active socket counts down as one without TLS does", %{ca: ca, server: server} do
    {:ok, {:ssl, inner} = socket} = connect(serve(server), cacertfile: ca.path)
    assert Socket.activate(socket, 1) == :ok
    :ok = Socket.send(socket, "x")
    assert_receive {:ssl, ^inner, "x"}
    assert_receive {:ssl_passive, ^inner}
  end

  describe "a worker that is not trusted" do
    test "is named with what is wrong", %{ca: ca, server: server, tmp_dir: dir} do
      other = Certificates.authority(dir, "other")
      expired = Certificates.issue(ca, "expired", ["localhost"], Certificates.expired())
      trusted = [cacertfile: ca.path]

      for {pair, options, reason, words} <- [
            {server, [cacertfile: other.path], "unknown_ca", ":cacertfile names the CAs"},
            {server, [], "unknown_ca", ":cacertfile names the CAs"},
            {expired, [server_name: "localhost"] ++ trusted, "cert_expired", "has expired"},
            {server, [server_name: "elsewhere.test"] ++ trusted, "hostname_check_failed",
             ~s(is not for "elsewhere.test"; :server_name)},
            {server, [server_name: "127.0.0.2"] ++ trusted, "hostname_check_failed",
             ~s(is not for "127.0.0.2")}
          ] do
        port = serve(pair)
        assert {:error, %Error{kind: :unauthenticated} = error} = connect(port, options)
        assert error.details == %{"certificate" => reason}
        assert error.message =~ words
        assert error.message =~ "cannot connect to the worker at tls://127.0.0.1:#{port}: "
      end

      # What was reported of one certificate is not left for the next.
      refute_received {_verified, _reason}
    end

    test "is not looked for under its address if a name is given", %{ca: ca, tmp_dir: _dir} do
      port = serve(Certificates.issue(ca, "named", ["worker.test"]))
      options = [cacertfile: ca.path, server_name: "worker.test"]
      assert {:ok, _socket} = connect(port, options)
    end
  end

  describe "a handshake" do
    test "that is cut off is an error", %{ca: ca} do
      port = plain(&:gen_tcp.close/1)
      assert {:error, %Error{kind: :worker_down} = error} = connect(port, cacertfile: ca.path)
      assert error.message =~ "the other side closed the connection"
    end

    test "that hangs is given up", %{ca: ca} do
      port = plain(fn _socket -> :ok end)

      assert {:error, %Error{kind: :worker_down} = error} =
               connect(port, [cacertfile: ca.path], "127.0.0.1", 100)

      assert error.message =~ "the TLS handshake did not end in time"
    end

    test "with who speaks no TLS says so", %{ca: ca} do
      # As the worker answers at an address without TLS, and as others do.
      for {answer, words} <- [
            {<<0x15, 3, 3, 0, 2, 2, 10>>,
             "takes no TLS at this address: start it with --tls-cert"},
            {"HTTP/1.1 400 Bad Request\r\n\r\n", "check that the address is one that takes TLS"},
            {<<0, 0, 0, 4, 0, 0, 0, 0, 0>>, "check that the address is one that takes TLS"}
          ] do
        port = plain(&:gen_tcp.send(&1, answer))
        assert {:error, %Error{kind: :protocol} = error} = connect(port, cacertfile: ca.path)
        assert error.message =~ words
      end
    end
  end

  describe "the files" do
    test "are read for each connection, and named when they cannot be used", context do
      %{ca: ca, server: server, tmp_dir: dir} = context
      text = Path.join(dir, "text")
      File.write!(text, "no PEM")
      encrypted = Path.join(dir, "encrypted.key")
      File.write!(encrypted, encrypted_key())
      client = Certificates.issue(ca, "client", [])

      for {options, words} <- [
            {[cacertfile: "/nowhere"], ":cacertfile, /nowhere, cannot be read: no such file"},
            {[cacertfile: text], ":cacertfile, #{text}, holds no certificate in PEM"},
            {[certfile: text, keyfile: client.keyfile],
             ":certfile, #{text}, holds no certificate"},
            {[certfile: client.certfile, keyfile: text],
             ":keyfile, #{text}, holds no key in PEM"},
            {[certfile: client.certfile, keyfile: client.certfile], "holds no key in PEM"},
            {[certfile: client.certfile, keyfile: encrypted], "#{encrypted}, is encrypted"},
            {[certfile: client.certfile, keyfile: dir], "cannot be read: "}
          ] do
        options = Keyword.merge([cacertfile: ca.path], options)
        assert {:error, %Error{kind: :invalid} = error} = connect(1, options)
        assert error.message =~ words
        assert error.details == %{"option" => "tls"}
      end

      # The server's certificate takes the place of the first.
      options = [cacertfile: Path.join(dir, "trusted.pem")]
      File.cp!(Certificates.authority(dir, "other").path, options[:cacertfile])
      port = serve(server)
      assert {:error, %Error{kind: :unauthenticated}} = connect(port, options)
      File.cp!(ca.path, options[:cacertfile])
      assert {:ok, _socket} = connect(port, options)
    end

    test "of a certificate and its key come together" do
      for options <- [[certfile: "/c"], [keyfile: "/k"]] do
        assert {:error, %Error{kind: :invalid} = error} = TLS.validate(options)
        assert error.message =~ "needs both :certfile and :keyfile, or neither"
      end

      assert {:error, %Error{kind: :invalid, message: message}} = TLS.validate(verify: :none)
      assert message =~ "unknown option :verify in the option :tls"
    end
  end

  test "every alert of a worker is an error with a kind and words of its own" do
    alerts = ~w(certificate_required unknown_ca certificate_expired certificate_revoked
      certificate_unknown bad_certificate unsupported_certificate access_denied decrypt_error
      handshake_failure)a

    for alert <- alerts do
      text = 'TLS client: In state connection received SERVER ALERT: Fatal - X'
      error = TLS.error({:tls_alert, {alert, text}})
      assert %Error{kind: :unauthenticated, details: %{"alert" => name}} = error
      assert name == to_string(alert)
      assert error.message =~ ~r/certificate|CA/
    end

    for alert <- [:protocol_version, :internal_error, :unexpected_message] do
      text = 'TLS client: In state hello received SERVER ALERT: Fatal - X'
      assert %Error{kind: :protocol} = TLS.error({:tls_alert, {alert, text}})
    end

    assert TLS.error(:econnrefused) == nil
  end

  defp encrypted_key do
    key = :public_key.generate_key({:namedCurve, :secp256r1})

    entry =
      :public_key.pem_entry_encode(:ECPrivateKey, key, {{'AES-128-CBC', <<1::128>>}, 'secret'})

    :public_key.pem_encode([entry])
  end
end
