defmodule Vllm.Doctor do
  @moduledoc """
  Checks whether vLLM can run on this machine, and says what to do if not.

  `mix vllm.doctor` prints what `run/1` returns. In a release, which has no Mix, call it in the remote
  shell:

      iex> Vllm.Doctor.run() |> Enum.reject(&(&1.result == :ok))
      []

  The checks start no worker and leave nothing behind. They take less than a second, with `deep: true` some
  ten seconds more.
  """

  alias Vllm.Core.Options
  alias Vllm.Core.Doctor.{CpuCheck, Machine, MachineChecks, PythonChecks}

  @extras ~w(mellea llama-factory providers)

  @typedoc """
  The result of one check: its name, what it looks at, whether that is good, what was found and, unless
  it is good, what to do.
  """
  @type check :: %{
          name: String.t(),
          looks_at: String.t(),
          result: :ok | :warn | :fail,
          found: String.t(),
          advice: String.t() | nil
        }

  @doc """
  Runs every check.

  ## Options

    * `:deep` - import vLLM and the libraries for images, videos and audio instead of reading their
      versions from the metadata (`false`)

  Raises `ArgumentError` for other options.
  """
  @spec run(keyword()) :: [check()]
  def run(options \\ []) do
    Options.validate!([{:deep, :boolean, false, "import vLLM."}], options, "the options of run/1")
    check(Machine.this(), options)
  end

  @doc false
  @spec check(Machine.t(), keyword()) :: [check()]
  def check(%Machine{} = machine, options \\ []) do
    distributions = PythonChecks.distributions(machine, "dependencies")
    multimodal = PythonChecks.distributions(machine, "multimodal")
    extras = for name <- @extras, do: {name, PythonChecks.distributions(machine, name)}
    optional = Enum.flat_map(extras, fn {_name, distributions} -> distributions end)
    python = PythonChecks.describe(machine, distributions ++ multimodal ++ optional)

    table = [
      {"elixir", "Elixir ≥ 1.14 on Erlang/OTP ≥ 25", fn -> MachineChecks.elixir(machine) end},
      {"cowlib", "the HTTP/2 library", fn -> MachineChecks.cowlib(machine) end},
      {"python", "an interpreter, 3.11 to 3.13", fn -> PythonChecks.python(machine, python) end},
      {"environment", "the environment is complete",
       fn -> PythonChecks.environment(machine, python) end},
      {"requirements", "the worker's requirements are installed",
       fn -> PythonChecks.requirements(python, distributions) end},
      {"vllm", "vLLM is installed", fn -> PythonChecks.vllm(machine, python, options[:deep]) end},
      {"multimodal", "libraries for images, videos and audio",
       fn -> PythonChecks.multimodal(machine, python, multimodal, options[:deep]) end},
      {"extras", "systems that run on the engines, installed on request",
       fn -> PythonChecks.extras(python, extras) end},
      {"stubs", "vLLM is the version of the stubs",
       fn -> PythonChecks.stubs(machine, python) end},
      {"token path", "tokens are taken directly from vLLM's request states",
       fn -> PythonChecks.token_path(machine, python) end},
      {"socket", "a Unix socket can be made", fn -> MachineChecks.socket(machine) end},
      {"memory", "#{MachineChecks.memory_gib()} GiB of memory are free",
       fn -> MachineChecks.memory(machine) end},
      {"shared memory", "#{MachineChecks.shared_memory_mib()} MiB in /dev/shm",
       fn -> MachineChecks.shared_memory(machine) end},
      {"disk", "room for models and the environment",
       fn -> MachineChecks.disk(machine, python) end},
      {"processor", "the instructions vLLM's CPU build uses",
       fn -> MachineChecks.processor(machine, python) end},
      {"cpu", "how Linux divides the CPU", fn -> CpuCheck.check(machine) end},
      {"leftovers", "no worker without its parent", fn -> MachineChecks.leftovers(machine) end}
    ]

    for {name, looks_at, look} <- table do
      {result, found, advice} = look.()
      %{name: name, looks_at: looks_at, result: result, found: found, advice: advice}
    end
  end

  @doc "Whether no check has failed. Warnings do not count."
  @spec healthy?([check()]) :: boolean()
  def healthy?(checks), do: Enum.all?(checks, &(&1.result != :fail))
end
