defmodule Vllm.Core.Worker.Launch do
  @moduledoc false
  # What a worker is started with: its folder, its address, its arguments and its environment. And
  # what it answers when it serves.

  alias Vllm.Error
  alias Vllm.Core.Wire.Socket

  @ready "VLLM_BRIDGE READY "

  @doc "Makes the worker's folder; with it, the address to listen on."
  # A folder that only we may enter; a short name, because a socket's path is short. With TCP it is
  # for the files of vLLM's processes alone.
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
             "that can be written"
         )}
    end
  end

  defp address_in(_folder, {:tcp, port}), do: {:ok, "tcp:127.0.0.1:#{port}"}

  defp address_in(folder, :unix) do
    path = Path.join(folder, "s")
    with :ok <- Socket.check_path(path), do: {:ok, "unix:" <> path}
  end

  @doc "The arguments of the interpreter, by the options of `Vllm`."
  @spec arguments(String.t(), map()) :: [String.t()]
  def arguments(listen, options) do
    ["-m", "python_worker", "--listen", listen, "--max-calls", "#{options.max_calls}"] ++
      ["--lifeline", "stdin"] ++
      ["--grace", "#{options.grace / 1000}"] ++
      stall_after(options.watchdog) ++
      if(options.engine_class, do: ["--engine-class", options.engine_class], else: []) ++
      options.worker_args
  end

  defp stall_after(%{stall_after: :infinity}), do: ["--stall-after", "0"]
  defp stall_after(%{stall_after: milliseconds}), do: ["--stall-after", "#{milliseconds / 1000}"]

  @doc "The variables that are set beside those of this process."
  # PYTHONSAFEPATH: a folder called vllm or torch in the current directory, which is that of the
  # user's project, must not be taken for the Python package.
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

  @doc "What a client has to show."
  @spec token() :: String.t()
  def token, do: random(16)

  @doc "Where the worker listens and its process id, if this is the line that says so."
  # Written by the worker for these patterns; the standard library has no JSON.
  @spec ready(String.t() | nil) :: {:ok, String.t(), pos_integer()} | {:error, String.t()} | :no
  def ready(@ready <> json) do
    with [_, address] <- Regex.run(~r/"address": ?"([^"]+)"/, json),
         [_, pid] <- Regex.run(~r/"pid": ?(\d+)/, json) do
      {:ok, address, String.to_integer(pid)}
    else
      nil -> {:error, "the worker's READY line cannot be read: #{json}"}
    end
  end

  def ready(_line), do: :no

  defp random(bytes), do: bytes |> :crypto.strong_rand_bytes() |> Base.encode16(case: :lower)
end
