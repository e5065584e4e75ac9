defmodule Vllm.Core.Doctor.Machine do
  @moduledoc false
  # What `Vllm.Doctor` reads from the machine, as data and functions. Tests replace them to describe
  # other machines, such as one without Python or without memory.

  alias Vllm.Core.Worker.Folder
  alias Vllm.Environment

  # Prints one `key value` per line, because Elixir 1.14 reads no JSON. The alarm ends a Python process
  # that hangs; closing its port would not.
  @describe """
  import signal, sys
  signal.alarm(60)
  from importlib import metadata
  print("version", ".".join(map(str, sys.version_info[:3])))
  for name in sys.argv[1:]:
      try: print(name, metadata.version(name))
      except metadata.PackageNotFoundError: pass
  """

  @import_vllm """
  import signal
  signal.alarm(120)
  import vllm
  print(vllm.__version__)
  """

  @import_media """
  import signal
  signal.alarm(120)
  import av, scipy.signal, soundfile, soxr, torchaudio, torchvision
  print("torchvision", torchvision.__version__ + ", torchaudio", torchaudio.__version__)
  """

  # Reads vLLM's sources as text, and does not import it.
  @token_path "python_worker.gen.drift.token_sources"

  defstruct elixir: System.version(),
            otp: System.otp_release(),
            cowlib: nil,
            python: {:error, "no interpreter was searched for"},
            describe_python: nil,
            import_vllm: nil,
            import_media: nil,
            token_path: nil,
            read: nil,
            list: nil,
            free_kib: nil,
            make_folder: nil,
            cores: nil,
            cache_dir: nil,
            worker_dir: nil

  @type t :: %__MODULE__{
          elixir: String.t(),
          otp: String.t(),
          cowlib: {:ok, String.t()} | {:error, String.t()},
          python: {:ok, Path.t()} | {:error, String.t()},
          describe_python:
            (Path.t(), [String.t()] -> {:ok, %{String.t() => String.t()}} | {:error, String.t()}),
          import_vllm: (Path.t() -> {:ok, String.t()} | {:error, String.t()}),
          import_media: (Path.t() -> {:ok, String.t()} | {:error, String.t()}),
          token_path: (Path.t() -> {:ok, String.t()} | {:error, String.t()}),
          read: (Path.t() -> {:ok, binary()} | {:error, atom()}),
          list: (Path.t() -> [String.t()]),
          free_kib: (Path.t() -> {:ok, non_neg_integer()} | :unknown),
          make_folder: (() -> {:ok, Folder.t()} | {:error, String.t()}),
          cores: pos_integer(),
          cache_dir: Path.t(),
          worker_dir: Path.t() | nil
        }

  @doc "The machine this runs on."
  @spec this() :: t()
  def this do
    %__MODULE__{
      cowlib: cowlib(),
      python: text(Environment.python()),
      describe_python: &describe_python/2,
      import_vllm: &run(&1, ["-c", @import_vllm]),
      import_media: &run(&1, ["-c", @import_media]),
      token_path: &token_path/1,
      read: &File.read/1,
      list: &list/1,
      free_kib: &free_kib/1,
      make_folder: &make_folder/0,
      cores: System.schedulers_online(),
      cache_dir: Environment.cache_dir(),
      worker_dir: worker_dir()
    }
  end

  defp cowlib do
    with :ok <- load(:cowlib),
         {:ok, modules} = :application.get_key(:cowlib, :modules),
         [] <- Enum.reject(modules, &Code.ensure_loaded?/1) do
      {:ok, to_string(Application.spec(:cowlib, :vsn))}
    else
      {:error, _reason} -> {:error, "the application cowlib is not in the code path"}
      [module | _rest] -> {:error, "its module #{inspect(module)} cannot be loaded"}
    end
  end

  defp load(application) do
    case Application.load(application) do
      {:error, {:already_loaded, _name}} -> :ok
      other -> other
    end
  end

  defp text({:ok, value}), do: {:ok, value}
  defp text({:error, error}), do: {:error, error.message}

  defp worker_dir do
    case Environment.worker_dir() do
      {:ok, path} -> path
      {:error, _error} -> nil
    end
  end

  defp describe_python(python, distributions) do
    with {:ok, output} <- run(python, ["-c", @describe | distributions]) do
      lines =
        output |> String.split("\n", trim: true) |> Enum.map(&String.split(&1, " ", parts: 2))

      {:ok, for([key, value] <- lines, into: %{}, do: {key, value})}
    end
  end

  defp token_path(python) do
    run(python, ["-m", @token_path], env: [{"PYTHONPATH", worker_dir()}, {"PYTHONSAFEPATH", "1"}])
  end

  defp run(executable, arguments, options \\ []) do
    case System.cmd(executable, arguments, [stderr_to_stdout: true] ++ options) do
      {output, 0} -> {:ok, String.trim(output)}
      {output, status} -> {:error, "status #{status}: #{last_line(output)}"}
    end
  rescue
    error in ErlangError -> {:error, "cannot be run: #{inspect(error.original)}"}
  end

  defp last_line(output) do
    output |> String.split("\n", trim: true) |> List.last("no output")
  end

  defp list(path) do
    case File.ls(path) do
      {:ok, names} -> names
      {:error, _reason} -> []
    end
  end

  defp free_kib(path) do
    with {:ok, output} <- run("df", ["-Pk", existing(path)]),
         [_heading, line | _rest] <- String.split(output, "\n"),
         [_device, _size, _used, free | _rest] <- String.split(line),
         {free, ""} <- Integer.parse(free) do
      {:ok, free}
    else
      _other -> :unknown
    end
  end

  # The nearest parent folder that exists. A folder that is made there is on the same disk.
  defp existing(path), do: if(File.exists?(path), do: path, else: existing(Path.dirname(path)))

  # As an instance does that has no option :socket_dir.
  defp make_folder do
    with {:ok, folder} <- text(Folder.make(nil)) do
      Folder.remove(folder)
      {:ok, folder}
    end
  end
end
