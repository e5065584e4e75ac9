defmodule Vllm.Core.Worker.Launch do
  @moduledoc false
  # How a worker is started: its folder, its address, its arguments and its environment, and the READY
  # line that it prints when it serves.

  alias Vllm.Error
  alias Vllm.Core.Wire.Socket

  @ready "VLLM_BRIDGE READY "

  @doc "Makes the worker's folder. Returns it with the address to listen on."
  # Only this user may enter the folder. Its name is short, because the path of a socket must be. With
  # TCP it holds only the files of vLLM's processes.
  @spec listen(map()) :: {:ok, String.t(), String.t()} | {:error, Error.t()}
  def listen(%{listen: listen, socket_dir: dir}) do
    folder = Path.join(dir || System.tmp_dir() || "/tmp", "vllm-" <> random(4))

    with {:ok, address} <- address_in(folder, listen),
         :ok <- File.mkdir(folder),
         :ok <- File.chmod(folder, 0o700) do
      {:ok, folder, address}
    else
      {:error, %Error{} = error} ->
        {:error, error}

      {:error, reason} ->
        {:error,
         Error.new(
           :worker_down,
           "cannot make the folder #{folder} for the worker's socket and files: " <>
             "#{:file.format_error(reason)}; set the option :socket_dir, or TMPDIR, to a folder " <>
             "that this user may write to"
         )}
    end
  end

  defp address_in(_folder, {:tcp, port}), do: {:ok, "tcp:127.0.0.1:#{port}"}

  defp address_in(folder, :unix) do
    path = Path.join(folder, "s")
    # The worker serves gRPC beside it.
    with :ok <- Socket.check_path(path <> ".grpc"), do: {:ok, "unix:" <> path}
  end

  @doc "The arguments of the interpreter, from the options of `Vllm`."
  @spec arguments(String.t(), map()) :: [String.t()]
  def arguments(listen, options) do
    ["-m", "python_worker", "--listen", listen, "--max-calls", "#{options.max_calls}"] ++
      ["--lifeline", "stdin"] ++
      ["--grace", "#{options.grace / 1000}"] ++
      ["--token-path", "#{options.token_path}"] ++
      stall_after(options.watchdog) ++
      if(options.engine_class, do: ["--engine-class", options.engine_class], else: []) ++
      options.worker_args
  end

  defp stall_after(%{stall_after: :infinity}), do: ["--stall-after", "0"]
  defp stall_after(%{stall_after: milliseconds}), do: ["--stall-after", "#{milliseconds / 1000}"]

  @doc "The worker's environment variables, in addition to those of this process."
  # PYTHONSAFEPATH, so that a folder named vllm or torch in the current directory, which is the
  # user's project, is not imported in place of the Python package.
  @spec environment(String.t(), String.t(), String.t(), Enumerable.t()) ::
          [{charlist(), charlist() | nil}]
  def environment(sources, token, folder, extra) do
    extra = Map.new(extra, fn {key, value} -> {to_string(key), value} end)
    path = Enum.join([sources | List.wrap(extra["PYTHONPATH"] || inherited_path())], ":")

    %{"PYTHONSAFEPATH" => "1", "PYTHONUNBUFFERED" => "1"}
    |> Map.merge(extra)
    |> Map.merge(%{"PYTHONPATH" => path, "VLLM_BRIDGE_TOKEN" => token})
    |> Map.put("VLLM_BRIDGE_FOLDER", folder)
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
  # By patterns, because Elixir's standard library reads no JSON before 1.18.
  @spec ready(String.t() | nil) ::
          {:ok, %{address: String.t(), grpc_address: String.t() | nil, os_pid: pos_integer()}}
          | {:error, String.t()}
          | :no
  def ready(@ready <> json) do
    with [_, address] <- Regex.run(~r/"address": ?"([^"]+)"/, json),
         [_, pid] <- Regex.run(~r/"pid": ?(\d+)/, json) do
      grpc_address = Regex.run(~r/"grpc_address": ?"([^"]+)"/, json, capture: :all_but_first)

      {:ok,
       %{
         address: address,
         grpc_address: List.first(grpc_address || []),
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
