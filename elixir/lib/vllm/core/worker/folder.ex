defmodule Vllm.Core.Worker.Folder do
  @moduledoc false
  # The folder of a worker: for its socket, and for the sockets and files of vLLM's processes.
  #
  # vLLM names a socket after a UUID, so little is left of the 107 bytes that the path of a socket may
  # have. It hands paths to ZeroMQ and to torch as parts of URLs, where other characters than letters and
  # digits mean something or are refused. And whoever can rename the folder can put their own socket in
  # its place. So a TMPDIR that does not fit is passed over, and another folder is taken.
  #
  # A worker that was started by hand follows the same rules (python_worker/process/folder_choice.py).
  # The doctor uses this module.

  import Bitwise

  alias Vllm.Core.Wire.Socket
  alias Vllm.Error

  @name_bytes byte_size("/vllm-") + 8

  # The name of each of vLLM's sockets.
  @uuid_bytes 36

  # The longest folder in which a worker's folder leaves room for them.
  @max_parent_bytes Socket.max_path() - 1 - @uuid_bytes - @name_bytes

  # Of vLLM, for its sockets; of every program, for temporary files; of the user's session.
  @variables ["VLLM_RPC_BASE_PATH", "TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR"]
  @always ["/tmp", "/var/tmp", "/dev/shm"]

  @others_write 0o002
  @sticky 0o1000

  # files: the folder for vLLM's files; sockets: that of the worker's socket, the same unless the option
  # :socket_dir does not suit vLLM; passed_over: why the places before it were not taken; warning: why
  # other users could replace a folder, or nil.
  @enforce_keys [:files, :sockets]
  defstruct [:files, :sockets, :warning, passed_over: []]

  @type t :: %__MODULE__{
          files: Path.t(),
          sockets: Path.t(),
          warning: String.t() | nil,
          passed_over: [String.t()]
        }

  @doc """
  Makes the folder. `socket_dir` is the option of `Vllm`; `extra` are the environment variables that the
  worker gets in addition to those of this process.
  """
  @spec make(Path.t() | nil, Enumerable.t()) :: {:ok, t()} | {:error, Error.t()}
  def make(socket_dir, extra \\ %{})
  def make(nil, extra), do: choose(candidates(extra))

  # The client's socket lies where the option says, or nowhere. vLLM's files may lie elsewhere.
  def make(socket_dir, extra) do
    parent = Path.absname(socket_dir)

    with {:ok, sockets} <- for_sockets(parent) do
      if reason = misfit(parent),
        do: beside(sockets, "the option :socket_dir #{reason}", extra),
        else: {:ok, %__MODULE__{files: sockets, sockets: sockets, warning: replaceable(sockets)}}
    end
  end

  @doc "Removes what `make/2` has made."
  @spec remove(t()) :: :ok
  def remove(folder) do
    for path <- paths(folder), do: File.rm_rf(path)
    :ok
  end

  @doc "The folders, each once."
  @spec paths(t()) :: [Path.t()]
  def paths(folder), do: Enum.uniq([folder.files, folder.sockets])

  @doc "The socket of the worker. It serves gRPC at the same path with `.grpc` behind it."
  @spec socket(Path.t()) :: Path.t()
  def socket(folder), do: Path.join(folder, "s")

  @doc "The places where a folder may be made, in order: what names each, and its path."
  @spec candidates(Enumerable.t()) :: [{String.t(), Path.t()}]
  def candidates(extra) do
    extra = Map.new(extra, fn {name, value} -> {to_string(name), value} end)

    named =
      for name <- @variables,
          path = Map.get_lazy(extra, name, fn -> System.get_env(name) end),
          path != "",
          do: {"#{name} (#{Socket.shown(path)})", path}

    named ++ Enum.map(@always, &{&1, &1})
  end

  @doc "Makes a folder of this name at the first place that fits, if possible at one that is safe."
  @spec choose([{String.t(), Path.t()}], String.t()) :: {:ok, t()} | {:error, Error.t()}
  def choose(candidates, name \\ name()) do
    candidates
    |> Enum.reduce_while([], fn {source, parent}, passed_over ->
      folder = Path.join(parent, name)

      case make_at(parent, folder) do
        :ok -> {:halt, {folder, passed_over}}
        {kind, reason} -> {:cont, passed_over ++ [{kind, "#{source} #{reason}", folder}]}
      end
    end)
    |> chosen()
  end

  # Whether other users could replace the folder is known when it is made.
  defp make_at(parent, folder) do
    with nil <- misfit(parent),
         :ok <- make_folder(folder) do
      unfit = no_sockets(Path.join(folder, uuid()))
      unsafe = replaceable(folder)
      if unfit || unsafe, do: File.rm_rf(folder)

      cond do
        unfit -> {:unfit, unfit}
        unsafe -> {:unsafe, unsafe}
        true -> :ok
      end
    else
      {:error, reason} -> {:unfit, "cannot be used: #{:file.format_error(reason)}"}
      reason -> {:unfit, reason}
    end
  end

  defp chosen({folder, passed_over}),
    do: {:ok, %__MODULE__{files: folder, sockets: folder, passed_over: texts(passed_over)}}

  # In a container every folder may be writable for all: the first one that fits is taken.
  defp chosen(passed_over) do
    with {:unsafe, warning, folder} = second_best <- List.keyfind(passed_over, :unsafe, 0),
         :ok <- make_folder(folder) do
      others = texts(List.delete(passed_over, second_best))
      {:ok, %__MODULE__{files: folder, sockets: folder, passed_over: others, warning: warning}}
    else
      _none ->
        {:error,
         Error.new(
           :worker_down,
           "no folder fits vLLM's sockets: #{Enum.join(texts(passed_over), "; ")}; set TMPDIR " <>
             "to a short path in which this user can make sockets"
         )}
    end
  end

  defp texts(passed_over), do: Enum.map(passed_over, &elem(&1, 1))

  ## The option :socket_dir

  defp for_sockets(parent) do
    folder = Path.join(parent, name())
    longest = socket(folder) <> ".grpc"

    with :ok <- Socket.check_path(longest),
         :ok <- make_folder(folder),
         nil <- no_sockets(longest) do
      {:ok, folder}
    else
      {:error, %Error{} = error} ->
        {:error, error}

      {:error, reason} ->
        {:error, cannot_make(folder, :file.format_error(reason))}

      reason ->
        File.rm_rf(folder)
        {:error, cannot_make(folder, reason)}
    end
  end

  defp cannot_make(folder, reason) do
    Error.new(
      :worker_down,
      "cannot make the folder #{Socket.shown(folder)} for the worker's socket and files: " <>
        "#{reason}; set the option :socket_dir, or TMPDIR, to a folder that this user may write to"
    )
  end

  # Of the same name, from which the worker knows that both belong to it.
  defp beside(sockets, reason, extra) do
    case choose(candidates(extra), Path.basename(sockets)) do
      {:ok, folder} ->
        {:ok, %{folder | sockets: sockets, passed_over: [reason | folder.passed_over]}}

      {:error, error} ->
        File.rm_rf(sockets)
        {:error, error}
    end
  end

  ## What fits

  defp misfit(parent) do
    cond do
      Path.type(parent) != :absolute ->
        "is no absolute path"

      not (parent =~ ~r"\A[A-Za-z0-9/._-]*\z") ->
        "has characters other than letters, digits and / . _ -"

      byte_size(parent) > @max_parent_bytes ->
        "has #{byte_size(parent)} bytes, at most #{@max_parent_bytes} leave room for vLLM's sockets"

      true ->
        nil
    end
  end

  # Only this user may enter it. It is new: a folder that was there is an error.
  defp make_folder(folder) do
    with :ok <- File.mkdir(folder), do: File.chmod(folder, 0o700)
  end

  # Some file systems have no sockets.
  defp no_sockets(path) do
    case Socket.try_listen(path) do
      :ok -> nil
      {:error, reason} -> "allows no sockets: #{:inet.format_error(reason)}"
    end
  end

  ## What is safe

  # Of each folder above a new one, the owner is this user or root. Others may write there only if the
  # sticky bit keeps them from renaming what is not theirs. A link counts as what it leads to, and its
  # owner could lead it elsewhere.
  defp replaceable(folder) do
    case File.lstat(folder) do
      {:ok, %{uid: own}} -> folder |> above() |> Enum.find_value(&untrusted(&1, own))
      {:error, reason} -> "cannot be read: #{:file.format_error(reason)}"
    end
  end

  defp above("/"), do: []
  defp above(path), do: [Path.dirname(path) | above(Path.dirname(path))]

  defp untrusted(folder, own) do
    with {:ok, link} <- File.lstat(folder),
         {:ok, stat} <- File.stat(folder) do
      cond do
        Enum.any?([link, stat], &(&1.uid not in [0, own])) ->
          "is in #{Socket.shown(folder)}, which belongs to another user"

        (stat.mode &&& @others_write) != 0 and (stat.mode &&& @sticky) == 0 ->
          "is in #{Socket.shown(folder)}, where every user may rename files (it has no sticky bit)"

        true ->
          nil
      end
    else
      {:error, reason} -> "is in #{Socket.shown(folder)}: #{:file.format_error(reason)}"
    end
  end

  defp uuid, do: String.duplicate("x", @uuid_bytes)
  defp name, do: "vllm-" <> Base.encode16(:crypto.strong_rand_bytes(4), case: :lower)
end
