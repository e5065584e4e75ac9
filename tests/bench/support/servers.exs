# vLLM's own servers, each with its client: processes of their own (tests/bench/servers/).

Code.require_file("bench.exs", __DIR__)

defmodule Bench.Servers do
  alias Bench.Lines

  # The package that vLLM's gRPC server needs, and its protocol. They need nothing that the worker's
  # environment lacks, and are kept out of it: a folder of their own on PYTHONPATH.
  @packages ["smg-grpc-servicer==0.14.1", "smg-grpc-proto==0.4.28"]

  # The wheel that has the binary of the Rust front end: vLLM's own, of the same version.
  @rust_wheel "vllm==0.32.0"

  @doc """
  What a server is: its command line beside the engine's arguments, its client, where that reaches it,
  and its environment.

  All say no more than warnings, as the bridge does.
  """
  def kinds do
    %{
      http: %{
        server: ["vllm.entrypoints.openai.api_server", "--uvicorn-log-level", "warning"],
        listen: fn at -> ["--uds", at.socket] end,
        client: "tests.bench.servers.http_client",
        reach: & &1.socket,
        env: []
      },
      grpc: %{
        server: ["vllm.entrypoints.launchers.grpc_server"],
        # It listens on host:port, which is where a Unix socket may be as well.
        listen: fn at ->
          [path, port] = String.split(at.socket, ":")
          ["--host", "unix:" <> path, "--port", port]
        end,
        client: "tests.bench.servers.grpc_client",
        reach: & &1.socket,
        # Unless told, it adds a publisher of cache events to the engine, which no other has.
        env: [
          {"PYTHONPATH", packages()},
          {"SMG_VLLM_SERVICER_KV_EVENTS", "0"}
        ]
      },
      # vLLM's Rust front end serves both of these at once.
      rust_http: %{
        server: ["tests.bench.servers.vllm_cli", "serve"],
        listen: fn at -> ["--uds", at.socket, "--grpc-port", "#{at.port}"] end,
        client: "tests.bench.servers.http_client",
        reach: & &1.socket,
        env: rust()
      },
      rust_grpc: %{
        server: ["tests.bench.servers.vllm_cli", "serve"],
        listen: fn at -> ["--uds", at.socket, "--grpc-port", "#{at.port}"] end,
        client: "tests.bench.servers.rust_grpc_client",
        reach: &"127.0.0.1:#{&1.port}",
        env: rust()
      }
    }
  end

  defp rust,
    do: [{"VLLM_USE_RUST_FRONTEND", "1"}, {"VLLM_RUST_FRONTEND_PATH", rust_binary()}]

  @doc """
  Installs what a kind of server needs beside vLLM, unless it is there: `:ok`, or why it cannot be had.
  """
  def install(kind)
  def install(:http), do: :ok

  def install(:grpc) do
    install_once(packages(), fn new ->
      pip(["install", "--quiet", "--no-deps", "--target", new | @packages])
    end)
  end

  # The wheel has 330 MB, of which one file is kept.
  def install(rust) when rust in [:rust_http, :rust_grpc] do
    install_once(Path.dirname(rust_binary()), fn new ->
      with :ok <- pip(["download", "--quiet", "--no-deps", "--dest", new, @rust_wheel]) do
        [wheel] = Path.wildcard(Path.join(new, "*.whl"))
        binary = "vllm/vllm-rs"

        case :zip.extract(~c"#{wheel}", file_list: [~c"#{binary}"], cwd: ~c"#{new}") do
          {:ok, [_file]} -> keep_binary(new, binary, wheel)
          _without -> {:error, "#{Path.basename(wheel)} has no #{binary}"}
        end
      end
    end)
  end

  defp keep_binary(folder, binary, wheel) do
    kept = Path.join(folder, Path.basename(binary))
    File.rename!(Path.join(folder, binary), kept)
    File.chmod!(kept, 0o755)
    File.rmdir!(Path.join(folder, Path.dirname(binary)))
    File.rm!(wheel)
  end

  defp install_once(folder, install) do
    new = folder <> ".new"

    if File.dir?(folder) do
      :ok
    else
      File.rm_rf!(new)
      File.mkdir_p!(new)
      with :ok <- install.(new), do: File.rename!(new, folder)
    end
  end

  defp pip(arguments) do
    {:ok, python} = Vllm.Environment.python()

    case System.cmd(python, ["-m", "pip" | arguments], stderr_to_stdout: true) do
      {_said, 0} -> :ok
      {said, _status} -> {:error, said |> String.trim() |> String.split("\n") |> List.last()}
    end
  end

  defp packages do
    name = @packages |> Enum.map_join("-", &(&1 |> String.split("==") |> List.last()))
    Path.join([Vllm.Environment.cache_dir(), "bench", "smg-" <> name])
  end

  defp rust_binary do
    [_name, version] = String.split(@rust_wheel, "==")
    Path.join([Vllm.Environment.cache_dir(), "bench", "vllm-rs-" <> version, "vllm-rs"])
  end

  @doc "Starts a server of a kind with an engine of these arguments. `await/1` it."
  def start(kind, arguments, prompt, tokens, env \\ []) do
    it = Map.fetch!(kinds(), kind)
    folder = Path.join(System.tmp_dir!(), "vllm-bench-#{kind}-#{System.pid()}")
    File.mkdir_p!(folder)
    # The number is for gRPC, which wants a port at the end.
    at = %{socket: Path.join(folder, "socket:1"), port: free_port()}
    log = Path.join(folder, "log")
    command = ["-m" | it.server] ++ it.listen.(at) ++ flags(arguments)
    env = [{"VLLM_LOGGING_LEVEL", "WARNING"} | it.env] ++ env
    {:ok, python} = Vllm.Environment.python()
    server = Lines.open(python, ["-m", "tests.bench.servers.kept", log, python | command], env)
    client = client(kind, it.reach.(at), arguments, prompt, tokens)
    group = server |> Lines.read() |> String.to_integer()

    %{kind: kind, server: server, client: client, group: group, folder: folder, tokens: tokens}
    |> Map.merge(%{at: at, arguments: arguments})
  end

  @doc "A client of another kind, or with another prompt, of a server that runs. `await/1` it as well."
  def beside(server, kind, prompt, tokens) do
    reach = Map.fetch!(kinds(), kind).reach.(server.at)
    client = client(kind, reach, server.arguments, prompt, tokens)
    %{server | kind: kind, client: client, tokens: tokens}
  end

  defp client(kind, address, arguments, prompt, tokens) do
    it = Map.fetch!(kinds(), kind)
    open_client(it.client, address, arguments[:model], prompt, tokens, it.env)
  end

  @doc "A client in a process of its own, which says `ready` when its server answers."
  def open_client(module, address, model, prompt, tokens, env \\ []) do
    {:ok, python} = Vllm.Environment.python()
    told = [address, "--model", model, "--prompt", prompt, "--tokens", "#{tokens}"]
    Lines.open(python, ["-m", module | told], env)
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    port
  end

  @doc "Waits until a server serves; raises with the end of its log where it has ended instead."
  def await(%{server: server, client: client, folder: folder} = it) do
    receive do
      {^client, {:data, {:eol, "ready"}}} ->
        it

      {port, {:exit_status, status}} when port in [server, client] ->
        log = File.read!(Path.join(folder, "log"))

        raise "the #{it.kind} server or its client ended with #{status}:\n#{String.slice(log, -3000..-1)}"
    end
  end

  @doc "Tokens per second of `streams` requests at once, `times` over."
  def speed(%{client: client, tokens: tokens}, streams, times) do
    seconds =
      for _ <- 1..times do
        Lines.write(client, "#{streams}")
        [came, seconds] = client |> Lines.read() |> String.split()
        ^came = "#{streams * tokens}"
        String.to_float(seconds)
      end

    times * streams * tokens / Enum.sum(seconds)
  end

  @doc "Ends a server and its client."
  def stop(%{server: server, client: client, folder: folder}) do
    Lines.close(client)
    Lines.close(server)
    File.rm_rf!(folder)
  end

  # The engine's arguments as flags of a command line.
  defp flags(arguments) do
    Enum.flat_map(arguments, fn {name, value} ->
      flag = "--" <> (name |> to_string() |> String.replace("_", "-"))

      case value do
        true -> [flag]
        false -> ["--no-" <> String.trim_leading(flag, "--")]
        value -> [flag, to_string(value)]
      end
    end)
  end
end
