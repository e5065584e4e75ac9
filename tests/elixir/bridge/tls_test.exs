defmodule Vllm.Bridge.TLSTest do
  # A worker that takes TLS, wants client certificates and limits clients by roles.
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Vllm.BridgeCase
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, Certificates, Error, LLM, Stream}
  alias Vllm.Core.Connection

  @moduletag :bridge

  @token "the token of the worker"
  @batch "the token of batch jobs"

  setup_all do
    dir =
      Path.join(System.tmp_dir!(), "tls-#{System.unique_integer([:positive])}-#{System.pid()}")

    File.mkdir!(dir)
    on_exit(fn -> File.rm_rf!(dir) end)
    ca = Certificates.authority(dir)

    site = %{
      dir: dir,
      ca: ca,
      server: Certificates.issue(ca, "server", ["localhost", {127, 0, 0, 1}]),
      admin: Certificates.issue(ca, "admin", ["admin.test"]),
      web: Certificates.issue(ca, "web", ["web.test"])
    }

    File.write!(Path.join(dir, "roles.toml"), """
    [roles.web]
    certificates = ["web.test"]
    allow = "inference"

    [roles.batch]
    tokens_sha256 = ["#{Base.encode16(:crypto.hash(:sha256, @batch), case: :lower)}"]
    engines = ["llama"]
    """)

    # The worker ends with the process that has started it.
    test = self()

    spawn_link(fn ->
      send(test, {:started, start_worker(site, "tcp:127.0.0.1:0")})
      drop_output()
    end)

    worker = receive do: ({:started, worker} -> worker)
    %{site: Map.merge(site, worker)}
  end

  defp drop_output do
    receive do: (_line -> drop_output())
  end

  defp start_worker(site, listen) do
    {:ok, python} = Vllm.Environment.python()

    port =
      Port.open({:spawn_executable, python}, [
        :binary,
        :stderr_to_stdout,
        line: 4096,
        env: [{'VLLM_BRIDGE_TOKEN', String.to_charlist(@token)}],
        args:
          ["-m", "python_worker", "--listen", listen, "--lifeline", "stdin"] ++
            ["--engine-class", engine_class()] ++ tls_arguments(site)
      ])

    {:os_pid, os_pid} = Port.info(port, :os_pid)
    Map.merge(await_ready(port), %{os_pid: os_pid, port: port})
  end

  defp tls_arguments(site) do
    ["--tls-cert", site.server.certfile, "--tls-key", site.server.keyfile] ++
      ["--tls-client-ca", site.ca.path, "--roles", Path.join(site.dir, "roles.toml")]
  end

  defp await_ready(port) do
    receive do
      {^port, {:data, {:eol, "VLLM_BRIDGE READY " <> _ = line}}} ->
        {:ok, ready} = Vllm.Core.Worker.Launch.ready(line)
        ready

      {^port, {:data, _other}} ->
        await_ready(port)
    end
  end

  defp tls(site, pair), do: [cacertfile: site.ca.path] ++ Certificates.own(pair)

  defp attach(name, site, pair, options \\ []) do
    defaults = [name: name, connect: site.address, token: @token, tls: tls(site, pair)]
    start_supervised!({Vllm, Keyword.merge(defaults, options)}, id: name)
    name
  end

  defp refused(site, options) do
    Process.flag(:trap_exit, true)
    defaults = [name: :refused_by_tls, connect: site.address, token: @token, start_timeout: 0]
    assert {:error, %Error{} = error} = Vllm.start_link(Keyword.merge(defaults, options))
    error
  end

  test "the worker's address says that it takes TLS", %{site: site} do
    assert "tls://127.0.0.1:" <> _port = site.address
    assert "tls://127.0.0.1:" <> _port = site.grpc_address
  end

  test "calls, streams and large values go over TLS", %{test: name, site: site} do
    engine = name |> attach(site, site.admin) |> engine()
    assert {:ok, stream} = AsyncLLM.generate(engine, "a b c", [max_tokens: 5], request_id())
    assert {:ok, %{finished: true}} = Stream.collect(stream)

    large = %Vllm.Bytes{data: :binary.copy("0123456789abcdef", 1_500_000)}
    assert Vllm.call(engine, "echo", [large]) == {:ok, large.data}

    together = for n <- 1..200, do: Task.async(fn -> Vllm.call(engine, "echo", [n]) end)
    assert Task.await_many(together, :infinity) == for(n <- 1..200, do: {:ok, n})

    {:ok, endless} = AsyncLLM.generate(engine, "x", endless(), request_id())
    assert endless |> Enum.take(3) |> length() == 3
    wait_until(fn -> AsyncLLM.get_num_unfinished_requests(engine) == {:ok, 0} end)
    assert {:ok, _nothing} = AsyncLLM.shutdown(engine)
  end

  describe "who is not let in hears why, with the kind :unauthenticated:" do
    test "a certificate", %{site: site} do
      other = Certificates.authority(site.dir, "other")
      foreign = Certificates.issue(other, "foreign", ["admin.test"])
      expired = Certificates.issue(site.ca, "expired", ["admin.test"], Certificates.expired())

      for {pair, alerts, words} <- [
            {foreign, ["unknown_ca"], "does not know the CA of the client's certificate"},
            {expired, ["certificate_expired"], "the client's certificate has expired"}
          ] do
        error = refused(site, tls: tls(site, pair))
        assert error.kind == :unauthenticated
        assert error.details["alert"] in alerts
        assert error.message =~ words
      end

      error = refused(site, tls: [cacertfile: site.ca.path])

      assert {error.kind, error.details} ==
               {:unauthenticated, %{"alert" => "certificate_required"}}

      assert error.message =~ "it wants a client certificate; give :certfile and :keyfile"

      mixed = [certfile: site.admin.certfile, keyfile: site.web.keyfile]
      error = refused(site, tls: [cacertfile: site.ca.path] ++ mixed)
      assert error.message =~ "the key in :keyfile is not that of the certificate in :certfile"
    end

    test "a token", %{site: site} do
      error = refused(site, token: "a wrong one", tls: tls(site, site.admin))
      assert error.kind == :unauthenticated
      assert error.message == "the token is not one that the worker knows"
      error = refused(site, token: nil, tls: tls(site, site.admin))
      assert error.kind == :unauthenticated
      assert error.message =~ "no role names its certificate (names: "
    end

    test "the worker's own certificate", %{site: site} do
      other = Certificates.authority(site.dir, "untrusted")
      error = refused(site, tls: Keyword.put(tls(site, site.admin), :cacertfile, other.path))
      assert {error.kind, error.details} == {:unauthenticated, %{"certificate" => "unknown_ca"}}
      error = refused(site, tls: Keyword.put(tls(site, site.admin), :server_name, "worker.test"))
      assert error.details == %{"certificate" => "hostname_check_failed"}
    end
  end

  test "without TLS the address says that it takes no other", %{site: site} do
    "tls://" <> rest = site.address
    error = refused(site, connect: "tcp:" <> rest)
    assert error.kind == :protocol

    assert error.message =~
             "this address takes TLS only: connect to it with TLS (`tls://HOST:PORT`"

    # Nothing is sent in the clear by who has given certificates.
    error = refused(site, connect: "tcp:" <> rest, tls: tls(site, site.admin))
    assert {error.kind, error.details} == {:invalid, %{"option" => "tls"}}
  end

  test "the address of gRPC is refused with that of the sessions", %{site: site} do
    error = refused(site, connect: site.grpc_address, tls: tls(site, site.admin))
    assert error.kind == :protocol
    assert error.details == %{"session_address" => site.address}
  end

  test "a certificate for inference generates, and is forbidden the rest", context do
    %{test: name, site: site} = context
    engine = :tls_admin |> attach(site, site.admin) |> engine()
    attach(name, site, site.web, token: nil)
    # The way in which a client finds an engine that it may not build.
    assert {:ok, found} = Vllm.metrics(name)
    assert %{ref: limited} = Enum.find(found, &(&1.ref.id == engine.id))
    assert AsyncLLM.is_running(limited) == {:ok, true}
    assert {:ok, stream} = AsyncLLM.generate(limited, "a", [max_tokens: 2], request_id())
    assert {:ok, %{finished: true}} = Stream.collect(stream)
    assert {:ok, %{"engines" => [_ | _]}} = Vllm.status(name)

    for call <- [
          fn -> AsyncLLM.shutdown(limited) end,
          fn -> AsyncLLM.sleep(limited) end,
          fn -> AsyncLLM.get_tokenizer(limited) end,
          fn -> AsyncLLM.from_engine_args(name, model: "fake") end
        ] do
      assert {:error, %Error{kind: :forbidden} = error} = call.()
      assert error.details == %{"role" => "web"}
      assert error.message =~ "the role 'web' allows nothing else"
    end

    assert AsyncLLM.shutdown(engine) == {:ok, nil}
  end

  test "a token for one engine sees and uses no other", %{test: name, site: site} do
    attach(:tls_owner, site, site.admin)
    {:ok, mine} = LLM.new(:tls_owner, "llama")
    {:ok, other} = LLM.new(:tls_owner, "qwen")
    attach(name, site, site.admin, token: @batch)
    mine_id = mine.id
    assert {:ok, %{"engines" => [%{"ref" => ^mine_id}]}} = Vllm.status(name)
    assert {:ok, _} = LLM.get_num_unfinished_requests(%{mine | instance: {name, node()}})

    assert {:error, %Error{kind: :forbidden}} =
             LLM.get_num_unfinished_requests(%{other | instance: {name, node()}})

    for llm <- [mine, other], do: LLM.shutdown(llm)
  end

  test "a lost worker is found again with changed certificates, and calls say who is not let in",
       %{test: name, site: shared} do
    dir = Path.join(shared.dir, "lost")
    File.mkdir!(dir)
    site = %{shared | dir: dir, ca: Certificates.authority(dir)}
    File.cp!(Path.join(shared.dir, "roles.toml"), Path.join(dir, "roles.toml"))
    issue = fn file, options -> Certificates.issue(site.ca, file, ["localhost"], options) end
    site = %{site | server: issue.("server", []), admin: issue.("client", [])}
    worker = start_worker(site, "tcp:127.0.0.1:0")
    "tls://127.0.0.1:" <> port = worker.address
    site = Map.put(site, :address, "tls://localhost:" <> port)
    attach(name, site, site.admin)
    issue.("client", Certificates.expired())

    log =
      capture_log(fn ->
        kill(worker.os_pid)
        start_again = fn -> start_worker(site, "tcp:127.0.0.1:" <> port) end
        wait_until(fn -> match?({:error, _}, Vllm.status(name)) end)
        start_again.()

        wait_until(fn ->
          match?({:error, %Error{kind: :unauthenticated}}, Connection.info({name, node()}))
        end)
      end)

    assert {:error, %Error{message: message}} = Vllm.status(name)
    assert message =~ "keeps trying: the worker refused: the client's certificate has expired"
    issue.("client", [])
    wait_until(fn -> match?({:ok, _}, Vllm.status(name)) end)

    # Neither the token nor the key is shown, in the log or by what shows a process.
    key = File.read!(site.admin.keyfile)
    process = Process.whereis(Module.concat(name, "Connection"))
    shown = log <> inspect(:sys.get_status(process), limit: :infinity, printable_limit: :infinity)
    for secret <- [@token, key, "PRIVATE KEY"], do: refute(shown =~ secret)
  end

  test "an instance's own worker takes TLS as well", %{test: name, site: site} do
    options = [listen: {:tcp, 0}, worker_args: tls_arguments(site), tls: tls(site, site.admin)]
    {:ok, _pid} = start(name, options)
    assert {:ok, %{"engines" => []}} = Vllm.status(name)
  end

  test "a worker without TLS says so to who asks for it", %{test: name} do
    {:ok, _pid} = start(name, listen: {:tcp, 0})
    {:ok, "tcp:" <> address, token} = Vllm.Core.Worker.address(Module.concat(name, "Worker"))
    error = refused(%{address: "tls://" <> address}, token: token)
    assert error.kind == :protocol
    assert error.message =~ "takes no TLS at this address: start it with --tls-cert"
  end
end
