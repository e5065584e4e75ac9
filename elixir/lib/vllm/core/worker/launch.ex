defmodule Vllm.Core.Worker.Launch do
  @moduledoc false
  # How a worker is started: its address, its arguments and its environment, and the READY
  # line that it prints when it serves.

  alias Vllm.Error
  alias Vllm.Core.Wire.Socket
  alias Vllm.Core.Worker.Folder

  @ready "VLLM_BRIDGE READY "

  @doc "Makes the worker's folder. Returns it with the address to listen on."
  # With TCP it holds only the files of vLLM's processes.
  @spec listen(map()) :: {:ok, Folder.t(), String.t()} | {:error, Error.t()}
  def listen(%{listen: listen, socket_dir: dir} = options) do
    with {:ok, folder} <- Folder.make(dir, options.env),
         do: {:ok, folder, address(listen, folder)}
  end

  defp address({:tcp, port}, _folder), do: "tcp:127.0.0.1:#{port}"
  defp address(:unix, folder), do: "unix:" <> Folder.socket(folder.sockets)

  @doc "The arguments of the interpreter, from the options of `Vllm`."
  @spec arguments(String.t(), map()) :: [String.t()]
  def arguments(listen, options) do
    ["-m", "python_worker", "--listen", listen, "--max-calls", "#{options.max_calls}"] ++
      ["--lifeline", "stdin"] ++
      ["--grace", "#{options.grace / 1000}"] ++
      ["--token-path", "#{options.token_path}"] ++
      ["--nice", "#{options.nice}"] ++
      stall_after(options.watchdog) ++
      if(options.engine_class, do: ["--engine-class", options.engine_class], else: []) ++
      options.worker_args
  end

  defp stall_after(%{stall_after: :infinity}), do: ["--stall-after", "0"]
  defp stall_after(%{stall_after: milliseconds}), do: ["--stall-after", "#{milliseconds / 1000}"]

  @doc "The worker's environment variables, in addition to those of this process."
  # PYTHONSAFEPATH, so that a folder named vllm or torch in the current directory, which is the
  # user's project, is not imported in place of the Python package.
  @spec environment(String.t(), String.t(), Folder.t(), Enumerable.t()) ::
          [{charlist(), charlist() | nil}]
  def environment(sources, token, folder, extra) do
    extra = Map.new(extra, fn {key, value} -> {to_string(key), value} end)
    path = Enum.join([sources | List.wrap(extra["PYTHONPATH"] || inherited_path())], ":")

    %{"PYTHONSAFEPATH" => "1", "PYTHONUNBUFFERED" => "1"}
    |> Map.merge(extra)
    |> Map.merge(%{"PYTHONPATH" => path, "VLLM_BRIDGE_TOKEN" => token})
    |> Map.put("VLLM_BRIDGE_FOLDER", folder.files)
    |> Enum.map(fn {key, value} ->
      {String.to_charlist(key), value && String.to_charlist(value)}
    end)
  end

  defp inherited_path, do: System.get_env("PYTHONPATH") || []

  @doc "Makes the secret that a client has to present."
  @spec token() :: String.t()
  def token, do: random(16)

  @doc "Whether output holds the beginning of a READY line."
  @spec ready_in?(binary()) :: boolean()
  def ready_in?(output), do: :binary.match(output, @ready) != :nomatch

  @doc """
  Reads the worker's addresses and process id from its READY line. `:no` for any other line. The
  address of gRPC is `nil` when the worker serves none.
  """
  # A JSON object, whose addresses are URIs: no text in it has a quote or a backslash. So patterns can
  # read it; Elixir's standard library reads no JSON before 1.18.
  @spec ready(String.t() | nil) ::
          {:ok, %{address: String.t(), grpc_address: String.t() | nil, os_pid: pos_integer()}}
          | {:error, String.t()}
          | :no
  def ready(@ready <> json) do
    with [_, address] <- Regex.run(~r/"address": ?"([^"\\]+)"/, json),
         [_, pid] <- Regex.run(~r/"pid": ?(\d+)/, json) do
      grpc_address =
        with [_, uri] <- Regex.run(~r/"grpc_address": ?"([^"\\]+)"/, json),
             do: Socket.from_uri(uri)

      {:ok,
       %{
         address: Socket.from_uri(address),
         grpc_address: grpc_address,
         os_pid: String.to_integer(pid)
       }}
    else
      nil ->
        {:error,
         "the worker's READY line cannot be read: #{json}; check that client and worker have the same version"}
    end
  end

  def ready(_line), do: :no

  defp random(bytes), do: bytes |> :crypto.strong_rand_bytes() |> Base.encode16(case: :lower)
end
