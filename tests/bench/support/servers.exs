# vLLM's own servers, each with its client: processes of their own (tests/bench/servers/).

Code.require_file("bench.exs", __DIR__)

defmodule Bench.Servers do
  alias Bench.Lines

  # The package that vLLM's gRPC server needs, and its protocol. They need nothing that the worker's
  # environment lacks, and are kept out of it: a folder of their own on PYTHONPATH.
  @packages ["smg-grpc-servicer==0.14.1", "smg-grpc-proto==0.4.28"]

  @doc """
  What a server is: its command line beside the engine's arguments, its client, and its environment.

  All say no more than warnings, as the bridge does.
  """
  def kinds do
    %{
      http: %{
        server: "vllm.entrypoints.openai.api_server",
        listen: fn socket -> ["--uds", socket, "--uvicorn-log-level", "warning"] end,
        client: "tests.bench.servers.http_client",
        env: []
      },
      grpc: %{
        server: "vllm.entrypoints.launchers.grpc_server",
        # It listens on host:port, which is where a Unix socket may be as well.
        listen: fn socket ->
          [path, port] = String.split(socket, ":")
          ["--host", "unix:" <> path, "--port", port]
        end,
        client: "tests.bench.servers.grpc_client",
        # Unless told, it adds a publisher of cache events to the engine, which no other has.
        env: [
          {"PYTHONPATH", packages()},
          {"SMG_VLLM_SERVICER_KV_EVENTS", "0"}
        ]
      }
    }
  end

  @doc "Installs what vLLM's gRPC server needs, unless it is there: `:ok`, or why it cannot be had."
  def install do
    folder = packages()

    if File.dir?(folder) do
      :ok
    else
      {:ok, python} = Vllm.Environment.python()
      new = folder <> ".new"
      File.rm_rf!(new)
      pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", new | @packages]

      case System.cmd(python, pip, stderr_to_stdout: true) do
        {_said, 0} -> File.rename!(new, folder)
        {said, _status} -> {:error, said |> String.trim() |> String.split("\n") |> List.last()}
      end
    end
  end

  defp packages do
    name = @packages |> Enum.map_join("-", &(&1 |> String.split("==") |> List.last()))
    Path.join([Vllm.Environment.cache_dir(), "bench", "smg-" <> name])
  end

  @doc "Starts a server of a kind with an engine of these arguments. `await/1` it."
  def start(kind, arguments, prompt, tokens) do
    it = Map.fetch!(kinds(), kind)
    {:ok, python} = Vllm.Environment.python()
    folder = Path.join(System.tmp_dir!(), "vllm-bench-#{kind}-#{System.pid()}")
    File.mkdir_p!(folder)
    # The number is for gRPC, which wants a port at the end.
    socket = Path.join(folder, "socket:1")
    log = Path.join(folder, "log")
    command = [python, "-m", it.server | it.listen.(socket)] ++ flags(arguments)
    env = [{"VLLM_LOGGING_LEVEL", "WARNING"} | it.env]
    server = Lines.open(python, ["-m", "tests.bench.servers.kept", log | command], env)

    told = [socket, "--model", arguments[:model], "--prompt", prompt, "--tokens", "#{tokens}"]
    client = Lines.open(python, ["-m", it.client | told], env)
    group = server |> Lines.read() |> String.to_integer()
    %{kind: kind, server: server, client: client, group: group, folder: folder, tokens: tokens}
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
      if value == true, do: [flag], else: [flag, to_string(value)]
    end)
  end
end
