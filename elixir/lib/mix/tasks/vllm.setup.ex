defmodule Mix.Tasks.Vllm.Setup do
  @shortdoc "Makes or updates the Python environment with vLLM"

  @moduledoc """
  Makes the Python environment that the worker runs in, unless it exists.

      mix vllm.setup [--cpu | --cuda] [--with NAME,…] [--python PATH]

  The environment is made in `~/.cache/vllm_bridge` (4 GB for CPU) and shared by all
  applications with the same requirements. Running the task again is quick. Without an option it
  installs vLLM for CUDA if the machine has an NVIDIA driver with a device, otherwise for CPU.

    * `--cpu`, `--cuda` - which build of vLLM
    * `--with` - systems that run on the engines, separated by commas: `mellea`, `llama-factory`,
      `providers`. What was added once stays.
    * `--python` - the interpreter to make the environment with, 3.11 to 3.13. The default is the
      first suitable one in the `PATH`.

  `mix vllm.doctor` checks the result.
  """

  use Mix.Task

  alias Vllm.Environment

  @requirements ["app.config"]

  # The installer searches for another version if it is started with an unsuitable one.
  @interpreters ~w(python3 python3.11 python3.12 python3.13)

  @impl true
  def run(arguments) do
    {options, []} =
      OptionParser.parse!(arguments,
        strict: [cpu: :boolean, cuda: :boolean, python: :string, with: :string]
      )

    python = interpreter(options[:python])

    case Environment.worker_dir() do
      {:ok, folder} -> install(python, folder, ["--extra", extra(options) | added(options)])
      {:error, error} -> Mix.raise(Exception.message(error))
    end
  end

  defp install(python, folder, options) do
    {_output, status} =
      System.cmd(python, ["-m", "python_worker.install", "python" | options],
        cd: folder,
        into: IO.stream(),
        stderr_to_stdout: true
      )

    # The installer has printed what failed and what to do.
    unless status == 0, do: exit({:shutdown, 1})
  end

  defp extra(options) do
    case {options[:cpu], options[:cuda]} do
      {true, true} -> Mix.raise("--cpu and --cuda exclude each other; give one of them")
      {true, _cuda} -> "cpu"
      {_cpu, true} -> "cuda"
      _neither -> "auto"
    end
  end

  # The installer knows the names.
  defp added(options), do: for({:with, names} <- options, it <- ["--with", names], do: it)

  defp interpreter(nil) do
    Enum.find_value(@interpreters, &System.find_executable/1) ||
      Mix.raise("no python3 is in the PATH; install Python 3.11, 3.12 or 3.13")
  end

  defp interpreter(path) do
    System.find_executable(path) ||
      Mix.raise("#{path} is not an executable file; name a Python interpreter with --python")
  end
end
